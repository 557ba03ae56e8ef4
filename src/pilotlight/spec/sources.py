"""Where weights may come from, as far as their name tells."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

FORMS = "a path to a .gguf, hf://org/repo[@rev]/file.gguf, https://..., demo://50m or demo://1b"
DEMOS = ("50m", "1b")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[^@/\s]+)?/\S.*\.gguf", re.ASCII)


def source_fault(source: str) -> str | None:
    """Why no weights can come from `source`, whose path is absolute; None when nothing speaks against it.

    What is far away is not asked; a path must be a readable file.
    """
    match = _SCHEME.fullmatch(source)
    if match is None:
        return _file_fault(Path(source))
    scheme, rest = match.groups()
    if scheme == "demo":
        return None if rest.lower() in DEMOS else f"has no demo of that size; write one of {_listed(DEMOS)}"
    if scheme == "hf":
        return None if _HUB.fullmatch(rest) else "is not of the form hf://org/repo[@rev]/file.gguf"
    if scheme in ("https", "http"):
        return None if _host(source) else f"names no host; write {scheme}://host/path/file.gguf"
    return f"has an unknown scheme {scheme}://; write {FORMS}"


def _listed(sizes: tuple[str, ...]) -> str:
    return " or ".join(f"demo://{size}" for size in sizes)


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.port != 0 else None
    except ValueError:
        return None


def _file_fault(path: Path) -> str | None:
    try:
        if path.is_dir():
            return f"is a folder ({path}); name the .gguf file in it"
        if not path.exists():
            return f"does not exist ({path}); write {FORMS}"
    except (OSError, ValueError) as e:
        return f"cannot be looked at: {getattr(e, 'strerror', None) or e}"
    return None if os.access(path, os.R_OK) else f"cannot be read ({path}); see its permissions"
