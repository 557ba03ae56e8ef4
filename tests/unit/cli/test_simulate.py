"""`pilotlight simulate` as it is typed."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pilotlight.cli.main import main
from pilotlight.coldstart.learned import Key, Mean, Row, Who
from pilotlight.sim.defaults import TEXT
from pilotlight.sim.result import TIMINGS

TRAFFIC = "synthetic://poisson?rate=100/h&hours=3&models=2"
FIXED = "defaults: {ttl: 5m, max_replicas: 50}\n"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "t.csv"
    rows = "".join(f"{i * 7},m,10,20\n" for i in range(100))
    path.write_text("t,model,prompt_tokens,output_tokens\n" + rows)
    return str(path)


@pytest.fixture
def fixed(tmp_path: Path) -> str:
    path = tmp_path / "fixed.yaml"
    path.write_text(FIXED)
    return str(path)


def asked(capsys: Output, *words: str) -> list[dict[str, Any]]:
    assert main(["simulate", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_list_with_one_object_per_trace(trace: str, capsys: Output) -> None:
    one, two = asked(capsys, trace, TRAFFIC)
    assert (one["trace"], one["requests"], one["models"], one["config"]) == ("t", 100, 1, "default")
    assert (two["trace"], two["models"]) == (TRAFFIC, 2)
    assert (one["start_time"], one["start_time_from"]) == (40.0, "default")


def test_its_fields_are_documented(trace: str, capsys: Output) -> None:
    text = (Path(__file__).parents[3] / "docs" / "simulate.md").read_text()
    [found] = asked(capsys, trace, "--bill")
    assert "bill" in found and {f for f in (*found, *found["bill"]) if f"`{f}`" not in text} == set()


def test_classes_and_stand_ins_are_told_of_traces_that_have_them(
    trace: str, tmp_path: Path, capsys: Output
) -> None:
    # `small` is up from 5 on; `large` is ordered at 20, when `small` stands in, and is up at 25.
    rows = "0,small,1,10,,\n20,large,1,100,critical,allow\n21,large,1,100,batch,\n22,large,1,100,,allow\n"
    mixed, config, page = (tmp_path / name for name in ("mixed.csv", "two.yaml", "page.html"))
    mixed.write_text("t,model,prompt_tokens,output_tokens,class,stand_in\n" + rows)
    config.write_text(
        "defaults: {target_requests: 1, max_requests: 1}\nsimulation: {warm_up: 0%}\n"
        'models: {large: {source: "demo://1b", stand_in: small}, small: {source: "demo://50m", min_replicas: 1}}\n'
    )
    words = (str(mixed), "--config", str(config), "--start-time", "5s")
    [found] = asked(capsys, *words)
    assert found["stood_in"] == 1
    assert {name: round(c["ttft_p95"], 9) for name, c in found["by_class"].items()} == {
        "critical": 0.05,
        "standard": 5.05,
        "batch": 7.1,  # after the one that came at 22, which is served from 25 to 28.05
    }
    text = (Path(__file__).parents[3] / "docs" / "simulate.md").read_text()
    assert {f for f in found["by_class"]["batch"] if f"`{f}`" not in text} == set()
    assert main(["simulate", *words, "--report", str(page)]) == 0
    shown = capsys.readouterr().out
    assert re.search(
        r"^of critical requests, cold +0%\n  first token, 95 of 100 +50 ms$", shown, re.MULTILINE
    )
    assert re.search(r"^of batch requests, first token, 95 of 100 +7\.10 s$", shown, re.MULTILINE)
    assert re.search(r"^answered by a stand-in +1$", shown, re.MULTILINE)
    assert "two.yaml, batch</td><td>1</td><td>-</td><td>7.10 s</td>" in page.read_text()
    assert main(["simulate", trace]) == 0
    assert not re.search("critical|batch|stand-in", capsys.readouterr().out), (
        "nobody has said anything of them"
    )


def test_a_bill_is_by_whatever_is_asked_for(trace: str, capsys: Output) -> None:
    [found] = asked(capsys, trace, "--bill", "--by", "class")
    assert found["bill"]["by"] == "class" and "standard" in {line["name"] for line in found["bill"]["lines"]}
    assert main(["simulate", trace, "--bill", "--by", "rung"]) == 0
    assert re.search(r"^RUNG +USD.*\n(.*\n)*serving +\$", capsys.readouterr().out, re.MULTILINE)


def test_the_same_words_print_the_same_but_for_the_timings(capsys: Output) -> None:
    found = [asked(capsys, TRAFFIC, "--seed", "3")[0] for _ in range(2)]
    assert [found[0].pop(name) for name in TIMINGS] and [found[1].pop(name) for name in TIMINGS]
    assert json.dumps(found[0]) == json.dumps(found[1])


def test_people_see_what_is_simulated_and_what_came_of_it(trace: str, capsys: Output) -> None:
    assert main(["simulate", trace]) == 0
    out = capsys.readouterr().out
    assert "ttl: auto" in out and "the default, for nothing else is known" in out
    assert re.search(r"cold rate +\d", out) and re.search(r"over the oracle +\d+\.\d\dx", out)


def test_the_config_shown_is_the_one_that_is_simulated(trace: str, tmp_path: Path, capsys: Output) -> None:
    assert main(["simulate", "--show-config"]) == 0
    text = capsys.readouterr().out
    assert text == TEXT
    copy = tmp_path / "copy.yaml"
    copy.write_text(text)
    [default], [copied] = asked(capsys, trace), asked(capsys, trace, "--config", str(copy))
    assert copied["config"] == str(copy)
    assert all(default[k] == copied[k] for k in default if k not in {*TIMINGS, "config", "start_time_from"})


def test_two_configs_stand_side_by_side(trace: str, fixed: str, capsys: Output) -> None:
    one, two = asked(capsys, trace, "--compare", fixed)
    assert (one["config"], two["config"]) == ("default", fixed)
    assert main(["simulate", trace, "--compare", fixed]) == 0
    assert re.search(r"cost .*(better|worse)", capsys.readouterr().out)


def test_a_difference_too_small_to_be_shown_is_neither_better_nor_worse(
    trace: str, tmp_path: Path, capsys: Output
) -> None:
    for name, premium in (("one", "2.5"), ("two", "2.5000001")):
        (tmp_path / f"{name}.yaml").write_text(f"prices: {{serverless_premium: {premium}}}\n")
    one, two = str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")
    assert main(["simulate", trace, "--config", one, "--compare", two, "--start-time", "5s"]) == 0
    out = capsys.readouterr().out
    assert not re.search(r"[+-]0\.0%", out) and "worse" not in out


def test_start_times_are_given_drawn_or_the_configs(trace: str, tmp_path: Path, capsys: Output) -> None:
    [found] = asked(capsys, trace, "--start-time", "5s")
    assert (found["start_time"], found["start_time_from"], found["ttft_p99"]) == (5.0, "given", 0.05)
    (tmp_path / "s.txt").write_text("10\n20\n")
    [found] = asked(capsys, trace, "--start-time", str(tmp_path / "s.txt"))
    assert (found["start_time"], found["start_time_from"]) == (15.0, "s.txt")
    config = tmp_path / "c.yaml"
    config.write_text(f"{FIXED}simulation: {{start_time: 7s}}\n")
    [found] = asked(capsys, trace, "--config", str(config))
    assert (found["start_time"], found["start_time_from"]) == (7.0, "given")


def test_what_was_learned_here_is_taken_for_a_config_of_ones_own(
    trace: str, tmp_path: Path, capsys: Output
) -> None:
    row = Row(Key(Who("", "", "llamacpp"), "local", ()), 3, 1.0, Mean(2.5, 0.1), {})
    table = msgspec.json.encode({"version": 1, "rows": [row]})
    (tmp_path / "start_times.json").write_bytes(table)
    config = tmp_path / "c.yaml"
    config.write_text(f"{FIXED}state_dir: {tmp_path}\n")
    [found] = asked(capsys, trace, "--config", str(config))
    assert (found["start_time"], found["start_time_from"]) == (2.5, "learned")
    (tmp_path / "start_times.json").write_text("{")
    [found] = asked(capsys, trace, "--config", str(config))
    assert (found["start_time"], found["start_time_from"]) == (40.0, "default")


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Of a server on which a prompt of 100 tokens takes 0.1 s after the first 0.2, and a token 0.01."""
    path = tmp_path / "requests.jsonl"
    rows = []
    for i in range(60):
        prompt, output = 100 * (1 + i % 7), 10 * (1 + i % 11)
        first = 0.2 + 0.001 * prompt
        row = {
            "t": 1000 + 60 * i,
            "model": "m",
            "outcome": "ok",
            "start": "warm",
            "stream": True,
            "replica": "m-1",
        }
        tokens = {"prompt_tokens": prompt, "output_tokens": output}
        rows.append({**row, **tokens, "ttft": first, "duration": first + 0.01 * output})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_what_was_fitted_is_told_to_be_copied_and_simulated(
    trace: str, log: str, tmp_path: Path, capsys: Output
) -> None:
    assert main(["simulate", trace, "--fit", log]) == 0
    out = capsys.readouterr().out
    assert (
        "fitted to 60 of 60 requests of requests.jsonl; half of them are simulated within 0% of what they took"
        in out
    )
    block = out[out.index("simulation:") : out.index("\n\n")]
    assert re.search(r"^  slowdown: 0%  # as declared: nearly all began", block, re.MULTILINE)
    said = {"first_token": "200ms", "per_token": "10ms", "per_prompt_token": "1ms", "slowdown": "0%"}
    assert yaml.safe_load(block) == {"simulation": said}
    copy = tmp_path / "copy.yaml"
    copy.write_text(TEXT[: TEXT.index("simulation:")] + block)
    [fit], [copied] = asked(capsys, trace, "--fit", log), asked(capsys, trace, "--config", str(copy))
    assert fit["ttft_p50"] == pytest.approx(0.2 + 0.001 * 10)
    [note] = fit["notes"]
    assert note.endswith("requests.jsonl: " + ", ".join(f"{k} {v}" for k, v in said.items()))
    apart = {*TIMINGS, "config", "start_time_from", "notes"}
    assert all(fit[k] == copied[k] for k in fit if k not in apart)


def test_each_config_keeps_what_it_declares_and_cannot_be_fitted(
    trace: str, log: str, fixed: str, tmp_path: Path, capsys: Output
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(f"{FIXED}simulation: {{first_token: 9s, slowdown: 7%}}\n")
    words = [trace, "--fit", log, "--config", fixed, "--compare", str(other)]
    one, two = asked(capsys, *words)
    assert one["ttft_p50"] == two["ttft_p50"] == pytest.approx(0.21)
    assert "slowdown 0%" in one["notes"][-1] and "slowdown 7%" in two["notes"][-1]
    assert main(["simulate", *words]) == 0
    out = capsys.readouterr().out
    assert f"{fixed}: fitted to 60 of 60" in out and f"{other}: fitted to 60 of 60" in out
    assert main(["simulate", *words, "--json"]) == 0
    assert capsys.readouterr().err.count("fitted to 60 of 60") == 2, "beside what programs read"
    for point in asked(capsys, trace, "--fit", log, "--sweep", "ttl=1m,10m"):
        assert point["ttft_p50"] == pytest.approx(0.21)


def test_a_sweep_says_where_one_is_and_what_to_take(trace: str, tmp_path: Path, capsys: Output) -> None:
    found = asked(capsys, trace, "--sweep", "ttl=1m,10m")
    judged = [point["sweep"] for point in found]
    assert [(j["value"], j["present"]) for j in judged] == [("auto", True), ("1m", False), ("10m", False)]
    assert sum(j["recommended"] for j in judged) == 1
    page = tmp_path / "page.html"
    assert main(["simulate", trace, "--sweep", "base=0..2", "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert "recommended" in out and "dominated" in out and re.search(r"Recommended|None holds", out)
    check_page(page)


def test_a_plot_shows_where_one_is_also_where_that_is_recommended(trace: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["simulate", trace, "--sweep", "base=auto", "--report", str(page)]) == 0
    assert page.read_text().count(">auto (present)</text>") == 2, "over cost: cold rate and 99th percentile"


def test_a_report_stands_by_itself(trace: str, fixed: str, tmp_path: Path, capsys: Output) -> None:
    page = tmp_path / "page.html"
    asked(capsys, trace, TRAFFIC, "--compare", fixed, "--report", str(page))
    check_page(page)
    assert page.read_text().count("<svg") == 8, "requests and replicas, of two traces with two configs"


SAID = "prices are examples of 2026-06-30"


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The examples' figures, which somebody has made his own."""
    path = tmp_path / "own.yaml"
    path.write_text(f"{FIXED}prices: {{gpu_month_usd: 2500, serverless_premium: 2.5, commitment: 1h}}\n")
    return str(path)


@pytest.mark.parametrize("words", [[], ["--bill"], ["--sweep", "ttl=1m,10m"], ["--compare", "FIXED"]])
def test_every_output_says_of_which_day_the_example_prices_are(
    words: list[str], trace: str, fixed: str, own: str, tmp_path: Path, capsys: Output
) -> None:
    words = [fixed if word == "FIXED" else word for word in words]
    page = tmp_path / "page.html"
    assert main(["simulate", trace, *words, "--report", str(page)]) == 0
    assert capsys.readouterr().out.count(SAID) == page.read_text().count(SAID) == 1
    for found in asked(capsys, trace, *words):
        assert (found["prices"]["date"], found["prices"]["examples"].startswith(SAID)) == ("2026-06-30", True)
    if "--compare" in words:
        return
    assert main(["simulate", trace, *words, "--config", own, "--report", str(page)]) == 0
    for text in (capsys.readouterr().out, page.read_text()):
        assert "prices are your own" in text and "examples of" not in text
    for found in asked(capsys, trace, *words, "--config", own):
        assert (found["prices"]["date"], found["prices"]["examples"]) == (None, "")


def test_of_two_configs_each_says_whose_its_prices_are(
    trace: str, fixed: str, own: str, capsys: Output
) -> None:
    assert main(["simulate", trace, "--config", fixed, "--compare", own]) == 0
    out = capsys.readouterr().out
    assert f"{fixed}: {SAID}" in out and f"{own}: prices are your own" in out


def check_page(page: Path) -> None:
    text = page.read_text()
    assert "prefers-color-scheme: dark" in text and "<svg" in text
    assert not re.search(r"https?://|<script|<link|@import|src=", text)


def test_bad_rows_are_told_with_their_line_and_refused_when_strict(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t,model,prompt_tokens,output_tokens\n5,m,1,1\nx,m,1,1\n3,m,1,1\n")
    assert main(["simulate", str(path), "--json"]) == 0
    captured = capsys.readouterr()
    [found] = json.loads(captured.out)
    assert (found["requests"], found["faults"]) == (2, 1)
    assert f"{path}:3:" in captured.err
    assert main(["simulate", str(path), "--strict"]) == 2
    assert f"{path}:3:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "name a trace"),
        (["gone.csv"], "gone.csv: no such file"),
        (["TRACE", "gone.csv"], "gone.csv: no such file"),
        (["synthetic://odd"], "no such traffic"),
        (["TRACE", "--start-time", "soon"], "is neither a duration such as 40s nor a file"),
        (["TRACE", "--start-time", "0"], "takes more than 0 s"),
        (["TRACE", "--start-time", "-1"], "takes more than 0 s"),
        (["TRACE", "--start-time", "TRACE"], "has no column of start times"),
        (["TRACE", "--sweep", "ttl"], "write KEY=A..B"),
        (["TRACE", "--by", "key"], "give --bill as well"),
        (["TRACE", "--fit", "TRACE"], "t.csv:1: is no line of pilotlight's request log"),
        (["TRACE", "--fit", "gone.jsonl"], "gone.jsonl: cannot be read"),
        (["TRACE", "--fit", "FIXED", "--report", "FIXED"], "would be lost"),
        (["TRACE", "--sweep", "ttl=1m,2m", "--compare", "FIXED"], "do not go together"),
        (["TRACE", "--sweep", "base=0..60", "--config", "FIXED"], "more than its max_replicas, 50"),
        (["TRACE", "--config", "gone.yaml"], "gone.yaml"),
        (["TRACE", "--config", "TRACE"], "t.csv"),
        (["TRACE", "--report", "/"], "is a folder"),
        (["TRACE", "--report", "gone/x.html"], "cannot be written"),
        (["TRACE", "--report", "TRACE"], "would be lost"),
        (["TRACE", "--config", "FIXED", "--report", "FIXED"], "would be lost"),
        (["TRACE", "--config", "FIXED", "--compare", "FIXED"], "is --config itself"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_status_2(
    words: list[str], fault: str, trace: str, fixed: str, capsys: Output
) -> None:
    names = {"TRACE": trace, "FIXED": fixed}
    assert main(["simulate", *(names.get(word, word) for word in words)]) == 2
    captured = capsys.readouterr()
    assert fault in captured.err and captured.out == ""
    assert len(captured.err.splitlines()) == 1 or "synthetic" in words[0]


@pytest.mark.parametrize("data", [b"", b"\x00\xff" * 500, b"t,model,prompt_tokens,output_tokens\n", b"{}\n"])
def test_garbage_is_no_trace(data: bytes, tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    assert main(["simulate", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_an_interrupt_ends_it_quietly(trace: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pilotlight.sim.loop.run", interrupted)
    assert main(["simulate", trace]) == 130
    assert capsys.readouterr().err == ""
