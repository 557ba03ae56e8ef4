"""Which headers travel. RFC 9110, section 7.6.1: what describes one connection ends with it."""

from collections.abc import Iterable

from multidict import CIMultiDict, CIMultiDictProxy

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip

_NOT_TO_ENGINE = HOP_BY_HOP | {
    "host", "content-length", "expect",
    "content-encoding",  # the body was unpacked when it was read
    "authorization", "x-api-key", "cookie",  # ours; an engine has no business with them
    "accept-encoding",  # the answer is read on its way (usage, the end of a stream)
}  # fmt: skip

_NOT_TO_CLIENT = HOP_BY_HOP | {
    "content-length", "date", "server",
    "access-control-allow-origin",  # an engine's word on who may reach it says nothing of who may reach us
}  # fmt: skip


def _forward(headers: CIMultiDictProxy[str] | CIMultiDict[str], drop: Iterable[str]) -> CIMultiDict[str]:
    if "Connection" in headers:
        named = ",".join(headers.getall("Connection"))
        drop = {*drop, *(name.strip().lower() for name in named.split(","))}
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in drop)


def to_engine(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return _forward(headers, _NOT_TO_ENGINE)


def to_client(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    return _forward(headers, _NOT_TO_CLIENT)


def printable(value: str | None, limit: int = 200) -> str | None:
    """A header's text as it may be written to a log: cut, and without bytes that are not UTF-8."""
    return None if value is None else value[:limit].encode("utf-8", "replace").decode()
