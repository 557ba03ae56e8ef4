"""What the gateway reads of a request's body. The body itself travels as it came, unless a name must change."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from pilotlight.errors import RequestError
from pilotlight.http.errors import NO_JSON
from pilotlight.spec.wants import LONGEST
from pilotlight.units import FOREVER, parse_duration


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
    except NO_JSON as e:
        raise _refusal(e, body) from None


def _refusal(error: Exception, body: bytes) -> RequestError:
    if isinstance(error, msgspec.ValidationError):
        return _invalid(str(error))
    if isinstance(error, RecursionError):
        return RequestError(400, "the body is nested too deeply", code="invalid_json")
    said = str(error)
    if "truncated" in said and body.rstrip().endswith(b"}"):
        said = "it ends within a text, or has half of a character, such as \\ud83d without its other half"
    return RequestError(400, f"the body is not valid JSON: {said}", code="invalid_json")


def _invalid(said: str) -> RequestError:
    """From msgspec's words: "Expected `str`, got `int` - at `$.model`"."""
    if "missing required field `model`" in said:
        text = "the body has no `model`; name one of GET /v1/models"
        return RequestError(400, text, code="invalid_body", param="model")
    what, _, where = said.partition(" - at `$.")
    param = where.rstrip("`") or None
    return RequestError(400, f"{param or 'the body'}: {what}", code="invalid_body", param=param)


def keep_alive_of(head: Head) -> float | None:
    """Ollama's keep_alive in seconds: a duration, 0 or -1. Raises RequestError 400."""
    value = head.keep_alive
    if value is UNSET or value is None:
        return None
    try:
        seconds = parse_duration(value)  # pyright: ignore[reportArgumentType]
        if LONGEST < seconds < FOREVER:
            raise ValueError("it is too long: at most 100 years (36500d), or -1 for ever")
        return seconds
    except ValueError as e:
        raise RequestError(400, f"keep_alive: {e}", code="invalid_keep_alive", param="keep_alive") from None


def rewrite(body: bytes, model: str | None, drop_keep_alive: bool) -> bytes:
    """The body with another model name, or without keep_alive; every other value byte for byte as it was.

    Raises RequestError 400 for what `read_head` did not look at.
    """
    try:
        fields: dict[str, Any] = dict(_decode_raw(body))
    except NO_JSON as e:
        raise _refusal(e, body) from None
    if model is not None:
        fields["model"] = model
    if drop_keep_alive:
        fields.pop("keep_alive", None)
    return msgspec.json.encode(fields)
