"""A long trace is gone through piece by piece. Here pieces are so short that any trace is long; what comes out must be
what comes out of one piece, but for the last digits of sums."""

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.sim import columns
from pilotlight.sim.oracle import oracle, peak_levels
from pilotlight.sim.result import TIMINGS
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.sim.traces.read import read
from pilotlight.sim.traffic_text import synthetic
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config

PIECE = 64


@contextmanager
def short_pieces(rows: int = PIECE) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "PIECE", rows)
        yield


def near(a: Any, of: Callable[[float], Any] = lambda x: pytest.approx(x, rel=1e-9, abs=1e-9)) -> Any:
    """Numbers but for their last digits; all else as it is."""
    if isinstance(a, dict):
        return {k: near(v, of) for k, v in a.items()}
    if isinstance(a, list | tuple):
        return [near(v, of) for v in a]
    return of(a) if isinstance(a, float) else a


def exact(a: Any) -> Any:
    """The same without the leniency."""
    return near(a, float)


# ---- the figures -----------------------------------------------------------------------------------


def config(defaults: str, more: str = "") -> Config:
    text = (
        f"defaults: {{max_replicas: 6, target_requests: 2, max_requests: 2, {defaults}}}\n{more}\n"
        "simulation: {first_token: 50ms, per_token: 20ms, per_prompt_token: 0.1ms, slowdown: 0.1, hedged: 20%"
        f"{', providers: {near: {fails: 20%}}' if 'near' in more else ''}}}\n"
    )
    return parse(text, "test", {}, simulated=True)


PROVIDER = (
    "providers: {near: {base_url: 'https://near.example/v1', price: {second_usd: 0.001}, first_token: 1s}}"
)


def mixed(n: int = 1500) -> Trace:
    """Of three models, with classes, sessions and stand-ins."""
    made = synthetic("synthetic://bursty?rate=2000/h&hours=1&models=3&output=60&seed=3")
    dice = np.random.default_rng(5)
    columns = (made.t, np.array(["a", "b", "c"])[made.model], made.prompt_tokens, made.output_tokens)
    rows = [*zip(*(c[:n].tolist() for c in columns), strict=True)]
    return Trace.from_rows(
        "mixed", rows,
        sessions=dice.integers(-1, 40, len(rows)).tolist(),
        classes=[("critical", "standard", "batch")[i] for i in dice.integers(0, 3, len(rows))],
        stand_in=(dice.random(len(rows)) < 0.5).tolist(),
    )  # fmt: skip


def plain(n: int = 1500) -> Trace:
    trace = mixed(n)
    return Trace("plain", trace.models, trace.t, trace.model, trace.prompt_tokens, trace.output_tokens)


@pytest.mark.parametrize("made", [plain, mixed])
@pytest.mark.parametrize(
    ("defaults", "more"),
    [
        ("ttl: 60s", ""),
        ("ttl: auto, base: auto", ""),
        ("ttl: 60s, max_pending_requests: 5", ""),
        ("ttl: 60s, burst: {provider: near}", PROVIDER),
        (
            "ttl: 60s, batch_deadline: 10m",
            "models: {a: {source: 'demo://50m', stand_in: b}, b: {source: 'demo://50m'}}",
        ),
    ],
)
def test_a_replay_of_many_pieces_has_the_figures_of_one(made: Callable[[], Trace], defaults: str, more: str):
    given = config(defaults, more)
    one = simulate(made(), given, constant(20.0), 7, bill=True, by="class")
    with short_pieces():
        many = simulate(made(), given, constant(20.0), 7, bill=True, by="class")
    assert near(figures(many)) == exact(figures(one))
    assert many.series == one.series
    assert one.evaluated > 10 * PIECE


def figures(found: Any) -> dict[str, Any]:
    return {k: v for k, v in found.figures().items() if k not in TIMINGS}


requests = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 12), st.sampled_from("ab")), min_size=1, max_size=60
)


@settings(max_examples=150)
@given(requests, st.integers(1, 3), st.integers(1, 6), st.sampled_from([0.0, 0.3]))
def test_the_oracle_of_many_pieces_is_that_of_one(
    rows: list[tuple[int, int, str]], slots: int, pieces: int, warm_up: float
):
    trace = Trace.from_rows("x", [(t, m, 1, seconds) for t, seconds, m in rows])
    common: dict[str, Any] = {"slots": slots, "first_token": 0.0, "per_token": 1.0}

    def found() -> tuple[Any, dict[str, int]]:
        best = oracle(trace, start=4.0, dedicated=1.0, premium=2.5, warm_up=warm_up, **common)
        levels = [(x.model, x.level, x.gpu_hours, x.cost_usd, x.always_on) for x in best.levels]
        return (best.cost_usd, best.gpu_hours, best.by_model, levels), peak_levels(trace, **common)

    one = found()
    with short_pieces(pieces):
        many = found()
    assert near(many) == exact(one)


# ---- readers ---------------------------------------------------------------------------------------


def written(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["t", "model", "prompt_tokens", "output_tokens", "session", "class", "stand_in"]]
        )
        csv.writer(file).writerows(rows)
    return path


def rows(n: int, *, clock: float = 0.0, shuffled: bool = False) -> list[list[Any]]:
    dice = np.random.default_rng(2)
    t = dice.integers(0, n // 2, n)  # many of one moment: their order is to be kept
    t = t if shuffled else np.sort(t)
    return [
        [clock + int(at), f"m{dice.integers(5)}", i, dice.integers(90), f"s{dice.integers(30)}",
         dice.choice(["critical", "batch", ""]), dice.choice(["allow", ""])]
        for i, at in enumerate(t)
    ]  # fmt: skip


def columns_of(trace: Trace) -> list[Any]:
    arrays = (
        trace.t, trace.model, trace.prompt_tokens, trace.output_tokens, trace.session, trace.asker, trace.stand_in,
        trace.ranks,
    )  # fmt: skip
    return [None if a is None else (str(a.dtype), a.tolist()) for a in arrays]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("clock", [0.0, 1.7e9])
def test_a_file_of_many_pieces_is_read_as_one(tmp_path: Path, shuffled: bool, clock: float):
    found = rows(3000, clock=clock, shuffled=shuffled)
    found[77][0], found[2400][2], found[2500][0] = 1.7e9 - clock, "x", -1  # another clock, and two bad rows
    found[100][1], found[100][0] = "only-here", "never"
    path = written(tmp_path / "t.csv", found)
    one = read(path)
    for piece in (PIECE, 1000, 2**12):
        with short_pieces(piece):
            many = read(path)
        assert columns_of(many) == columns_of(one)
        assert (many.models, many.epoch, many.skipped) == (one.models, one.epoch, one.skipped)
        assert (many.faults, many.notes) == (one.faults, one.notes)
    assert one.skipped == 4 and len(one) == 2996
    assert any("sorted" in note for note in one.notes) == shuffled


def test_a_request_log_which_is_never_quite_in_order(tmp_path: Path):
    dice = np.random.default_rng(4)
    t = np.sort(dice.random(2000) * 1000) + dice.random(2000) * 20
    lines = [
        json.dumps({"t": 1.7e9 + x, "model": "m", "prompt_tokens": i, "key": "k"}) for i, x in enumerate(t)
    ]
    path = tmp_path / "requests.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))
    one = read(path)
    with short_pieces(PIECE):
        assert columns_of(read(path)) == columns_of(one)
    assert not one.notes and one.t.tolist() == sorted(one.t)


# ---- synthetic traffic -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["poisson?rate=900/h&hours=2", "poisson?rate=900/h&hours=2&models=4", "bursty?rate=900/h&hours=2&models=3",
     "bursty?rate=900/h&hours=2&cv=0.4", "daily?rate=900/h&hours=9&models=2"],
)  # fmt: skip
def test_traffic_of_many_pieces_is_that_of_one(text: str):
    one = synthetic(f"synthetic://{text}")
    with short_pieces():
        many = synthetic(f"synthetic://{text}")
    assert columns_of(many) == columns_of(one)
    assert len(one) > 10 * PIECE and many.models == one.models


# ---- memory ----------------------------------------------------------------------------------------

PEAK = """
import sys
from pilotlight.sim import columns
from pilotlight.sim.traces import lines
columns.PIECE, lines.BLOCK = 2**14, 2**17
from pilotlight.sim.defaults import default_config
from pilotlight.sim.load import load
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
simulate(load(sys.argv[1]), default_config(), constant(5.0), bill=sys.argv[2] == "bill")
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize(
    ("bill", "head", "more"),
    [
        ("", "", lambda i: ""),
        ("bill", "", lambda i: ""),
        ("", ",session,class,stand_in", lambda i: f",{i % 99},{('batch', '')[i % 2]},{('allow', '')[i % 2]}"),
    ],
    ids=["plain", "bill", "all"],
)
def test_memory_does_not_grow_with_the_trace(
    tmp_path: Path, bill: str, head: str, more: Callable[[int], str]
):
    peaks: list[int] = []
    for n in (60_000, 360_000):
        path = tmp_path / f"{n}.csv"
        lines = (f"{i / 4 + i % 7},m{i % 3},{i % 900},{i % 50}{more(i)}\n" for i in range(n))
        path.write_text(f"t,model,prompt_tokens,output_tokens{head}\n" + "".join(lines))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), bill],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        peaks.append(int(done.stdout) * 1024)
    short, long = peaks
    assert long - short < 10 * (360_000 - 60_000), "a trace's columns alone have 24 bytes a request"
