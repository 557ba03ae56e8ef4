from pilotlight.telemetry.traces import Traces
from unit.telemetry.records import record


def test_the_latest_are_kept():
    traces = Traces(limit=2)
    assert traces.latest() is None
    for i, model in enumerate(("a", "b", "a")):
        traces.told(record(request_id=str(i), model=model))
    assert traces.get("0") is None
    assert traces.get("2") is not None
    latest, of_b = traces.latest(), traces.latest("b")
    assert latest is not None
    assert of_b is not None
    assert (latest.request_id, of_b.request_id) == ("2", "1")
    assert traces.latest("c") is None
