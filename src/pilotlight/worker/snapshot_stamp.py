"""What has to be as it was for a dumped process to be of use: what it has mapped, what it was told, where it ran."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.ports import Launch

_OF_ENGINES = (
    "CUDA_", "GGML_", "GLIBC_", "GOMP_", "LC_", "LD_", "LLAMA_", "MALLOC_", "NVIDIA_", "OMP_", "PYTHON", "VK_",
)  # fmt: skip
_ALSO = frozenset({"HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER"})
_CPUINFO = 4096
"""Bytes of /proc/cpuinfo, which say it of the first core."""
_CHANGES = frozenset({b"cpu MHz", b"bogomips"})


def kept_env(server: Mapping[str, str], launch: Launch) -> dict[str, str]:
    """What an engine that is to be dumped finds in its environment: what libraries read when they load. All else it is
    told when it is restored; secrets that are not for it do not get into its images either."""
    chosen = {k: v for k, v in server.items() if k.startswith(_OF_ENGINES) or k in _ALSO}
    return {**chosen, **launch.env}


def stamp(
    launch: Launch, env: Mapping[str, str], order: Mapping[str, Any], criu: str, guest: Path
) -> dict[str, str]:
    """By what people call it. Blocking, about a millisecond."""
    files = [str(value) for value in (order["weights"], *order["args"].values()) if isinstance(value, str)]
    return {
        "its weights": _hash([_mark(Path(name)) for text in files for name in _parts(text)]),
        "its settings": _hash(order),
        "its environment": _hash([sorted(env.items()), launch.cwd]),
        "the engine": _hash([launch.argv, launch.preload and launch.preload.stamp, _marks(guest)]),
        "CRIU": _hash([criu, _mark(Path(criu))]),
        "the kernel, or when it was booted,": _hash([platform.uname()[:5], _boot()]),
        "the processor": _hash(_processor()),
    }


def _parts(text: str) -> list[str]:
    """A file that settings name, with the others where it is one part of several."""
    path = Path(text)
    if "-of-" not in path.name:
        return [text]
    end = path.name.rpartition("-of-")[2]
    return [text, *sorted(str(p) for p in path.parent.glob(f"*-of-{end}"))]


def _mark(path: Path) -> list[object]:
    try:
        found = path.stat()
    except (OSError, ValueError):  # no file's name
        return [str(path)]
    return [str(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def _marks(folder: Path) -> list[list[object]]:
    return [_mark(path) for path in sorted(folder.glob("*.py"))]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""


def _processor() -> list[str]:
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            text = file.read(_CPUINFO).partition(b"\n\n")[0]
    except OSError:
        return []
    lines = text.splitlines()
    return [os.fsdecode(line) for line in lines if line.partition(b"\t")[0] not in _CHANGES]


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]
