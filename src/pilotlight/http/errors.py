"""Refusals as OpenAI's clients expect them."""

import math
from typing import Any

import msgspec
from aiohttp import web

from pilotlight.errors import RequestError
from pilotlight.http.headers import SERVER

_encode = msgspec.json.encode
_JSON = {"Content-Type": "application/json"}

NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are none, of another form than is wanted, or nested too deeply."""


def error_object(error: RequestError) -> dict[str, Any]:
    """OpenAI's error body: {"error": {"message", "type", "param", "code"}}."""
    # A message may quote what a client sent, and a header or a path may hold bytes that are not UTF-8.
    message = error.message.encode("utf-8", "replace").decode()
    return {"error": {"message": message, "type": error.type, "param": error.param, "code": error.code}}


def error_bytes(error: RequestError) -> bytes:
    return _encode(error_object(error))


def as_error(payload: bytes, status: int) -> bytes:
    """An engine's error as an error body, for clients that do not see its status."""
    try:
        body = msgspec.json.decode(payload)
    except NO_JSON:
        body = None
    if isinstance(body, dict) and body.get("error"):
        return payload
    said = payload[:2000].decode("utf-8", "replace").strip()
    return error_bytes(RequestError(status, f"the engine answered {status}: {said}", code="engine_error"))


def error_headers(error: RequestError) -> dict[str, str]:
    headers = dict(_JSON)
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def error_response(error: RequestError, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=error.status,
        body=error_bytes(error),
        headers={**error_headers(error), "Server": SERVER, **(headers or {})},
    )


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=_encode(value), headers={**_JSON, "Server": SERVER, **(headers or {})}
    )
