"""Runs the variants in turn, in an order shuffled anew each round, each on a server of its own."""

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec
import psutil

from pilotlight.bench import free_memory
from pilotlight.bench.asking import MODEL, Asking, wait_until
from pilotlight.bench.child import Child, Order
from pilotlight.bench.result import Measured, Run
from pilotlight.bench.variants import Variant, used
from pilotlight.coldstart.techniques import HUGE_PAGES
from pilotlight.errors import PilotlightError, ServerError
from pilotlight.spec.model import Config, EngineSettings, Model
from pilotlight.units import FOREVER

SEED = 20_26
"""Of the order and of the prompts: two benchmarks ask the same."""

SETTLE = 0.25
"""Seconds of quiet before a request is timed, for what an earlier one left to be done to be done."""

BUSY = 25.0
"""Per cent of all cores from which the machine is not quiet."""

PATIENCE = 12
"""Times that quiet is waited for; then the request is timed all the same, and the report says so."""

READY_WITHIN = 60.0
"""Seconds in which a zygote or a primed process is up, or is done without."""

NO_LONGER = 1.0
"""Seconds for one that was not up in time before."""

ASIDE_WITHIN = 60.0
"""Seconds in which a replica stops or sleeps."""

WEIGHTS = "weights"
"""Folder of those that are fetched in every run."""

TRIES = 3
"""Untimed requests before the first timed one, until the technique is in use."""

WORDS = (
    *("the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with"),
    *("they", "at", "be", "this", "have", "from", "or", "one", "by", "but", "not", "what", "all", "were", "we", "when"),
    *("can", "there", "use", "an", "each", "which", "do", "how", "their", "if", "will", "up", "other", "out", "then"),
)  # fmt: skip
"""Of English, the most frequent ones."""

Told = Callable[[Variant, Run | None], None]
"""A run is done; None for one that was not timed."""


class Subject(msgspec.Struct, frozen=True):
    """What is measured."""

    model: Model
    settings: EngineSettings
    config: Config
    """Where all else comes from: memory, GPUs, cache_dir."""
    config_dir: Path
    fetch: bool = False
    """The weights are not here when a run begins."""
    on_disk: tuple[Path, ...] = ()
    """Files that are not in memory when a run begins."""


def measure(
    subject: Subject, variants: Sequence[Variant], runs: int, argv: Sequence[str], told: Told
) -> list[Measured]:
    """`runs` requests to each; `argv` makes a server. Raises PilotlightError when a server or a start fails."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    done: dict[str, list[Run]] = {v.name: [] for v in variants}
    with contextlib.ExitStack() as stack:
        lanes = [stack.enter_context(_lane(subject, v, argv)) for v in variants]
        for lane in lanes:
            lane.prepare(dice)
            told(lane.variant, None)
        for _ in range(runs):
            asked = prompt(dice)
            for lane in dice.sample(lanes, len(lanes)):
                run = lane.timed(asked)
                done[lane.variant.name].append(run)
                told(lane.variant, run)
    return [Measured(v, tuple(done[v.name])) for v in variants]


class Lane:
    """One variant on its server."""

    def __init__(self, variant: Variant, subject: Subject, child: Child, folder: Path) -> None:
        self.variant = variant
        self._weights = folder / WEIGHTS
        self._subject = subject
        self._child = child
        self._asking = Asking(child.port, subject.model.startup_timeout + 60.0)
        self._patience = READY_WITHIN
        self._awake = ""
        """Why it was stopped when it was to be put to sleep."""

    def prepare(self, dice: random.Random) -> None:
        """Brings the weights into the page cache and the technique to where it can be used."""
        for _ in range(TRIES):
            run = self._ask(prompt(dice))
            if used(self.variant, run.start, run.techniques):
                break

    def timed(self, prompt: str) -> Run:
        if free_memory.is_taken_back():
            free_memory.take_and_let_go()
        busy = not any(psutil.cpu_percent(SETTLE) < BUSY for _ in range(PATIENCE))
        return msgspec.structs.replace(self._ask(prompt), busy=busy)

    def _ask(self, prompt: str) -> Run:
        shutil.rmtree(self._weights, ignore_errors=True)
        put_out_of_memory(self._subject.on_disk)
        try:
            run = self._explained(self._asking.ask(prompt))
            self._put_aside()
        except PilotlightError as e:
            raise PilotlightError(f"{self.variant.name}: {self._words(e)}") from None
        try:
            wait_until(self._at_hand, self._patience, "its technique")
        except ServerError:  # its next start falls back, and says so
            self._patience = NO_LONGER
        return run

    def _words(self, error: PilotlightError) -> str:
        return str(error) if self._child.alive else f"{error}; its last words:\n{self._child.tail()}"

    def _put_aside(self) -> None:
        if self.variant.sleeps:
            self._awake = self._asking.sleep(self._subject.model.sleep_level, ASIDE_WITHIN)
        if self._awake or not self.variant.sleeps:
            self._asking.stop(ASIDE_WITHIN)

    def _explained(self, run: Run) -> Run:
        if not self._awake or used(self.variant, run.start, run.techniques):
            return run
        return msgspec.structs.replace(run, fell_back=self._awake)

    def _at_hand(self) -> bool:
        primed, engine = self._asking.running()["primed"], self._subject.model.engine
        names = self.variant.techniques
        zygotes = any(z["ready"] for z in primed["zygotes"] if z["engine"] == engine)
        pool = primed["warm_pool"].get(engine, 0) > 0
        there = {
            "zygote": zygotes,
            "warm_pool": pool,
            "snapshot": self.variant.sleeps or bool(primed["snapshots"]),
        }
        return all(there.get(name, True) for name in names)


@contextlib.contextmanager
def _lane(subject: Subject, variant: Variant, argv: Sequence[str]) -> Generator[Lane]:
    with tempfile.TemporaryDirectory(prefix="pilotlight-bench-") as folder:
        child = Child(argv, Order(_config(subject, variant, folder), str(subject.config_dir)), Path(folder))
        with contextlib.closing(child):
            yield Lane(variant, subject, child, Path(folder))


def _config(subject: Subject, variant: Variant, folder: str) -> Config:
    """Nothing but the model, which goes only when it is told to."""
    model = msgspec.structs.replace(
        subject.model,
        techniques=(*variant.techniques, HUGE_PAGES.name),  # of memory, which all share
        aliases=(),
        min_replicas=0,
        max_replicas=1,
        ttl=FOREVER,
        ttl_to_zero=None,
        sleep_after=FOREVER,
        base=0,
        predictive=False,
        schedule=(),
        warmer=None,
        stand_in=None,
    )
    pool = 1 if "warm_pool" in variant.techniques else 0
    return Config(
        models={MODEL: model},
        port=0,
        memory=subject.config.memory,
        gpus=subject.config.gpus,
        engines={model.engine: msgspec.structs.replace(subject.settings, warm_pool=pool)},
        cache_dir=f"{folder}/{WEIGHTS}" if subject.fetch else subject.config.cache_dir,
        state_dir=folder,
    )


def put_out_of_memory(files: Sequence[Path]) -> None:
    """They stay on the disk. Not what some process has mapped: the kernel keeps that."""
    for file in files:
        fd = os.open(file, os.O_RDONLY)
        try:
            os.fsync(fd)  # a page that is not on the disk yet stays
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def prompt(dice: random.Random) -> str:
    """Three tokens for nearly any tokenizer, for it is the start that is measured; and new, for a repeated one is
    answered from a cache.

    How many there are weighs: behind a mark for the beginning llama.cpp takes 113 ms for two, 73 for three and 110 for
    four (the 1B in 8 bits on two cores). So the variants are asked the same in a round.
    """
    return " ".join(dice.choice(WORDS) for _ in range(3))
