"""How a provider's answer is taken: which of its words count, and what becomes of the request."""

import math
import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pilotlight.http import sse
from pilotlight.http.errors import NO_JSON
from pilotlight.http.headers import Raw
from pilotlight.policy.breaker import MOST_ASKED

CLIENTS_FAULT = frozenset({400, 413, 415, 422})
"""Statuses that another target would answer, too: they are the client's to read, and are passed on as they are."""

MAY_NOT = "it may not leave the house"


class Refused(Exception):
    """A provider's answer is none that a client could be given. `kind` and `reason` as Declined has them."""

    def __init__(
        self, kind: str, reason: str, retry_after: float | None = None, worked: bool = False
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.retry_after = retry_after
        self.worked = worked
        """It has done work that it will charge for."""


def value(headers: Raw, name: bytes) -> str | None:
    """Of the first header of that name (lower case)."""
    return next((v.decode("latin-1") for k, v in headers if k.lower() == name), None)


def judge(status: int, headers: Raw, stream: bool, wall: float) -> None:
    """Raises Refused for an answer that is not to be read. Nothing of its body is ever quoted: it may hold a prompt
    or a key. `wall`: Unix seconds now."""
    if 300 <= status < 400:
        where = _host(value(headers, b"location"))
        text = f"it answered {status}, a redirect to {where}; redirects are not followed, name the right base_url"
        raise Refused("error", text)
    if status in (429, 503):
        pause = retry_after(value(headers, b"retry-after"), wall)
        raise Refused("busy", f"it answered {status}", pause)
    if status in (401, 402, 403):
        raise Refused("denied", f"it answered {status}: see its key and its account")
    if status != 200 and status not in CLIENTS_FAULT:
        hint = "; see base_url, and what it calls the model" if status == 404 else ""
        raise Refused("error", f"it answered {status}{hint}")
    encoding = value(headers, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise Refused(
            "error", f"it answered in {word(encoding)}, which was not asked for", worked=status == 200
        )
    if status == 200:
        _is_of_type(value(headers, b"content-type") or "", stream)


class _Head(msgspec.Struct, gc=False):
    """Of any types: what is of another one than it should be is looked at all the same."""

    model: Any = None
    error: msgspec.Raw = msgspec.Raw()
    response: Any = None
    """Of /v1/responses, which puts it there in its first events."""
    message: Any = None
    """Of /v1/messages."""


_decode = msgspec.json.Decoder(_Head).decode


def judge_payload(payload: bytes, asked: str, provider: str) -> None:
    """Of a whole answer, or a stream's first event. Raises Refused when it is an error, or another model's than was
    `asked` for: that is not what was asked for, and what it costs and is worth is another matter, too."""
    try:
        head = _decode(payload)
    except NO_JSON:
        return  # of its form it says nothing that we could read
    if bytes(head.error) not in (b"", b"null"):
        raise Refused("error", "its first event is an error")
    inner = [it.get("model") for it in (head.response, head.message) if isinstance(it, dict)]
    for answered in (head.model, *inner):
        if answered in (None, ""):
            continue
        if not isinstance(answered, str):
            raise Refused("error", "the model that it answered for is no text", worked=True)
        if not same_model(asked, answered):
            text = (
                f"it was asked for {asked!r} and answered for {word(answered)}; if that is right, "
                f"say so in providers.{provider}.models"
            )
            raise Refused("error", text, worked=True)


def word(text: str) -> str:
    """A name that a provider gave, as a log may have it: what is none may be a prompt, or worse."""
    return repr(text) if re.fullmatch(r"[\w.:/@+-]{1,100}", text, re.ASCII) else "something that is no name"


def _is_of_type(found: str, stream: bool) -> None:
    media = found.partition(";")[0].strip().lower()
    good = media == sse.CONTENT_TYPE if stream else media == "application/json" or media.endswith("+json")
    if not good:
        wanted = sse.CONTENT_TYPE if stream else "application/json"
        raise Refused(
            "error",
            f"it answered with {word(media) if media else 'no content type'}, not {wanted}",
            worked=True,
        )


def retry_after(text: str | None, wall: float) -> float | None:
    """Seconds, of a number or an HTTP date (RFC 9110, section 10.2.3); None where it says nothing that makes sense."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - wall
        except (ValueError, OverflowError, TypeError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(0.0, seconds), MOST_ASKED)


def _host(location: str | None) -> str:
    """What may be shown of it: the rest may hold a secret."""
    try:
        return repr(urlsplit(location or "").hostname or "itself")
    except ValueError:
        return "nowhere"


_VERSION = re.compile(
    r"(?:[-:@_](?:\d{4}-\d\d-\d\d|\d{3,8}|latest|preview|stable|beta|exp|free|fp\d+|bf16|awq|gptq))+"
)
"""What a name may have more: a date, a number as dates and builds have it, a stage, a format. A short number is none of
these: model-2 is another model than model."""


def same_model(asked: str, answered: str) -> bool:
    """Whether it may be the model that was asked for: the same name, or one of them with a date, a version or a format
    behind it (gpt-4o-2024-08-06 for gpt-4o). What stands before the last `/` and a file's ending do not count."""
    a, b = _bare(asked), _bare(answered)
    return a == b or _adds_version(a, b) or _adds_version(b, a) or _family(a) == _family(b) != ""


def _bare(name: str) -> str:
    return name.strip().lower().rstrip("/").rpartition("/")[2].removesuffix(".gguf")


def _adds_version(short: str, long: str) -> bool:
    return long.startswith(short) and _VERSION.fullmatch(long[len(short) :]) is not None


def _family(name: str) -> str:
    """Without the date or `-latest` at its end; empty for one that has none."""
    found = re.fullmatch(r"(.+?)[-:@](?:latest|\d{8}|\d{4}-\d\d-\d\d)", name)
    return found[1] if found else ""
