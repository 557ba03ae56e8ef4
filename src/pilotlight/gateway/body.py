"""What the gateway reads of a request's body. The body itself travels as it came, unless a name must change."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pilotlight.errors import RequestError
from pilotlight.units import parse_duration


class Head(msgspec.Struct, gc=False):
    """The few fields that matter; everything else is passed on unread."""

    model: str
    stream: bool | None = None
    keep_alive: str | float | None | UnsetType = UNSET


_decode = msgspec.json.Decoder(Head).decode
_decode_raw = msgspec.json.Decoder(dict[str, Raw]).decode


def read_head(body: bytes) -> Head:
    """Raises RequestError 400 that names the field."""
    try:
        return _decode(body)
    except msgspec.ValidationError as e:
        text = str(e)
        param = "model" if "`model`" in text else None
        if param and "missing" in text:
            text = "the body has no `model`; name one of GET /v1/models"
        raise RequestError(400, text, code="invalid_body", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise RequestError(400, f"the body is not valid JSON: {e}", code="invalid_json") from None


def keep_alive_of(head: Head) -> float | None:
    """Ollama's keep_alive in seconds: a duration, 0 or -1. Raises RequestError 400."""
    value = head.keep_alive
    if value is UNSET or value is None:
        return None
    try:
        return parse_duration(value)  # pyright: ignore[reportArgumentType]
    except ValueError as e:
        raise RequestError(400, f"keep_alive: {e}", code="invalid_keep_alive", param="keep_alive") from None


def rewrite(body: bytes, model: str | None, drop_keep_alive: bool) -> bytes:
    """The body with another model name, or without keep_alive; every other value byte for byte as it was."""
    fields: dict[str, Any] = dict(_decode_raw(body))
    if model is not None:
        fields["model"] = model
    if drop_keep_alive:
        fields.pop("keep_alive", None)
    return msgspec.json.encode(fields)
