"""Makes an engine's environment. What goes into it is data: see engines/homes.py."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec

import pilotlight
from pilotlight.engines import homes
from pilotlight.engines.homes import HALF, MARK, Home, Mark, Recipe
from pilotlight.errors import EngineError

Say = Callable[[str], None]
"""Told of each step, one line."""

GUEST = Path(pilotlight.__file__).parent.parent / "pilotlight_guest"
TELLING = ("Collecting ", "Downloading ", "Installing collected", "Building wheel", "Successfully ")
"""Beginnings of the lines of pip that are worth showing."""
_LAST = 15
"""Lines shown of what a failed step has said."""

_VERSIONS = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = m.version(name)
    except m.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
_IMPORT = """
import sys, types
sys.modules["pilotlight_guest"] = package = types.ModuleType("pilotlight_guest")
package.__path__ = [sys.argv[1]]
__import__("pilotlight_guest." + sys.argv[2])
getattr(package, sys.argv[2]).preload()
"""


class Order(msgspec.Struct, frozen=True):
    """What to install."""

    name: str
    version: str = ""
    python: str = sys.executable
    torch_index: str = ""
    """Where torch comes from, in place of pip's own index."""
    indexes: tuple[str, ...] = ()
    """Further indexes for all."""
    again: bool = False


def install(order: Order, say: Say) -> Home:
    """The environment, made now or there already. Raises EngineError."""
    recipe = homes.RECIPES.get(order.name)
    if recipe is None:
        raise EngineError(
            f"there is no engine {order.name!r} to install; there are {', '.join(homes.RECIPES)}"
        )
    folder = homes.root() / order.name
    with locked(order.name) as lock:
        found = _there(order, recipe)
        if found is not None and not order.again:
            say(f"{order.name} is installed already, in {found.folder}")
            return found
        return _Work(order, recipe, folder, say, lock).run()


def remove(name: str) -> Path:
    """The folder that is gone. Raises EngineError when there is none, or when it is being installed."""
    folder = homes.root() / name
    with locked(name):
        if name not in homes.RECIPES or not folder.exists():
            raise EngineError(f"engine {name} is not installed in {homes.root()}")
        _discard(folder)
    return folder


def installing(name: str) -> bool:
    """Whether somebody is at it now."""
    try:
        with locked(name):
            return False
    except EngineError:
        return True


@contextlib.contextmanager
def locked(name: str) -> Generator[int]:
    """Held by one process at a time, and let go of by the system when that ends, with all that it has handed the
    descriptor to. Raises EngineError at once."""
    path = homes.root() / f".{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(f"engine {name} is being installed or removed by another process") from None
        yield file.fileno()


def _there(order: Order, recipe: Recipe) -> Home | None:
    try:
        found = homes.find(order.name)
    except EngineError:
        return None
    mark = homes.read_mark(found.folder)
    asked = order.version or recipe.version
    same = asked in ("", found.versions.get(recipe.package))
    return found if same and mark is not None and mark.digest == recipe.digest else None


def _discard(folder: Path) -> None:
    """Without its marker first, so that no half of it is ever taken for a whole."""
    (folder / HALF).touch()
    shutil.rmtree(folder)


class _Work:
    """One installation."""

    def __init__(self, order: Order, recipe: Recipe, folder: Path, say: Say, lock: int) -> None:
        self._order = order
        self._recipe = recipe
        self._folder = folder
        self._say = say
        self._lock = lock
        self._version = order.version or recipe.version
        self._python = str(folder / "bin" / "python")
        self._log = folder.parent / f"{order.name}.log"

    def run(self) -> Home:
        if self._folder.exists():
            self._say(f"removing what is in {self._folder}")
            _discard(self._folder)
        self._folder.mkdir(parents=True)
        (self._folder / HALF).touch()
        self._log.unlink(missing_ok=True)
        self._say(f"making a virtual environment in {self._folder}")
        self._do(self._order.python, "-m", "venv", str(self._folder), what="the virtual environment")
        self._install()
        self._say("trying it")
        self._try_it()
        return self._finish()

    def _install(self) -> None:
        recipe, order = self._recipe, self._order
        more = [word for url in order.indexes for word in ("--extra-index-url", url)]
        if recipe.before:
            index = ["--index-url", order.torch_index] if order.torch_index else []
            self._pip("install", *recipe.before, *index, *more)
        extra = ["--extra-index-url", order.torch_index] if order.torch_index else []
        self._pip("install", self._requirement(), *recipe.beside, *extra, *more)
        if recipe.remove:
            self._pip("uninstall", "--yes", *recipe.remove)
        if recipe.known_as is not None:
            name, version = recipe.known_as
            self._make_known(name, version.format(version=self._version))

    def _requirement(self) -> str:
        return f"{self._recipe.package}=={self._version}" if self._version else self._recipe.package

    def _pip(self, verb: str, *words: str) -> None:
        quiet = ["--progress-bar", "off"] if verb == "install" else []
        self._do(self._python, "-m", "pip", verb, "--disable-pip-version-check", *quiet, *words, what="pip")

    def _make_known(self, name: str, version: str) -> None:
        folder = self._packages() / f"{name}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "INSTALLER").write_text("pilotlight\n")

    def _packages(self) -> Path:
        return next((self._folder / "lib").glob("python3.*/site-packages"))

    def _try_it(self) -> None:
        """An installation that cannot be imported is none."""
        module = self._recipe.imports
        words = (
            (_IMPORT, str(GUEST), module) if module else (f"import {self._recipe.package.replace('-', '_')}",)
        )
        self._do(self._python, "-I", "-c", *words, what=f"importing {self._order.name}")

    def _finish(self) -> Home:
        names = (self._recipe.package, "torch")
        done = subprocess.run([self._python, "-I", "-c", _VERSIONS, *names], capture_output=True, check=True)
        mark = Mark(
            recipe=self._order.name,
            digest=self._recipe.digest,
            versions=json.loads(done.stdout),
            libraries=self._libraries(),
            made=time.time(),
            size=sum(path.lstat().st_size for path in self._folder.rglob("*")),
        )
        written = self._folder / f"{MARK}.new"
        written.write_bytes(msgspec.json.encode(mark))
        written.replace(self._folder / MARK)
        (self._folder / HALF).unlink()
        return homes.find(self._order.name)

    def _libraries(self) -> tuple[str, ...]:
        """vLLM on a CPU wants torch's own OpenMP, and its own allocator, before all others: for its workers it sets
        LD_PRELOAD, which a fork comes too late for."""
        if self._recipe.imports != "vllm_server":
            return ()
        patterns = ("vllm/libs/libtcmalloc*.so*", "torch.libs/libgomp*.so*", "torch/lib/libgomp*.so*")
        found = [sorted(self._packages().glob(pattern)) for pattern in patterns]
        return tuple(str(paths[0]) for paths in (found[0], found[1] or found[2]) if paths)

    def _do(self, *words: str, what: str) -> None:
        """Runs it, with its words in the log and the telling ones told. Raises EngineError with its last lines."""
        said: list[str] = []
        with self._log.open("a") as log, _process(words, self._lock) as process:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                said.append(line.rstrip())
                if line.strip().startswith(TELLING):
                    self._say(line.strip()[:200])
        if process.returncode:
            raise EngineError(self._fault(what, process.returncode, said))

    def _fault(self, what: str, status: int, said: Sequence[str]) -> str:
        hint = f"\n{self._recipe.hint}" if self._recipe.hint and not self._order.torch_index else ""
        last = "\n".join(f"  {line}" for line in said[-_LAST:])
        return f"{what} failed with status {status}; all of it is in {self._log}\n{last}{hint}"


@contextlib.contextmanager
def _process(words: Sequence[str], lock: int) -> Generator[subprocess.Popen[str]]:
    """Interrupted, it is ended with us; it holds the lock too, for a `kill -9` of us leaves it at work."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        pass_fds=(lock,),
    )
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
