"""What a client of an SDK costs a function: once, or at each invocation."""

import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator

import msgspec
from claim import NOT_HERE, REFINED, REFUTED, Claim

RUNS = 7
SDK = "openai"
SCOPE = ("SDK clients at module scope", "once per container in place of per invocation")
IMPORTS = ("SDK imports", "agent SDKs take 3-8 s")
CHILD = """\
import json, time
at = [time.perf_counter()]
import openai
at.append(time.perf_counter())
for _ in range(9):
    openai.OpenAI(api_key="none")
    at.append(time.perf_counter())
print(json.dumps([openai.__version__, [b - a for a, b in zip(at, at[1:])]]))
"""


class Times(msgspec.Struct, frozen=True):
    """Median seconds, of so many processes."""

    version: str
    imported: float
    made: float
    """The first client."""
    again: float
    """Each further one."""


def claims() -> Iterator[Claim]:
    if importlib.util.find_spec(SDK) is not None:
        yield from claims_of(measured())
        return
    for subject, claimed in (SCOPE, IMPORTS):
        yield Claim(subject, claimed, "article", "-", NOT_HERE, f"the {SDK} package is not installed")


def claims_of(t: Times) -> Iterator[Claim]:
    once = t.imported + t.made
    yield Claim(
        *SCOPE,
        "article",
        f"{SDK} {t.version}: {t.imported:.2f} s to import, which Python does once per process wherever it stands, "
        f"{1000 * t.made:.0f} ms for the first client, {1000 * t.again:.0f} ms for each further one. So it is "
        f"{1000 * t.again:.0f} ms and the connection that are saved per invocation; all {once:.2f} s only where each "
        "invocation has a process of its own.",
        REFINED if t.again < 0.5 * once else REFUTED,
        "measured",
    )
    yield Claim(
        *IMPORTS,
        "article",
        f"The {SDK} client alone: {t.imported:.2f} s.",
        NOT_HERE,
        "measured for one client; pilotlight has no agent SDK among what it is tested with",
    )


def measured(runs: int = RUNS) -> Times:
    found = []
    for _ in range(runs + 1):  # the first fills the page cache
        out = subprocess.run(
            [sys.executable, "-c", CHILD], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        found.append(json.loads(out))
    steps = [seconds for _, seconds in found[1:]]
    return Times(
        found[0][0],
        statistics.median(s[0] for s in steps),
        statistics.median(s[1] for s in steps),
        statistics.median(statistics.median(s[2:]) for s in steps),
    )
