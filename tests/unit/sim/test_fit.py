"""Numbers that are known, found again in logs that were made up of them; and nothing found that is not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pilotlight.errors import TraceError
from pilotlight.sim.fit import FEWEST, KEYS, Fitted, fitted, written
from pilotlight.sim.fit_log import read_ran
from pilotlight.spec.load import parse
from pilotlight.spec.simulation import MOST_SLOWDOWN, Simulation
from pilotlight.units import parse_duration, parse_fraction

TRUE = Simulation(first_token=0.08, per_token=0.02, per_prompt_token=0.0005, slowdown=0.15)
DECLARED = Simulation(first_token=1.0, per_token=2.0, per_prompt_token=3.0, slowdown=0.25)

Row = dict[str, Any]
Change = Callable[[int, Row], Row]


def as_it_is(_: int, row: Row) -> Row:
    return row


def made(
    folder: Path,
    n: int = 400,
    *,
    true: Simulation = TRUE,
    gap: float = 1.0,
    prompts: tuple[int, int] = (50, 2000),
    outputs: tuple[int, int] = (10, 300),
    streams: float = 0.7,
    noise: float = 0.05,
    change: Change = as_it_is,
) -> Path:
    """A log of one replica that takes every request at once."""
    rng = np.random.default_rng(5)
    t = 1.8e9 + np.cumsum(rng.exponential(gap, n))
    ends: list[float] = []
    lines = []
    for i, at in enumerate(t.tolist()):
        prompt, output = int(rng.integers(*prompts)), int(rng.integers(*outputs))
        beside = sum(end > at for end in ends)
        first = (true.first_token + true.per_prompt_token * prompt) * rng.lognormal(0, noise)
        rest = true.per_token * output * (1 + true.slowdown * beside) * rng.lognormal(0, noise)
        ends.append(at + first + rest)
        row = {
            "t": at, "model": "m", "request_id": f"r{i}", "path": "/v1/completions", "status": 200, "outcome": "ok",
            "start": "warm", "stream": bool(rng.random() < streams), "duration": first + rest, "start_wait": 0.0,
            "queue": 0.0, "prompt_tokens": prompt, "output_tokens": output, "tokens_from": "usage", "replica": "m-1",
        }  # fmt: skip
        lines.append(change(i, {**row, "ttft": first if row["stream"] else first + rest}))
    return log(folder, *lines)


def log(folder: Path, *rows: Row) -> Path:
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fit(path: Path, declared: Simulation = DECLARED) -> Fitted:
    return fitted(read_ran(path), declared)


def are(found: Fitted, true: Simulation = TRUE, off: float = 0.05) -> bool:
    values = ((getattr(found.simulation, key), getattr(true, key)) for key in KEYS)
    return all(a == pytest.approx(b, rel=off) for a, b in values)


# -- what is there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [1.0, 0.7, 0.0])
def test_known_numbers_are_found_again(tmp_path: Path, streams: float) -> None:
    found = fit(made(tmp_path, streams=streams))
    assert are(found, off=0.05 if streams else 0.25)
    assert found.kept == {}
    assert 0.02 < found.middle < 0.06 < found.nine < 0.2
    assert abs(found.sum) < 0.02


def test_without_noise_they_are_exact(tmp_path: Path) -> None:
    found = fit(made(tmp_path, noise=0.0))
    assert are(found, off=1e-3)
    assert found.nine < 1e-3


def test_what_is_declared_does_not_matter_where_it_is_measured(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert fit(path).simulation == fit(path, Simulation()).simulation


def test_a_few_that_took_very_long_do_not_matter_much(tmp_path: Path) -> None:
    def slow(i: int, row: Row) -> Row:
        return {**row, "duration": row["duration"] + 60.0} if i % 40 == 0 else row

    found = fit(made(tmp_path, change=slow, gap=3.0))
    assert are(found, off=0.15)
    assert found.sum == pytest.approx(-1.5 / (1.5 + 4.2), abs=0.05), "but that is told"


def test_only_warm_ones_count_that_ended_well_and_have_their_tokens(tmp_path: Path) -> None:
    others: list[Row] = [
        {"start": "cold", "start_wait": 3.0},
        {"start": "woken"},
        {"outcome": "client_left"},
        {"prompt_tokens": None},
        {"output_tokens": None},
        {"output_tokens": 0},
    ]

    def odd(i: int, row: Row) -> Row:
        return {**row, "ttft": 9.0, "duration": 9.0, **others[i % 6]} if i % 3 == 0 else row

    path = made(tmp_path, n=600, gap=4.0, true=replace(TRUE, slowdown=0.0), change=odd)
    assert len(read_ran(path)) == 400 and read_ran(path).of == 600
    found = fit(path, Simulation())
    assert are(
        replace(found, simulation=replace(found.simulation, slowdown=0.0)), replace(TRUE, slowdown=0.0)
    )


def test_waits_are_no_part_of_it(tmp_path: Path) -> None:
    def waited(i: int, row: Row) -> Row:
        later = {key: row[key] + 5.0 for key in ("duration", "ttft")}
        return {**row, **later, "t": row["t"] - 5.0, "queue": 5.0} if i % 2 else row

    assert are(fit(made(tmp_path, change=waited)))


# -- what is not there -------------------------------------------------------------------------------------------


def test_prompts_of_one_length_tell_nothing_of_prompts(tmp_path: Path) -> None:
    for prompts in ((1000, 1001), (950, 1050)):
        found = fit(made(tmp_path, prompts=prompts), Simulation(per_prompt_token=0.0))
        assert (
            list(found.kept) == ["per_prompt_token"]
            and "prompts differ too little" in found.kept["per_prompt_token"]
        )
        # All of the prompt is in the first token's.
        assert are(found, replace(TRUE, first_token=0.08 + 0.5, per_prompt_token=0.0))
    found = fit(made(tmp_path, prompts=(1000, 1001)), Simulation(per_prompt_token=0.0003))
    assert are(found, replace(TRUE, first_token=0.08 + 0.2, per_prompt_token=0.0003)), "or what is left of it"


def test_requests_that_ran_alone_tell_nothing_of_a_slow_down(tmp_path: Path) -> None:
    found = fit(made(tmp_path, gap=1000.0))
    assert found.kept == {"slowdown": "nearly all began beside as many others"}
    assert are(found, replace(TRUE, slowdown=DECLARED.slowdown))


def test_nor_do_those_that_always_ran_beside_as_many(tmp_path: Path) -> None:
    rows = []
    for i in range(200):
        at, output = 1000.0 + i, 50 + i % 100
        seconds = 0.02 * output * 1.5
        row = {
            "t": at,
            "model": "m",
            "outcome": "ok",
            "start": "warm",
            "duration": seconds,
            "replica": f"m-{i}",
        }
        more = {
            "prompt_tokens": 1 + i % 17 * 50,
            "output_tokens": output,
            "stream": True,
            "ttft": seconds / 100,
        }
        rows += [{**row, **more}, {**row, "outcome": "client_left", "t": at - 0.5, "duration": 60.0}]
    found = fit(log(tmp_path, *rows), replace(DECLARED, slowdown=0.5))
    assert list(found.kept) == ["slowdown"]
    assert found.simulation.per_token == pytest.approx(0.02, rel=0.02), "by the slow-down that is declared"


def test_whole_answers_of_one_length_do_not_tell_the_first_token_from_the_rest(tmp_path: Path) -> None:
    declared = replace(DECLARED, first_token=0.08)
    found = fit(made(tmp_path, streams=0.0, outputs=(100, 101), gap=1000.0), declared)
    assert set(found.kept) == {"first_token", "slowdown"}
    assert found.simulation.per_token * (1 + 0.0) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("n", [1, FEWEST - 1])
def test_a_few_requests_tell_nothing(tmp_path: Path, n: int) -> None:
    found = fit(made(tmp_path, n=n))
    assert found.simulation == DECLARED
    assert set(found.kept.values()) == {f"it takes {FEWEST} requests or more"} and set(found.kept) == set(
        KEYS
    )


def test_what_is_lost_in_noise_is_not_made_up(tmp_path: Path) -> None:
    found = fit(made(tmp_path, n=40, noise=1.5, gap=3.0))
    assert "slowdown" in found.kept
    assert all(getattr(found.simulation, key) == getattr(DECLARED, key) for key in found.kept)


def test_no_number_is_below_zero_or_more_than_can_be_declared(tmp_path: Path) -> None:
    def shorter(_: int, row: Row) -> Row:
        before, after = row["ttft"], 3.0 - 0.001 * row["prompt_tokens"]
        return {**row, "stream": True, "ttft": after, "duration": row["duration"] - before + after}

    found = fit(made(tmp_path, streams=1.0, change=shorter))
    assert found.simulation.per_prompt_token == 0.0 and "per_prompt_token" not in found.kept
    found = fit(made(tmp_path, true=replace(TRUE, slowdown=6.0), gap=40.0))
    assert found.simulation.slowdown == MOST_SLOWDOWN


def test_a_copy_of_what_is_written_is_what_is_simulated(tmp_path: Path) -> None:
    found = fit(made(tmp_path))
    texts = written(found.simulation)
    read = {k: (parse_fraction if k == "slowdown" else parse_duration)(v) for k, v in texts.items()}
    assert replace(DECLARED, **read) == found.simulation
    tiny = written(Simulation(first_token=12.3456, per_token=0.0, per_prompt_token=1.23456e-7, slowdown=1e-5))
    assert list(tiny.values()) == ["12350ms", "0ms", "0.0001235ms", "0.001%"]


# -- the log -----------------------------------------------------------------------------------------------------

LINE: Row = {
    "t": 100.0, "model": "m", "outcome": "ok", "start": "warm", "duration": 10.0, "replica": "m-1",
    "prompt_tokens": 5, "output_tokens": 5,
}  # fmt: skip


def test_who_is_beside_whom(tmp_path: Path) -> None:
    rows = [
        LINE,  # 100 to 110, alone
        {**LINE, "t": 105.0, "start": "cold", "start_wait": 2.0},  # from 107: does not count, but is there
        {**LINE, "t": 104.0, "queue": 4.0},  # from 108 to 114, beside two
        {**LINE, "t": 109.999, "duration": 1.0},  # as the first one ends: beside two
        {**LINE, "t": 108.5, "replica": "m-2"},
        {**LINE, "t": 108.0, "replica": "m-2", "provider": "p"},
        {**LINE, "t": 108.0, "replica": None, "outcome": "refused"},
        {**LINE, "t": 114.5, "outcome": "client_left", "duration": 0.001},  # gone as soon as it came
        {**LINE, "t": 200.0, "duration": 0.001},  # the same, alone
        {**LINE, "t": 114.5},  # the one that was held up to 115
    ]
    found = read_ran(log(tmp_path, *rows))
    assert found.beside.tolist() == [0.0, 2.0, 2.0, 0.0, 0.0, 1.0]
    assert found.seconds.tolist() == pytest.approx([10.0, 6.0, 1.0, 10.0, 0.001, 10.0])
    assert (found.of, found.models) == (10, 1)
    assert np.isnan(found.first).all()


@pytest.mark.parametrize("odd", [{"queue": 10.0}, {"queue": 2.0, "ttft": 1.0}, {"ttft": 10.5}])
def test_times_that_cannot_be_tell_nothing(tmp_path: Path, odd: Row) -> None:
    stream = {**LINE, "stream": True, "ttft": 1.0}
    assert len(read_ran(log(tmp_path, stream, {**stream, **odd}))) == 1


def test_a_stand_in_counts_as_the_model_that_it_is(tmp_path: Path) -> None:
    rows = [LINE, {**LINE, "served_model": "small"}, {**LINE, "model": "small"}]
    assert read_ran(log(tmp_path, *rows)).models == 2


def test_a_last_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    path = log(tmp_path, LINE, LINE)
    path.write_text(path.read_text() + '{"t": 10')
    assert read_ran(path).of == 2


GOOD = json.dumps(LINE)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("t,model,prompt_tokens,output_tokens\n1,m,2,3\n", ":1: is no line of pilotlight's request log"),
        ('{"t": 1, "model": "m", "output_tokens": 3}', "missing required field `outcome`"),
        (f"{GOOD}\n\n{GOOD[:-5]}\n{GOOD}\n", ":3: is no line"),
        (GOOD.replace("10.0", "-1.0") + "\n", ":1: is no line"),
        (GOOD.replace("10.0", "1e7") + "\n", ":1: is no line"),
        (
            GOOD.replace('_tokens": 5', '_tokens": "many"') + "\n",
            "give a requests.jsonl, or leave that line out",
        ),
        (GOOD.replace("warm", "cold") + "\n", "no request that was warm, ended well and has its tokens"),
        ("", "no request that was warm"),
        ("\x00\xff\n", ":1: is no line"),
    ],
)
def test_what_is_no_log_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        read_ran(path)
    assert fault in str(caught.value) and str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.jsonl"):
        with pytest.raises(TraceError, match=f"{path}: cannot be read"):
            read_ran(path)


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 1.0, 7.0, 1e6]),  # since the one before
        st.sampled_from([1e-6, 0.1, 0.5, 3.0, 86400.0, 5e5]),  # to the first token
        st.sampled_from([0.0, 1e-6, 0.1, 2.0, 5e5]),  # and from there
        st.sampled_from([1, 2, 100, 1_000_000]),
        st.sampled_from([1, 3, 50, 1_000_000]),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, times=st.integers(1, 3))
def test_whatever_a_log_has_the_numbers_can_be_declared(tmp_path: Path, rows: list[Any], times: int) -> None:
    at, lines = 1.8e9, []
    for gap, first, rest, prompt, output, stream in rows * times:
        at += gap
        tokens = {"prompt_tokens": prompt, "output_tokens": output}
        lines.append({**LINE, **tokens, "t": at, "stream": stream, "ttft": first, "duration": first + rest})
    found = fit(log(tmp_path, *lines))
    said = "simulation: {" + ", ".join(f"{k}: {v}" for k, v in written(found.simulation).items()) + "}"
    assert parse(said, "test", {}, simulated=True).simulation == found.simulation
