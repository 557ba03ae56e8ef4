"""What an HTTP answer says of the file it carries, and which redirects are followed."""

import base64
import binascii
import re
import urllib.request
from email.message import Message
from typing import IO, Any
from urllib.parse import urlsplit

from pilotlight.errors import SourceError


def content_range(headers: Message) -> tuple[int, int | None]:
    """Where the part begins and how long the whole is; (-1, None) when that is not said."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    if match is None:
        return -1, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def content_length(headers: Message) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def strong_etag(headers: Message) -> str | None:
    """Weak ones do not vouch for bytes."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def retry_after(headers: Message) -> float:
    """Seconds; 0 when the server does not say."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0


def offered_sha256(headers: Message) -> str | None:
    """The SHA-256 of the whole file, in hexadecimal, where the server gives it (RFC 9530, RFC 3230, S3)."""
    found = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", headers.get("Repr-Digest", ""))
    found = found or re.search(r"sha-256=([A-Za-z0-9+/=]+)", headers.get("Digest", ""), re.IGNORECASE)
    text = found[1] if found else headers.get("x-amz-checksum-sha256", "")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return raw.hex() if len(raw) == 32 else None


class Redirects(urllib.request.HTTPRedirectHandler):
    """Never from https to http, and without carrying a token to another origin."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in {"https", old.scheme}:
            raise SourceError(f"{old.hostname} redirects from {old.scheme} to {new.scheme}; that is refused")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            request.remove_header("Authorization")
        return request
