"""Simulations, several at a time where that is worth it.

Worker processes are started afresh (`spawn`), which is safe whatever threads there are here, and read the traces once,
from a file: were they handed over, one that dies while it starts would be waited for for ever, for the pipe to it is
larger than what it holds, and this process has the other end open as well.
"""

import os
import pickle
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children, get_context, resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import current_thread, main_thread

import msgspec

from pilotlight.errors import PilotlightError
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

WORKERS = 2
WORTH_IT = 20_000
"""Requests of a trace from which on processes, which take half a second to start, save time [G]."""


class Job(msgspec.Struct, frozen=True):
    """One simulation."""

    name: str
    config: Config
    starts: StartTimes
    """Whose functions can be handed to another process: `portable` makes such."""
    trace: str = ""
    """By the name it was given with."""


Play = Callable[[Sequence[Job]], list[Result]]
"""The results in the order of the jobs."""

Told = Callable[[int, int, str], None]
"""How many simulations are done of how many, and which was the last."""


def portable(starts: StartTimes, names: Sequence[str], factor: float = 1.0) -> StartTimes:
    """The same, or so many times as long, with tables of these models in place of functions."""
    learned = {n: s * factor for n in names if (s := starts.learned(n)) is not None}
    wakes = {n: s * factor for n in names if (s := starts.wakes(n)) is not None}
    plain = starts.constant is None and not starts.drawn and not learned
    constant = starts.mean("") if plain else starts.constant
    return StartTimes(
        None if constant is None else constant * factor,
        tuple(s * factor for s in starts.drawn),
        learned.get,
        wakes.get,
        starts.source,
    )


@contextmanager
def player(traces: Mapping[str, Trace], seed: int, told: Told | None = None) -> Generator[Play]:
    """Plays jobs on these traces."""
    workers = min(WORKERS, os.cpu_count() or 1)
    told = told or _silent
    if workers < 2 or max((len(t) for t in traces.values()), default=0) < WORTH_IT:
        yield lambda jobs: _here(traces, seed, jobs, told)
        return
    with _written(traces) as file:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (file, seed))
        try:
            yield lambda jobs: _there(pool, traces, jobs, told)
        except BaseException:
            # Interrupted: what they still simulate is of no use, and waiting for them may never end.
            for process in active_children():
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


@contextmanager
def _written(traces: Mapping[str, Trace]) -> Generator[Path]:
    """A file with them. Raises PilotlightError where there is no room for one."""
    with ExitStack() as ends:
        try:
            file = Path(ends.enter_context(TemporaryDirectory(prefix="pilotlight-"))) / "traces"
            file.write_bytes(pickle.dumps(dict(traces)))
        except OSError as e:
            text = "the traces cannot be written for the processes that simulate"
            raise PilotlightError(f"{text} ({e}); set TMPDIR to a folder with room") from e
        yield file


def _silent(done: int, of: int, what: str) -> None:
    pass


def _here(traces: Mapping[str, Trace], seed: int, jobs: Sequence[Job], told: Told) -> list[Result]:
    found: list[Result] = []
    for job in jobs:
        found.append(simulate(traces[job.trace], job.config, job.starts, seed, name=job.name))
        told(len(found), len(jobs), job.name)
    return found


def _there(
    pool: ProcessPoolExecutor, traces: Mapping[str, Trace], jobs: Sequence[Job], told: Told
) -> list[Result]:
    """The longest first, so that no process waits for the other's last one."""
    order = sorted(range(len(jobs)), key=lambda i: -len(traces[jobs[i].trace]))
    with _uninterrupted():
        coming: dict[int, Future[Result]] = {i: pool.submit(_one, jobs[i]) for i in order}
    found: dict[int, Result] = {}
    for i in order:
        try:
            found[i] = coming[i].result()
        except BrokenProcessPool:
            raise PilotlightError(
                "a process that simulated was ended from outside; there may be too little memory for this trace"
            ) from None
        told(len(found), len(jobs), jobs[i].name)
    return [found[i] for i in range(len(jobs))]


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Who presses Ctrl-C means this process: it heeds him afterwards, and those that are started meanwhile never do,
    from before their interpreter runs. Raises KeyboardInterrupt at the end for what came meanwhile."""
    resource_tracker.ensure_running()  # which, where it begins later, lets the signal through again
    came: list[int] = []
    is_main = current_thread() is main_thread()
    heeded = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if is_main else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # here alone: other threads get it
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, heeded)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if came:
            signal.raise_signal(signal.SIGINT)


class _Worker(msgspec.Struct):
    """What a process was handed when it began."""

    traces: Mapping[str, Trace]
    seed: int


_workers: list[_Worker] = []


def _begin(file: Path, seed: int) -> None:
    traces = pickle.loads(file.read_bytes())  # noqa: S301 (of the process that started this one, in a folder of its own)
    _workers[:] = [_Worker(traces, seed)]


def _one(job: Job) -> Result:
    given = _workers[0]
    return simulate(given.traces[job.trace], job.config, job.starts, given.seed, name=job.name)
