"""hf://org/repo[@rev]/folder/file.gguf: the Hugging Face Hub.

`huggingface_hub` says where a file is, how long, and with what digest, and honours HF_TOKEN, HF_ENDPOINT,
HF_HUB_OFFLINE and its other variables; the bytes then come as from any web server. Its own download would
begin again from nothing after a kill.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote

import msgspec

from pilotlight.errors import SourceError
from pilotlight.ports import Progress
from pilotlight.weights import split
from pilotlight.weights.path import check_magic
from pilotlight.weights.remote import Remote

_FORM = "hf://org/repo/file.gguf or hf://org/repo@revision/file.gguf"
_NAME = r"[A-Za-z0-9][\w.\-]*"
_SOURCE = re.compile(rf"hf://(?P<repo>{_NAME}/{_NAME})(?:@(?P<rev>[^/]+))?/(?P<file>.+\.gguf)", re.ASCII)
_PIECE = 4 << 20


class HubSource(msgspec.Struct, frozen=True):
    repo: str
    revision: str
    """A branch, a tag or a commit."""
    files: tuple[str, ...]
    """Every part, with sub-folders."""


class Unreachable(SourceError):
    """Worth another attempt."""


class Found(msgspec.Struct, frozen=True):
    """What the hub says of a source at this moment."""

    commit: str
    files: tuple[Remote, ...]


def parse(source: str) -> HubSource:
    """Raises SourceError for anything but the documented form."""
    match = _SOURCE.fullmatch(source)
    file = match["file"] if match else ""
    if match is None or "\\" in file or any(step in ("", ".", "..") for step in file.split("/")):
        raise SourceError(f"{source} does not name a file on the Hugging Face Hub; write {_FORM}")
    folder, _, name = file.rpartition("/")
    files = (f"{folder}/{part}" if folder else part for part in split.parts(name))
    # A revision with a slash in it, such as refs/pr/1, is written refs%2Fpr%2F1 as the hub's own URLs do.
    return HubSource(match["repo"], unquote(match["rev"] or "main"), tuple(files))


def look_up(source: HubSource) -> Found:
    """Asks the hub. Raises SourceError with a remedy: no such thing, gated, private, offline, unreachable."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415 - 0.2 s
    from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415

    headers: dict[str, str] = dict(build_hf_headers())
    revision, files = source.revision, list[Remote]()
    for file in source.files:
        url = hf_hub_url(source.repo, file, revision=revision)
        try:
            metadata = get_hf_file_metadata(url)
        except Exception as error:  # its HTTP library, and with it the errors, differ by version
            raise _explain(source, file, error) from error
        if metadata.commit_hash is None:
            raise SourceError(f"{url} is not answered by a Hugging Face Hub; check HF_ENDPOINT")
        if metadata.size is not None and metadata.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise SourceError(
                f"{_shown(source, file)} has more than 50 GB, which only the hub's own client gets: run "
                f"`hf download {source.repo} {file}` once; it is found in the hub's cache then"
            )
        revision = metadata.commit_hash  # so that all parts are of one commit
        files.append(Remote(_shown(source, file), url, headers, _sha256(metadata.etag), metadata.size))
    return Found(revision, tuple(files))


def _sha256(etag: str | None) -> str | None:
    # Large files have their SHA-256 for an ETag; small ones, kept in git itself, a digest of another kind.
    return etag if etag and re.fullmatch(r"[0-9a-f]{64}", etag) else None


def _shown(source: HubSource, file: str) -> str:
    revision = "" if source.revision == "main" else f"@{source.revision}"
    return f"hf://{source.repo}{revision}/{file}"


def already_here(source: HubSource, progress: Progress) -> Sequence[tuple[Path, str | None]]:
    """The files in the hub's own cache (HF_HUB_CACHE), verified; empty when not all are there."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    files: list[tuple[Path, str | None]] = []
    for file in source.files:
        found = try_to_load_from_cache(source.repo, file, revision=source.revision)
        if not isinstance(found, str) or not Path(found).is_file():
            return ()
        files.append((Path(found), None))
    # There, a file's blob is named by its digest.
    total, done = sum(path.stat().st_size for path, _ in files), 0
    for index, (path, _) in enumerate(files):
        check_magic(path)
        expected = _sha256(path.resolve().name)
        if expected is not None:

            def report(n: int, done: int = done) -> None:
                progress(done + n, total)

            if _digest(path, report) != expected:
                return ()
            files[index] = (path, expected)
        done += path.stat().st_size
    return files


def _digest(path: Path, report: Callable[[int], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as data:
        while piece := data.read(_PIECE):
            digest.update(piece)
            done += len(piece)
            report(done)
    return digest.hexdigest()


def _explain(source: HubSource, file: str, error: Exception) -> SourceError:
    from huggingface_hub import constants, errors  # noqa: PLC0415

    what, repo, revision = _shown(source, file), source.repo, source.revision
    page = f"{constants.ENDPOINT}/{repo}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    match error:
        case errors.GatedRepoError():
            remedy = f"it is gated: accept its terms at {page}, and set HF_TOKEN to a token of that account"
        case errors.RepositoryNotFoundError():
            remedy = (
                f"there is no repository {repo}, or it is private: check {page}, and set HF_TOKEN to a token "
                "that may read it"
            )
        case errors.RevisionNotFoundError():
            remedy = f"{repo} has no revision {revision}; see {page}"
        case errors.EntryNotFoundError():
            remedy = f"there is no {file} at revision {revision}; see {page}/tree/{revision}"
        case errors.OfflineModeIsEnabled():
            remedy = (
                "it is not on this machine, and HF_HUB_OFFLINE is set; unset that, or bring the file here"
            )
        case _ if status in (401, 403):
            remedy = f"the hub refuses (HTTP {status}): HF_TOKEN is missing, wrong, or may not read {repo}"
        case _ if status is not None:
            return Unreachable(f"{what}: {constants.ENDPOINT} answered HTTP {status}; try again later")
        case _:
            reason = str(error).partition("\n")[0] or type(error).__name__
            return Unreachable(
                f"{what}: {constants.ENDPOINT} cannot be reached ({reason}); check network and HF_ENDPOINT"
            )
    return SourceError(f"{what}: {remedy}")
