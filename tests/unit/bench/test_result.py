"""From single requests to figures, pages and tables."""

import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pilotlight.bench.plot import html
from pilotlight.bench.result import REST, Lap, Measured, Report, Run, machine
from pilotlight.bench.variants import Variant
from pilotlight.cli.bench_view import show
from pilotlight.fleet.plan import Stage

PLAIN = Variant("plain", ())
ZYGOTE = Variant("zygote", ("zygote",))


def run(*laps: tuple[str, float, float], ttft: float = 1.0, **more: Any) -> Run:
    return Run(ttft, tuple(Lap(*lap) for lap in laps), more.pop("start", "cold"), **more)


def report() -> Report:
    plain = Measured(
        PLAIN,
        (
            run(("spawn", 0.0, 0.1), ("load", 0.1, 0.5), ("first_token", 0.6, 0.3), ttft=0.95),
            run(("spawn", 0.0, 0.2), ("load", 0.2, 0.5), ("first_token", 0.7, 0.3), ttft=1.05),
            run(("spawn", 0.0, 0.1), ("load", 0.1, 0.7), ("first_token", 0.8, 0.3), ttft=1.15),
        ),
    )
    forked = [run(("fork", 0.0, 0.01), ("load", 0.01, 0.5), ttft=0.6, techniques=("zygote",))] * 2
    fell = run(("spawn", 0.0, 0.1), ("load", 0.1, 0.5), ttft=0.9, fell_back="zygote: none is up yet")
    return Report("demo <50m>", (plain, Measured(ZYGOTE, (*forked, fell))), "a machine", "2026-01-02")


def test_the_figures_for_programs() -> None:
    found = json.loads(json.dumps(report().json()))
    assert list(found) == ["results", "machine", "date", "notes"]
    plain, zygote = found["results"]
    assert plain == {
        "technique": "plain",
        "runs": 3,
        "ttft_s": [0.95, 1.05, 1.15],
        "stages": {"spawn": 0.1, "load": 0.5, "first_token": 0.3},
    }
    assert zygote["technique"] == "zygote" and zygote["stages"] == {"fork": 0.01, "load": 0.5}


def test_what_fell_back_is_said() -> None:
    assert report().notes() == ["demo <50m>", "zygote fell back in 1 of 3 runs: zygote: none is up yet"]
    woken = Measured(Variant("sleep", ("sleep",)), (run(start="cold"),))
    assert Report("m", (woken,), "", "").notes()[1] == (
        "sleep fell back in 1 of 1 runs: the start was cold and used no technique"
    )


def test_a_machine_that_was_busy_is_said() -> None:
    found = Report("m", (Measured(PLAIN, (run(busy=True), run())),), "", "").notes()
    assert found == ["m", "other programs kept the machine busy in 1 of 2 runs"]


def test_stages_come_in_their_order() -> None:
    found = Measured(PLAIN, (run(("other thing", 0, 1), ("load", 1, 1), ("hold", 0, 1)),)).stages()
    assert list(found) == ["hold", "load", "other thing"]


def test_steps_that_overlap_add_up_to_the_wait() -> None:
    m = Measured(PLAIN, (run(("fetch", 0.0, 0.4), ("spawn", 0.1, 0.2), ("load", 0.4, 0.5), ttft=1.0),))
    assert m.stages() == {"fetch": 0.4, "spawn": pytest.approx(0.2), "load": 0.5}
    assert m.layers() == {"fetch": 0.4, "load": 0.5, REST: pytest.approx(0.1)}
    assert m.starts() == {"fetch": 0.0, "spawn": 0.1, "load": 0.4}


LAPS = st.lists(
    st.builds(Lap, st.sampled_from([s.value for s in Stage]), st.floats(0, 100), st.floats(0, 100)),
    max_size=8,
)


@given(LAPS)
def test_layers_never_make_more_than_the_whole(laps: list[Lap]) -> None:
    whole = max((lap.start + lap.seconds for lap in laps), default=0.0) + 1.0
    layers = Measured(PLAIN, (Run(whole, tuple(laps), "cold"),)).layers()
    assert sum(layers.values()) == pytest.approx(whole)
    assert all(seconds >= 0 for seconds in layers.values())


def test_the_table_for_people() -> None:
    out = io.StringIO()
    show(report(), Console(file=out, width=100, highlight=False))
    text = out.getvalue()
    assert re.search(r"plain +1050\.0 ms +1\.00 +3 runs, 950\.0 ms to 1150\.0 ms", text)
    assert re.search(r"zygote +600\.0 ms +0\.57", text)
    assert re.search(r"  load +500\.0 ms +█{5,}", text)
    assert "note: zygote fell back in 1 of 3 runs" in text


def test_the_page() -> None:
    text = html(report())
    assert "demo &lt;50m&gt;" in text and "demo <50m>" not in text
    assert "1050.0 ms (1.00x)" in text and "600.0 ms (0.57x)" in text
    assert not re.search(r"https?://", text)


def test_the_machine_has_no_name() -> None:
    assert re.search(r"\d+ cores, \d+ GiB, Linux [\d.]+, Python 3", machine())
