import csv
import io

import pytest

from pilotlight.cli import cost_view, price_book
from pilotlight.cost.declared import EXAMPLES_OF, examples, told
from pilotlight.cost.history import HOUR, History, Traffic
from pilotlight.cost.report import BY, billed, report
from pilotlight.cost.rows import Amount, Row
from pilotlight.spec.load import parse
from pilotlight.spec.simulation import Prices


@pytest.fixture
def history() -> History:
    found = History()
    found.use(10, Row("a", "alice", "standard"), Amount(100, 2.0))
    found.use(11, Row("a", "alice", "standard"), Amount(50, 1.0))
    found.use(11, Row("a", rung="idle"), Amount(30, 0.5))
    found.use(11, Row("b", rung="rented"), Amount(60, 4.0))
    found.use(11, Row("b", "bob", "critical", "burst", "cloud"), Amount(5, 0.25))
    found.use(11, Row("b", rung="pings", provider="cloud"), Amount(1, 0.25))
    found.of(10, "a").plus(Traffic(5, 1, 12.0, 0.5, 3, 2.0, 1.0))
    found.of(11, "a").plus(Traffic(5, 1, 12.0, 0.5, 1, 2.0, 1.0))
    return found


@pytest.mark.parametrize("by", list(BY))
def test_every_way_to_sort_it_adds_up_to_the_same(history: History, by: str):
    found = report(history, by)
    assert found.usd == pytest.approx(8.0)
    assert sum(line.usd for line in found.lines) == pytest.approx(8.0)
    assert sum(line.share for line in found.lines) == pytest.approx(1.0)
    assert sum(line.replica_seconds for line in found.lines) == found.replica_seconds == pytest.approx(180)


def test_lines_are_dearest_first_and_hours_in_order(history: History):
    assert [line.name for line in report(history, "model").lines] == ["b", "a"]
    assert [line.name for line in report(history, "hour").lines] == ["10", "11"]


def test_what_providers_charged_is_told_apart(history: History):
    found = report(history)
    assert (found.provider_usd, found.pings_usd) == (0.5, 0.25)


def test_always_on_is_for_the_peak_of_the_whole_time(history: History):
    found = report(history)
    assert found.otherwise.always_on_usd == pytest.approx(3 * 4.0)
    assert found.otherwise.scale_to_zero_usd == pytest.approx(2.0)
    assert (found.waiting.cold, found.waiting.requests, found.waiting.usd) == (2, 10, 1.0)


def test_nothing_costs_nothing():
    found = report(History())
    assert (found.usd, found.replica_seconds, found.lines) == (0.0, 0.0, ())


def test_csv_has_every_row_of_every_hour(history: History):
    out = io.StringIO()
    cost_view.csv_rows(billed(history, 0.0, 1.0, "model", Prices(), every_row=True), out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "hour,model,key,class,rung,provider,seconds,usd,prices"
    assert lines[1] == f"1970-01-01T10:00Z,a,alice,standard,serving,,100,2.0,examples of {EXAMPLES_OF}"
    assert len(lines) == 1 + 6


def test_csv_calls_no_price_an_example_that_somebody_has_set(history: History):
    def of(prices: Prices) -> dict[str, str]:
        out = io.StringIO()
        cost_view.csv_rows(billed(history, 0.0, 1.0, "model", prices, every_row=True), out)
        return {row["rung"]: row["prices"] for row in csv.DictReader(io.StringIO(out.getvalue()))}

    examples = f"examples of {EXAMPLES_OF}"
    assert of(Prices()) == {
        "serving": examples, "idle": examples, "rented": examples, "burst": "own", "pings": "own",
    }  # fmt: skip
    assert set(of(Prices(2500.0, 2.5, 3600.0)).values()) == {"own"}


@pytest.mark.parametrize("by", list(BY))
def test_what_people_see_names_the_examples(
    history: History, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cost_view.show(billed(history, 10 * HOUR, 12 * HOUR, by, Prices(gpu_month_usd=2000)))
    out = capsys.readouterr().out
    assert out.startswith(
        "$8.00 since 1970-01-01 10:00 UTC: $7.50 for 0.05 replica-hours, $0.50 for providers"
    )
    assert "always on at its peak $12.00" in out and "2 of 10 requests waited longer for a start" in out
    assert f"examples of {EXAMPLES_OF} until you set your own under `prices`: serverless_premium 2.5" in out


def test_who_has_set_all_prices_hears_no_more_of_examples(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    own = told(Prices(gpu_month_usd=2000, serverless_premium=2.0, commitment=3600.0))
    assert (own.date, own.examples) == (None, "")
    assert told(Prices()).date == EXAMPLES_OF and "gpu_month_usd $2,500" in told(Prices()).examples
    cost_view.show(billed(history, 10 * HOUR, 12 * HOUR, "model", Prices(2000, 2.0, 3600.0)))
    out = capsys.readouterr().out
    assert "prices are your own" in out and "examples" not in out


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", ["gpu_month_usd $2,500", "serverless_premium 2.5", "commitment 1h"]),
        ("{prices: {gpu_month_usd: 2500, commitment: 3600}}", ["serverless_premium 2.5"]),
        ("{prices: {serverless_premium: 2.5}}", ["gpu_month_usd $2,500", "commitment 1h"]),
        ("{prices: {gpu_month_usd: 2500, serverless_premium: 2.5, commitment: 1h}}", []),
    ],
)
def test_a_price_that_somebody_set_to_what_the_example_is_is_theirs(text: str, found: list[str]):
    prices = parse(text, "c.yaml", {}, simulated=True).prices
    assert list(examples(prices)) == found
    assert float(prices.gpu_month_usd) == 2500.0 and prices.serverless_premium == 2.5


def test_the_examples_are_of_the_shipped_books_day():
    assert price_book.shipped().date == EXAMPLES_OF
