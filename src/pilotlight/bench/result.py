"""What was measured, as values, for programs and for people."""

import os
import platform
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from pilotlight.bench.variants import Variant, used
from pilotlight.fleet.plan import Stage

ORDER = tuple(stage.value for stage in Stage)
REST = "other"
"""What no stage accounts for: the way to the gateway and back, and from one stage to the next."""


class Lap(msgspec.Struct, frozen=True):
    """One stage of one request; seconds since its arrival."""

    stage: str
    start: float
    seconds: float


class Run(msgspec.Struct, frozen=True):
    """One request to a model that was not up."""

    ttft: float
    """Seconds from sending the request to the first piece of the answer, as the client saw it."""
    laps: tuple[Lap, ...]
    start: str
    """What the gateway calls it: `cold`, `woken`, `warm`."""
    techniques: tuple[str, ...] = ()
    fell_back: str = ""
    busy: bool = False
    """Something else kept the machine busy when it began."""


class Measured(msgspec.Struct, frozen=True):
    variant: Variant
    runs: tuple[Run, ...]

    @property
    def ttft(self) -> float:
        return median(run.ttft for run in self.runs)

    def stages(self) -> dict[str, float]:
        """Median seconds of each stage, in the order of stages; steps may overlap."""
        return _medians([_sums(run.laps) for run in self.runs])

    def starts(self) -> dict[str, float]:
        """Median seconds from the arrival to each stage's begin."""
        return _medians([_begins(run.laps) for run in self.runs], zeros=True)

    def layers(self) -> dict[str, float]:
        """Seconds that each stage adds to the wait of the run in the middle: of two that overlap, the later counts
        from the end of the earlier, so that they add up to the whole."""
        middle = sorted(self.runs, key=lambda run: run.ttft)[(len(self.runs) - 1) // 2]
        return _medians([_layers(middle)])


class Report(msgspec.Struct, frozen=True):
    about: str
    """The model and the conditions."""
    measured: tuple[Measured, ...]
    machine: str
    date: str
    owned: bool = False
    """The machine's host was made to give back its free memory before each run."""

    def notes(self) -> list[str]:
        runs = [run for m in self.measured for run in m.runs]
        busy = sum(run.busy for run in runs)
        noise = [f"other programs kept the machine busy in {busy} of {len(runs)} runs"] if busy else []
        if self.owned:
            noise.append(
                "free memory was taken and let go of before each run, for this machine's host takes it back"
            )
        return [self.about, *noise, *(note for m in self.measured for note in _fallbacks(m))]

    def json(self) -> dict[str, Any]:
        """The figures for programs; seconds."""
        return {
            "results": [
                {
                    "technique": m.variant.name,
                    "runs": len(m.runs),
                    "ttft_s": [round(run.ttft, 6) for run in m.runs],
                    "stages": {name: round(seconds, 6) for name, seconds in m.stages().items()},
                }
                for m in self.measured
            ],
            "machine": self.machine,
            "date": self.date,
            "notes": self.notes(),
        }


def _fallbacks(m: Measured) -> list[str]:
    reasons = Counter(
        run.fell_back or f"the start was {run.start} and used {', '.join(run.techniques) or 'no technique'}"
        for run in m.runs
        if not used(m.variant, run.start, run.techniques)
    )
    name, runs = m.variant.name, len(m.runs)
    return [f"{name} fell back in {n} of {runs} runs: {reason}" for reason, n in reasons.items()]


def _sums(laps: Iterable[Lap]) -> dict[str, float]:
    out: dict[str, float] = {}
    for lap in laps:
        out[lap.stage] = out.get(lap.stage, 0.0) + lap.seconds
    return out


def _begins(laps: Iterable[Lap]) -> dict[str, float]:
    out: dict[str, float] = {}
    for lap in laps:
        out[lap.stage] = min(out.get(lap.stage, lap.start), lap.start)
    return out


def _layers(run: Run) -> dict[str, float]:
    out: dict[str, float] = {}
    covered = 0.0
    for lap in sorted(run.laps, key=lambda lap: (lap.start, lap.start + lap.seconds)):
        end = lap.start + lap.seconds
        out[lap.stage] = out.get(lap.stage, 0.0) + max(0.0, end - max(covered, lap.start))
        covered = max(covered, end)
    out[REST] = max(0.0, run.ttft - sum(out.values()))
    return out


def _medians(rows: Sequence[Mapping[str, float]], zeros: bool = False) -> dict[str, float]:
    """A stage that a run did not have took it no time, so one that few runs had is not shown as if all had."""
    names = {name for row in rows for name in row}
    found = {name: median(row.get(name, 0.0) for row in rows) for name in sorted(names, key=_place)}
    return {name: seconds for name, seconds in found.items() if seconds > 0 or zeros}


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def machine() -> str:
    """What it ran on, without its name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    cpu = found.group(1).strip() if found else platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kernel = re.match(r"[\d.]*\d", platform.release())
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {kernel.group(0) if kernel else platform.release()}"
    return ", ".join(
        [cpu, f"{cores} cores", f"{memory:.0f} GiB", system, f"Python {platform.python_version()}"]
    )


def today() -> str:
    return time.strftime("%Y-%m-%d")
