"""The live ledger, fed with a replay: its sums are those of the figures."""

from pathlib import Path

import numpy as np
import pytest

from pilotlight.cost.report import Report
from pilotlight.sim.oracle import peak_levels
from pilotlight.sim.result import Result
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.trace import Trace
from pilotlight.sim.traces.read import read
from pilotlight.spec.load import parse

MONTH = 730 * 3600
FIXED = "defaults: {ttl: 60s, target_requests: 1, max_requests: 1, max_replicas: 10}"

CONFIGS = {
    "fixed": "defaults: {ttl: 60s, target_requests: 2, max_replicas: 8}",
    "base": "defaults: {ttl: 30s, base: 1, max_replicas: 4}",
    "auto": "defaults: {ttl: auto, base: auto, max_replicas: 8, target_requests: 2}",
    "sleep": "defaults: {ttl: 10m, sleep_after: 30s, max_replicas: 4}",
    "warmer": "defaults: {ttl: 60s, warmer: {}, max_replicas: 4}",
    "gpus": "defaults: {ttl: 60s, gpus: 2, max_replicas: 4}",
    "pool": "defaults: {ttl: 60s, max_replicas: 2}\nsimulation: {hosts: {gpus: 4}}",
}


def bursts(n: int = 600) -> Trace:
    rng = np.random.default_rng(1)
    t = np.sort(np.concatenate([rng.uniform(0, 7200, n // 2), rng.normal(3000, 60, n // 2)]))
    rows = [(float(at), f"m{rng.integers(3)}", 10, int(rng.integers(400))) for at in t]
    return Trace.from_rows("bursts", rows)


def billed(text: str, trace: Trace, more: str = "") -> tuple[Result, Report]:
    config = parse(f"prices: {{gpu_month_usd: {MONTH}}}\n{text}\n{more}", "c.yaml", {}, simulated=True)
    result = simulate(trace, config, constant(10.0), bill=True)
    assert result.bill is not None
    return result, result.bill


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS.keys())
def test_its_sums_are_those_of_the_figures(text: str):
    result, bill = billed(text, bursts())
    assert result.replica_hours > 0
    assert bill.replica_seconds == pytest.approx(result.replica_hours * 3600, rel=1e-9)
    assert bill.usd == pytest.approx(result.cost_usd, rel=1e-9)
    assert bill.waiting.requests == result.evaluated
    assert bill.waiting.cold == round((result.cold_rate or 0) * result.evaluated)


def test_by_hand_a_replica_starts_serves_idles_and_goes():
    trace = Trace.from_rows("x", [(0.0, "m", 1, 20), (1000.0, "m", 1, 0)])
    _, bill = billed(FIXED, trace, "simulation: {first_token: 0s, per_token: 1s, warm_up: 0%}")
    (line,) = bill.lines
    assert line.by_rung == pytest.approx({"starting": 2.5 * 10, "serving": 2.5 * 20, "idle": 2.5 * 60})
    assert bill.otherwise.always_on_usd == pytest.approx(1000)
    assert bill.otherwise.scale_to_zero_usd == pytest.approx(2.5 * (20 + 10))


def test_requests_that_overlap_in_a_replica_are_served_in_the_same_seconds():
    trace = Trace.from_rows("x", [(0.0, "m", 1, 20), (5.0, "m", 1, 20), (1000.0, "m", 1, 0)])
    _, bill = billed(
        "defaults: {ttl: 60s, target_requests: 2, max_replicas: 1}",
        trace,
        "simulation: {first_token: 0s, per_token: 1s, warm_up: 0%}",
    )
    assert bill.lines[0].by_rung["serving"] == pytest.approx(2.5 * 20), "both are held until 10 and run to 30"


def test_the_peak_is_that_of_the_oracle():
    trace = bursts()
    result, bill = billed(CONFIGS["fixed"], trace, "simulation: {warm_up: 0%}")
    peaks = peak_levels(trace, slots=2, first_token=0.05, per_token=0.03)
    assert bill.otherwise.always_on_usd == pytest.approx(sum(peaks.values()) * trace.span)
    assert bill.otherwise.always_on_usd == pytest.approx(result.always_on_usd)


def test_what_waiting_cost_is_at_the_price_that_a_cold_request_is_said_to_have():
    result, bill = billed(CONFIGS["fixed"], bursts(), "objective: {cold_request_cost_usd: 0.25}")
    assert bill.waiting.cold == round((result.cold_rate or 0) * result.evaluated) > 0
    assert bill.waiting.usd == pytest.approx(0.25 * bill.waiting.cold)


LOG = """\
{"t": 0, "model": "m", "output_tokens": 20, "key": "alice"}
{"t": 5, "model": "m", "output_tokens": 10, "key": "bob", "request_class": "batch"}
{"t": 7, "model": "m", "output_tokens": 10, "key": ["x"]}
{"t": 1000, "model": "m"}
"""
"""Alice's begins at 10, once a replica is up; the others come meanwhile and are done one by one, Bob's last."""


def of_log(folder: Path, text: str, by: str) -> dict[str, dict[str, float]]:
    log = folder / "requests.jsonl"
    log.write_text(LOG)
    given = "simulation: {first_token: 0s, per_token: 1s, warm_up: 0%}"
    config = parse(f"prices: {{gpu_month_usd: {MONTH}}}\n{given}\n{text}", "c.yaml", {}, simulated=True)
    bill = simulate(read(log), config, constant(10.0), bill=True, by=by).bill
    assert bill is not None and bill.by == by
    return {line.name: line.by_rung for line in bill.lines}


def test_each_key_and_class_of_a_request_log_has_what_its_requests_took(tmp_path: Path):
    text = FIXED.replace("max_replicas: 10", "max_replicas: 1")
    rest = {"starting": 2.5 * 10, "idle": 2.5 * 60}
    keys = of_log(tmp_path, text, "key")
    assert keys.pop("alice") == pytest.approx({"serving": 2.5 * 20})
    assert keys.pop("bob") == pytest.approx({"serving": 2.5 * 10})
    assert keys == {"": pytest.approx({"serving": 2.5 * 10, **rest})}, "and of what is no name of a key"
    classes = of_log(tmp_path, text, "class")
    assert classes == {
        "batch": pytest.approx({"serving": 2.5 * 10}),
        "standard": pytest.approx({"serving": 2.5 * 30}),
        "": pytest.approx(rest),
    }


def test_each_key_has_what_a_provider_charged_for_its_requests(tmp_path: Path):
    far = "{base_url: 'https://p.example.com/v1', price: {million_output_usd: 1e6}, PINGS}"
    pings = "idle_timeout: 1h, keep_warm: {model: m}"
    text = f"providers: {{p: {far.replace('PINGS', pings)}}}\nmodels: {{m: {{burst: {{provider: p}}}}}}"
    keys = of_log(tmp_path, text, "key")
    assert keys["alice"] == pytest.approx({"burst": 20.0})
    assert keys["bob"] == pytest.approx({"serving": 2.5 * 10}), (
        "batch waits for idle capacity, and goes nowhere"
    )
    assert keys[""]["pings"] > 0 and keys[""]["burst"] == pytest.approx(10.0)


def test_a_bill_is_made_only_where_it_is_wanted():
    trace = bursts(60)
    config = parse(CONFIGS["fixed"], "c.yaml", {}, simulated=True)
    plain, with_bill = (simulate(trace, config, constant(10.0), bill=bill) for bill in (False, True))
    assert plain.bill is None and "bill" not in plain.figures()
    assert with_bill.figures()["bill"]["usd"] == pytest.approx(plain.cost_usd)
