"""Every seam on one page. Each has a real part, a fake that ships, and one contract suite for both.

Engine      knows one kind of server: what it needs, how it is launched, how it says that it is ready
Substrate   where processes run, and the promise that none outlives its owner
Weights     where weights come from and how they get to this disk
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.spec.model import Model

Progress = Callable[[int, int | None], None]
"""Bytes done and, when known, bytes in all."""

Early = Callable[[Path], None]
"""A half file whose header has arrived. It has its full length, and what has not come yet reads as zeros."""


# -- Substrate ---------------------------------------------------------------------------------------------------


class Preload(msgspec.Struct, frozen=True):
    """What a zygote imports before it forks. Equal values share one zygote."""

    engine: str
    python: tuple[str, ...]
    """The interpreter and its flags."""
    path: tuple[str, ...]
    """Folders for its sys.path, last, where an installed package would come; pilotlight_guest is there without."""
    module: str
    """Has `preload()`, called once in the zygote, and `serve()`, called in each fork, which does not return."""
    env: tuple[tuple[str, str], ...] = ()
    """Environment that libraries read while they load."""
    stamp: str = ""
    """Changes when what is installed there has changed: then the zygote is made anew."""


class Zygote(msgspec.Struct, frozen=True):
    """One that is there, as others see it."""

    engine: str
    pid: int
    ready: bool
    """It can fork now."""
    pids: tuple[int, ...]
    """It, and those below it that share its memory and belong to no fork."""


class Command(msgspec.Struct, frozen=True):
    """One process to run, with everything it may start, until it is stopped."""

    replica: str
    """Unique for this server; also the mark by which stray processes are known again."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment."""
    cwd: str
    log: Path
    """Standard output and error go here, capped at `log_max_size`, one older file kept as `<log>.1`."""
    log_max_size: int
    stop_argv: tuple[str, ...] | None = None
    """Run before the signals when it is stopped, and also after its owner was killed; `${PID}` is replaced."""
    channel: bool = False
    """Give the process a duplex stream socket as the fd named in its environment variable PILOTLIGHT_CHANNEL."""
    preload: Preload | None = None
    """Fork it from the zygote that has done this, in place of running argv; all else is as for any other."""


class Exit(msgspec.Struct, frozen=True):
    """How a process ended: exactly one is set, or neither when nobody could see it."""

    code: int | None = None
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"was killed by signal {self.signal}"
        return f"exited with status {self.code}" if self.code is not None else "ended"


class Process(Protocol):
    """A running command. When `wait` returns, it and everything it started are gone."""

    @property
    def pid(self) -> int:
        """Of the command itself."""
        ...

    @property
    def channel(self) -> int | None:
        """Our end of the channel (a socket's fd, non-blocking, owned by the caller from here on)."""
        ...

    async def ended(self) -> Exit:
        """Returns when the command itself has ended, while what it started may still be cleared up."""
        ...

    async def wait(self) -> Exit: ...

    def log_to(self, log: Path) -> None:
        """From now on its output goes there, capped as before."""
        ...

    async def stop(self, grace: float) -> Exit:
        """stop_argv, then SIGTERM to the whole group, then after `grace` seconds SIGKILL to every descendant.

        Also right for a process that has ended already. Cancelling it does not call the stop off.
        """
        ...

    def pids(self) -> Sequence[int]:
        """The command and all its living descendants, also those that left its group or session.

        Of a fork also what shares the memory that was its zygote's, so that all of that is counted somewhere.
        """
        ...


class Substrate(Protocol):
    async def spawn(self, command: Command) -> Process:
        """Returns once the process exists. Raises EngineError naming the command when it cannot be run, and
        ZygoteUnavailable when it was to be forked and no zygote can now."""
        ...

    def zygote_ready(self, preload: Preload) -> bool:
        """Whether a fork would be answered now. Cheap."""
        ...

    def warm_zygote(self, preload: Preload, log: Path, env: Mapping[str, str]) -> None:
        """Begins to start one in the background and returns at once.

        Does nothing when there is one or one is coming, nor after a failure before a back-off has passed.
        """
        ...

    def zygotes(self) -> Sequence[Zygote]: ...

    def keep_zygotes(self, preloads: Collection[Preload]) -> None:
        """Lets go of all others; what was forked from them goes on."""
        ...

    async def end_zygotes(self) -> None:
        """Lets go of all; what was forked from them goes on. Returns when they have ended and their memory is free."""
        ...

    async def sweep(self) -> int:
        """Kills what an earlier owner of the same state folder left behind; how many processes there were."""
        ...

    async def close(self) -> None:
        """Stops everything at once and waits until it is gone."""
        ...


# -- Weights -----------------------------------------------------------------------------------------------------


class Weights(Protocol):
    """The cache of weights on this machine."""

    def check(self, source: str) -> None:
        """Raises SourceError when the source can never be one: unknown scheme, missing file, bad form."""
        ...

    def local(self, source: str) -> Path | None:
        """The file, when it is here whole; no network, cheap."""
        ...

    def files(self, source: str) -> Sequence[Path]:
        """All of its files that hold weights, when it is here whole. Nothing is asked, and nothing raised."""
        ...

    def streams(self, source: str) -> bool:
        """Whether `fetch` would bring it as one file, its beginning first. Nothing is asked, and nothing raised."""
        ...

    def fetch(self, source: str, progress: Progress | None = None, early: Early | None = None) -> Path:
        """Blocking; run it in a thread. Whole and verified under its final name, or SourceError.

        `progress` is called in the same thread. An exception from it ends the fetch, and another may be begun. So is
        `early`, at most once, and not at all where the header is not seen before the rest. The half file that it is
        given becomes the whole one, unless the fetch has to begin anew: then that is another file.
        """
        ...

    def size_hint(self, source: str) -> int | None:
        """Bytes of all parts, where they are known without network. Raises nothing."""
        ...


# -- Engine ------------------------------------------------------------------------------------------------------


class WeightsInfo(msgspec.Struct, frozen=True):
    """What an engine wants to know of weights that are here. Numbers that a file does not have are 0."""

    size: int
    """Bytes, all parts together."""
    n_ctx_train: int = 0
    """Tokens of context that the model was trained for."""
    k_numbers: int = 0
    """Numbers that one token of context takes as keys, all layers together."""
    v_numbers: int = 0
    """The same for values."""
    types: frozenset[int] = frozenset()
    """Of tensors, as GGUF numbers them; read only of a file that is still arriving."""


class Launch(msgspec.Struct, frozen=True):
    """How the worker brings a replica up."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    """Added to the server's own environment."""
    cwd: str
    url: str
    """Base URL it will serve under, without a trailing slash. Port 0 when the engine reports the real one."""
    health: str
    """Path that answers 200 when ready and is probed from then on."""
    stop_argv: tuple[str, ...] | None = None
    reports: bool = False
    """It tells its own stages, port and readiness over the channel (pilotlight_guest/llamacpp_server.py shows the
    words); otherwise health is probed at a short fixed interval."""
    wants_weights: bool = False
    """It waits for its weights and settings on the channel, so that fetch runs beside spawn and import."""
    preload: Preload | None = None
    """It can be forked from a process that has done this."""
    scratch: bool = False
    """It leaves temporary files and shared memory behind, which are to go with it."""
    streams: frozenset[int] = frozenset()
    """Types of tensors, as GGUF numbers them, that it does not read while it loads: a file that has no others may
    still be arriving then. It is told when the file is whole, and computes nothing before."""
    sleeps: str = ""
    """How it is put aside: `channel` (told so there), `http` (vLLM's /sleep and /wake_up), or not at all."""


class Engine(Protocol):
    """Pure: it says what is to be done and does nothing."""

    @property
    def name(self) -> str: ...

    def plan(self, model: Model) -> Plan:
        """The plain start, which techniques may rewrite."""
        ...

    def techniques(self, model: Model) -> tuple[str, ...]:
        """Names of what may shorten a start of this model; see coldstart/techniques.py."""
        ...

    def need(self, model: Model, weights: WeightsInfo | None) -> Need:
        """From what the operator said, else estimated from the weights' size and the context."""
        ...

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch: ...

    def settings(self, model: Model, weights: WeightsInfo | None) -> Mapping[str, bool | int | float | str]:
        """Sent over the channel together with the weights' path; empty for an engine that does not want them."""
        ...
