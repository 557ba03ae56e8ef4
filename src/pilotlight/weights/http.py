"""https://host/path/file.gguf, with the digest in the URL where one is known: `...#sha256=HEX`."""

import re
from urllib.parse import unquote, urlsplit

import msgspec

from pilotlight.errors import SourceError
from pilotlight.weights import split
from pilotlight.weights.remote import Remote

_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")
_DIGEST = re.compile(r"sha256=([0-9a-fA-F]{64})")


class HttpSource(msgspec.Struct, frozen=True):
    files: tuple[Remote, ...]
    names: tuple[str, ...]
    """File names, in the same order."""


def parse(source: str) -> HttpSource:
    """Raises SourceError when the URL cannot be one of a GGUF that may be trusted."""
    base, _, fragment = source.partition("#")
    shown = re.sub(r"//[^/]*@", "//", base.partition("?")[0])  # what may be shown: no password, no signature
    try:
        url = urlsplit(base)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise SourceError(f"{shown} is not a URL: {error}") from None
    if url.username or url.password:
        raise SourceError(
            f"{url.scheme}://{host}/...: a password in a URL is not supported; use a signed URL"
        )
    folder, _, last = url.path.rpartition("/")
    name = unquote(last)
    if not host or not re.fullmatch(r"[\w.\-+ @()\[\]]{1,150}", name) or not name.endswith(".gguf"):
        raise SourceError(f"{shown} does not name a .gguf file; write https://host/path/file.gguf")
    digest = _digest(shown, fragment)
    if url.scheme == "http" and digest is None and not _LOOPBACK.fullmatch(host):
        raise SourceError(f"{shown} can be changed on its way; use https, or add its digest as #sha256=HEX")
    parts = split.parts(last)
    if len(parts) > 1 and digest is not None:
        raise SourceError(f"{shown}: one digest cannot vouch for {len(parts)} parts; leave #sha256 away")
    urls = [url._replace(path=f"{folder}/{part}") for part in parts]
    files = tuple(Remote(unquote(u._replace(query="").geturl()), u.geturl(), sha256=digest) for u in urls)
    names = tuple(unquote(part) for part in parts)
    return HttpSource(files, names)


def _digest(shown: str, fragment: str) -> str | None:
    if not fragment:
        return None
    match = _DIGEST.fullmatch(fragment)
    if match is None:
        raise SourceError(f"{shown}#{fragment}: write the digest as #sha256= and 64 hexadecimal digits")
    return match[1].lower()
