"""Where weights may come from, as far as their name tells."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

FORMS = "a path to a .gguf, hf://org/repo[@rev]/file.gguf, https://..., demo://50m or demo://1b"
DEMOS = ("50m", "1b")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[^@/\s]+)?/\S.*\.gguf", re.ASCII)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[^@/\s]+)?", re.ASCII)

REPOSITORY_FORMS = "org/model, hf://org/model[@rev] or a folder in Hugging Face's layout"
"""Of engines that fetch by themselves."""


def is_repository(text: str, path: Path) -> bool:
    """Whether `org/model` means a repository: nothing lies at `path`, where it would be on this machine."""
    return (
        bool(_REPOSITORY.fullmatch(text)) and text[0] not in ".~" and not _is_gguf(text) and not _there(path)
    )


def repository_fault(source: str) -> str | None:
    """Why an engine that fetches by itself can get no weights from `source`. What is far away is not asked."""
    path = Path(source)
    if path.is_absolute():
        return _folder_fault(path)
    if _is_gguf(source):
        return f"is a .gguf file; write {REPOSITORY_FORMS}, or use `engine: llamacpp`"
    if _REPOSITORY.fullmatch(source.removeprefix("hf://")):
        return None
    return f"names no model; write {REPOSITORY_FORMS}"


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


def _is_gguf(source: str) -> bool:
    return source.lower().endswith(".gguf")


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return True


def _folder_fault(path: Path) -> str | None:
    try:
        if not path.exists():
            return f"does not exist ({path}); write {REPOSITORY_FORMS}"
        if not path.is_dir():
            return f"is a file ({path}); name the folder that its config.json is in"
        if not (path / "config.json").exists():
            return f"has no config.json ({path}); it is not in Hugging Face's layout"
    except (OSError, ValueError) as e:
        return f"cannot be looked at: {getattr(e, 'strerror', None) or e}"
    return None


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
