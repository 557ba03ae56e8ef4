"""`pilotlight advise` as it is typed."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pilotlight.cli.main import main

TRAFFIC = "synthetic://poisson?rate=60/h&hours=30&models=2"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "t.csv"
    rows = "".join(f"{i * 97},m,10,20\n" for i in range(200))
    path.write_text("t,model,prompt_tokens,output_tokens\n" + rows)
    return str(path)


def asked(capsys: Output, *words: str) -> list[dict[str, Any]]:
    assert main(["advise", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


FIELDS = {
    "version", "trace", "traffic", "needs", "prices", "start_time", "start_time_from", "recommended", "runner_up",
    "today", "holds", "why", "warnings", "candidates", "break_even", "sensitivity", "flips", "simulations", "config",
}  # fmt: skip


def test_a_list_with_one_object_per_trace(trace: str, capsys: Output) -> None:
    one, two = asked(capsys, trace, TRAFFIC)
    assert (one["trace"], two["trace"]) == ("t", TRAFFIC)
    assert set(one) == FIELDS
    ids = [c["id"] for c in one["candidates"]]
    assert one["recommended"] in ids and one["runner_up"] in ids and len(set(ids)) == len(ids)
    assert one["prices"]["examples"] and one["prices"]["date"] in " ".join(one["warnings"])


def test_the_same_words_print_the_same(trace: str, capsys: Output) -> None:
    assert asked(capsys, trace) == asked(capsys, trace)


def test_its_fields_are_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "advise.md").read_text()
    assert {f for f in FIELDS if f"`{f}`" not in text} == set()


def test_people_read_sentences_a_table_and_a_config(trace: str, capsys: Output) -> None:
    assert main(["advise", trace, "--latency", "batch"]) == 0
    out = capsys.readouterr().out
    assert "Recommended:" in out and "settings that were simulated" in out
    assert re.search(r"serverless-1m +\$", out) and "recommended" in out and "models:" in out


def test_a_rate_and_bursts_in_place_of_a_trace(capsys: Output) -> None:
    words = ["--rate", "20/h", "--burst", "300@10m/d", "--days", "3"]
    (found,) = asked(capsys, *words)
    assert found["traffic"]["requests"] == pytest.approx(2340, rel=0.1)
    assert "300 in 10 min" in found["trace"]


def test_the_request_log_is_a_trace(tmp_path: Path, capsys: Output) -> None:
    log = tmp_path / "requests.jsonl"
    log.write_text(
        "".join(json.dumps({"t": 1.7e9 + 60 * i, "model": "m", "output_tokens": 9}) + "\n" for i in range(99))
    )
    (found,) = asked(capsys, "--log", str(log))
    assert found["traffic"]["requests"] == 99


def test_sessions_are_as_the_trace_says_unless_one_says(tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "s.csv"
    rows = "".join(f"{i * 97},m,10,20,{i // 5}\n" for i in range(60))
    path.write_text("t,model,prompt_tokens,output_tokens,session\n" + rows)
    assert asked(capsys, str(path), "--inference", "remote")[0]["needs"]["sessions"]
    assert not asked(capsys, str(path), "--inference", "remote", "--no-sessions")[0]["needs"]["sessions"]


def test_of_sessions_it_says_how_many_turns_find_their_replica(
    trace: str, tmp_path: Path, capsys: Output
) -> None:
    path = tmp_path / "s.csv"
    rows = "".join(f"{i * 997},m,10,20,{i // 5}\n" for i in range(60))
    path.write_text("t,model,prompt_tokens,output_tokens,session\n" + rows)
    (found,) = asked(capsys, str(path), "--latency", "batch")
    kept = {c["id"]: (c["session_turns"], c["session_turns_kept"]) for c in found["candidates"]}
    # Of 60 requests the first 6 are warm-up, and of the other 54 each fifth begins a session.
    assert kept["dedicated-peak"] == (44, 44)
    assert kept["serverless-1m"] == kept[found["recommended"]] == (44, 0), "997 s are between two turns"
    said = " ".join(found["why"])
    assert "Of 44 turns that go on with a session" in said and "without regard to sessions" in said
    assert "The most would be 100%, with 1 GPU always on" in said
    (untold,) = asked(capsys, trace, "--sessions")
    assert any("names no sessions" in line for line in untold["warnings"])
    assert untold["candidates"][0]["session_turns"] is None


def test_the_saved_config_is_found_in_order(trace: str, tmp_path: Path, capsys: Output) -> None:
    today = tmp_path / "today.yaml"
    today.write_text('models: {m: {source: "demo://50m", max_replicas: 3}}\n')
    for i, more in enumerate(([], ["--config", str(today)], ["--inference", "remote"])):
        ready = tmp_path / f"ready{i}.yaml"
        assert main(["advise", trace, "--save", str(ready), *more]) == 0
        capsys.readouterr()
        assert main(["check", str(ready)]) == 0


class _Page(HTMLParser):
    VOID = frozenset({"meta", "br", "hr", "img", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [str(v) for k, v in attrs if k in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("more", [[], ["--inference", "remote"], ["--api", "llama-3.1-8b"]])
def test_the_report_is_one_page_that_needs_nothing_else(
    trace: str, tmp_path: Path, more: list[str], capsys: Output
) -> None:
    path = tmp_path / "out.html"
    assert main(["advise", trace, "--report", str(path), *more]) == 0
    text = path.read_text()
    page = _Page()
    page.feed(text)
    assert page.open == [] and page.outside == []
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 3
    for plot in plots:
        ElementTree.fromstring(plot)
        assert "nan" not in plot and "inf" not in plot
    for head in ("Cost against cold rate", "The day", "Break-even", "How the answer changes", "The config"):
        assert head in text
    assert "prefers-color-scheme" in text and "<script" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the traffic"),
        (["TRACE", "--rate", "5/h"], "more than one way"),
        (["nothing.csv"], "nothing.csv: no such file"),
        (["--log", "nothing.jsonl"], "nothing.jsonl: no such file"),
        (["TRACE", "--days", "3"], "--days goes with --rate"),
        (["--rate", "5"], "--rate 5: write"),
        (["--burst", "5"], "2000@15m/d"),
        (["--rate", "5/h", "--days", "x"], "--days x"),
        (["TRACE", "--wait", "x"], "--wait x"),
        (["TRACE", "--wait", "-1"], "--wait -1"),
        (["TRACE", "--cold", "200%"], "--cold 200%: write a share of the requests, 0.001% to 100%"),
        (["TRACE", "--cold", "0%"], "--cold 0%: write a share of the requests, 0.001% to 100%"),
        (["TRACE", "--cpu-time", "0"], "--cpu-time 0"),
        (["TRACE", "--memory", "x"], "--memory x"),
        (["TRACE", "--api", "nobody"], "--api nobody"),
        (["TRACE", "--start-time", "x"], "--start-time x"),
        (["TRACE", "--report", "TRACE"], "is read here and would be lost"),
        (["TRACE", "--save", "TRACE"], "is read here and would be lost"),
        (["TRACE", "--report", "."], "is a folder"),
        (["TRACE", "--report", "no/where.html"], "its folder is not there"),
        (["TRACE", "--report", "a", "--save", "a"], "is --report as well"),
        (["TRACE", "TRACE", "--report", "a"], "of one trace"),
        (["EMPTY"], "EMPTY.csv"),
        (["ONE"], "ONE: one request is no traffic"),
        (["CENTURIES"], "CENTURIES: of its 2 rows one can be used"),
        (["MINUTE"], "spans 57 s"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_or_two(
    words: list[str], said: str, trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "t,model,prompt_tokens,output_tokens\n"
    rows = {
        "EMPTY": "",
        "ONE": "5,m,1,1\n",
        "CENTURIES": "1e9,m,1,1\n4.2e9,m,1,1\n",
        "MINUTE": "".join(f"{i},m,1,1\n" for i in range(58)),
    }
    for name, text in rows.items():
        (tmp_path / f"{name}.csv").write_text(head + text)
    names = {"TRACE": trace, **{name: f"{name}.csv" for name in rows}}
    assert main(["advise", *(names.get(w, w) for w in words)]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and "error of its own" not in err
    assert Path(trace).read_text().startswith(head)


def test_an_option_that_is_unknown_is_told(capsys: Output) -> None:
    assert main(["advise", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_a_config_that_is_wrong_is_told_with_its_line(trace: str, tmp_path: Path, capsys: Output) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("models:\n  m: {ttl: soon}\n")
    assert main(["advise", trace, "--config", str(path)]) == 2
    assert "bad.yaml:2" in capsys.readouterr().err


def test_it_says_of_which_day_the_example_prices_are_and_never_of_ones_own(
    trace: str, tmp_path: Path, capsys: Output
) -> None:
    page, config = tmp_path / "page.html", tmp_path / "own.yaml"
    (examples,) = asked(capsys, trace, "--report", str(page))
    for text in (" ".join(examples["warnings"]), examples["config"].replace("\n#", ""), page.read_text()):
        assert "examples of 2026-06-30" in text
    config.write_text("prices: {gpu_month_usd: 2500, serverless_premium: 2.5, commitment: 1h}\n")
    (own,) = asked(capsys, trace, "--config", str(config), "--report", str(page))
    assert not own["prices"]["examples"] and "example" not in " ".join(own["warnings"])
    assert "prices are those of the config" in own["config"].replace("\n#", "")
    assert "example" not in page.read_text()
    config.write_text("prices: {gpu_month_usd: 2000}\n")
    (half,) = asked(capsys, trace, "--config", str(config))
    assert "(serverless_premium 2.5, commitment 1h)" in " ".join(half["warnings"])


def test_prices_of_ones_own_book_are_no_examples(trace: str, tmp_path: Path, capsys: Output) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("prices: {book: book.yaml}\n")
    names = {p["kind"]: p["name"] for p in reversed(json.loads(_prices(capsys))["prices"])}
    mine = {
        "functions": {"gb_second_usd": 1e-5}, "active_cpu": {"vcpu_hour_usd": 0.1, "gb_hour_usd": 0.01},
        "provisioned": {"gb_second_usd": 1e-5, "gb_second_provisioned_usd": 4e-6},
        "managed": {"hour_usd": 0.1, "surcharge": 0.1},
    }  # fmt: skip
    book = {kind: {names[kind]: {**price, "source": "ours"}} for kind, price in mine.items()}
    words = [trace, "--inference", "remote", "--config", str(config)]
    (tmp_path / "book.yaml").write_text(json.dumps({"date": "2026-11-01", **book}))
    (own,) = asked(capsys, *words)
    assert not own["prices"]["examples"] and "example" not in " ".join(own["warnings"])
    assert own["prices"]["used"] == own["prices"]["own"] and "2026-11-01: ours" in own["prices"]["used"][0]
    (tmp_path / "book.yaml").write_text(json.dumps({"functions": book["functions"]}))
    (some,) = asked(capsys, *words)
    told = [line for line in some["warnings"] if line.startswith("An example price is used")]
    assert some["prices"]["examples"] and told and not any("functions." in line for line in told)


def _prices(capsys: Output) -> str:
    assert main(["prices", "--json"]) == 0
    return capsys.readouterr().out
