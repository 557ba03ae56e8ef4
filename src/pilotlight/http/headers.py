"""Which headers travel. RFC 9110, section 7.6.1: what describes one connection ends with it."""

from collections.abc import Sequence, Set

from multidict import CIMultiDict

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
        b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

_NOT_TO_ENGINE = HOP_BY_HOP | {
    b"host", b"content-length", b"expect",
    b"content-encoding",  # the body was unpacked when it was read
    b"authorization", b"x-api-key", b"cookie",  # ours; an engine has no business with them
    b"x-pilotlight-class", b"x-pilotlight-stand-in", b"x-pilotlight-hedge", b"x-pilotlight-leave-house",  # said to us
    b"accept-encoding",  # the answer is read on its way (usage, the end of a stream)
}  # fmt: skip

_NOT_TO_CLIENT = HOP_BY_HOP | {
    b"content-length", b"date", b"server",
    b"x-pilotlight-request-id", b"x-pilotlight-start", b"x-pilotlight-served-model",  # ours
    b"x-pilotlight-served-by", b"x-pilotlight-cost-usd",
    b"access-control-allow-origin",  # an engine's word on who may reach it says nothing of who may reach us
}  # fmt: skip


SERVER = "pilotlight"
"""How we call ourselves, in place of what the HTTP library would say."""

Raw = Sequence[tuple[bytes, bytes]]
"""Names and values as they came."""


def _forward(headers: Raw, drop: Set[bytes]) -> list[tuple[bytes, bytes]]:
    kept = [h for h in headers if h[0].lower() not in drop]
    if len(kept) < len(headers):
        named = [v for k, v in headers if k.lower() == b"connection"]
        if named and named != [b"keep-alive"]:
            hops = {name.strip().lower() for name in b",".join(named).split(b",")}
            kept = [h for h in kept if h[0].lower() not in hops]
    return kept


def to_engine(headers: Raw) -> bytes:
    """The lines of a request's head."""
    return _lines(_forward(headers, _NOT_TO_ENGINE))


def to_client(headers: Raw) -> bytes:
    """The lines of an answer's head."""
    return _lines(_forward(headers, _NOT_TO_CLIENT))


def for_client(headers: Raw) -> CIMultiDict[str]:
    """The same for an answer of which aiohttp writes the head."""
    kept = _forward(headers, _NOT_TO_CLIENT)
    return CIMultiDict([(k.decode("latin-1"), v.decode("utf-8", "surrogateescape")) for k, v in kept])


def _lines(headers: Raw) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def printable(value: str | None, limit: int = 200) -> str | None:
    """A header's text as it may be written to a log: cut, and without bytes that are not UTF-8."""
    return None if value is None else value[:limit].encode("utf-8", "replace").decode()
