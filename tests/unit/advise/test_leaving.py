"""Whose requests a config that is advised lets go to a provider."""

import pytest

from pilotlight.advise.candidates import Maker
from pilotlight.advise.draft import draft
from pilotlight.advise.leaving import leaving
from pilotlight.advise.needs import Needs
from pilotlight.advise.sizing import sizes
from pilotlight.sim.starts import StartTimes
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config
from unit.advise.kit import traffic

TOP = "providers:\n" + "".join(f"  {p}: {{base_url: 'https://{p}.example.com/v1'}}\n" for p in ("p", "q"))
API = {"api": {"base_url": "https://api.example.com/v1"}}
Found = dict[str, tuple[str, ...]]


def advised(text: str, traced: int = 2, more: object = None) -> Config | None:
    """The config of a candidate that bursts, for a traffic of models m0, m1 and so on."""
    today = parse(TOP + text, "x", {}, simulated=True)
    trace = traffic(range(0, 6000, 10), models=traced)
    made = draft(TOP + text, "x", today, trace.models, Needs(), {})
    now = made.parsed(made.written({"max_replicas": 2}, {}, {}))
    given = API if more else {}
    away = leaving(today, now, trace.models, made.asked, given)
    if away is None:
        return None
    one = Maker(made, sizes(trace, now, StartTimes()), Needs().band).burst("auto", away)
    other = Maker(made, sizes(trace, now, StartTimes()), Needs().band).provider(away)
    assert who(other.config) == who(one.config)
    return parse(one.text, "written", {}, simulated=True)


def who(config: Config | None) -> Found:
    """Of each model the providers; of `defaults` under an empty name."""
    assert config is not None
    of = {"": config.default_model, **config.models}
    every = {name: m.burst.provider for name, m in of.items() if m.burst is not None and m.leave_house}
    return {name: (p,) if isinstance(p, str) else p for name, p in every.items()}


SOURCE = "source: 'demo://50m'"
DEFAULT = "defaults: {burst: {provider: q}}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # its own, and of nobody else: another model of the traffic, one that nobody asks for, one added later
        (f"models: {{m0: {{{SOURCE}, burst: {{provider: p}}}}, m1: {{{SOURCE}}}, idle: {{{SOURCE}}}}}", {"m0": ("p",)}),
        (f"models: {{m0: {{{SOURCE}, burst: {{provider: p}}}}}}", {"m0": ("p",)}),
        (f"models: {{m0: {{{SOURCE}}}, idle: {{{SOURCE}, burst: {{provider: [q, p]}}}}}}", None),
        # the defaults', where they are, but for who wants none
        (
            f"{DEFAULT}models: {{m0: {{{SOURCE}, burst: {{provider: p}}}}, m1: {{{SOURCE}}}}}",
            {"": ("q",), "m0": ("p",), "m1": ("q",)},
        ),
        (
            f"{DEFAULT}models: {{m0: {{{SOURCE}, burst: null}}, m1: {{{SOURCE}}}}}",
            {"": ("q",), "m1": ("q",)},
        ),
        (
            f"{DEFAULT}models: {{m0: {{{SOURCE}, leave_house: false}}, m1: {{{SOURCE}}}}}",
            {"": ("q",), "m1": ("q",)},
        ),
        # nobody names what is declared: it is tried, by who is in the traffic
        (f"models: {{m0: {{{SOURCE}}}, idle: {{{SOURCE}}}}}", {"m0": ("p", "q"), "m1": ("p", "q")}),
        (f"models: {{m0: {{{SOURCE}, leave_house: false}}}}", {"m1": ("p", "q")}),
    ],
)  # fmt: skip
def test_who_may_leave_the_house_is_who_may_today(text: str, found: Found | None):
    config = advised(text)
    assert config is None if found is None else who(config) == found


def test_when_a_provider_is_asked_and_what_a_request_may_cost_stay_with_the_model():
    config = advised(
        f"models: {{m0: {{{SOURCE}, burst: {{provider: p, when: cold, max_request_usd: 0.5}}}}}}"
    )
    assert config is not None
    own = config.models["m0"].burst
    assert own is not None and (own.when, own.max_request_usd) == ("cold", 0.5)
    config = advised(f"defaults: {{burst: {{provider: q, when: cold}}}}\nmodels: {{m0: {{{SOURCE}}}}}")
    assert config is not None and config.default_model.burst is not None
    assert config.default_model.burst.when == "cold" == config.models["m0"].burst.when  # type: ignore[union-attr]


def test_an_endpoint_that_is_asked_for_comes_after_what_a_model_has():
    text = f"models: {{m0: {{{SOURCE}, burst: {{provider: p}}}}, idle: {{{SOURCE}}}}}"
    assert who(advised(text, more=True)) == {"m0": ("p", "api"), "m1": ("api",)}
    text = f"defaults: {{leave_house: false}}\nmodels: {{m0: {{{SOURCE}}}}}"
    assert advised(text, more=True) is None


def test_of_more_models_than_a_config_names_the_defaults_say_it_and_who_is_named_keeps_his(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("pilotlight.advise.draft.NAMED", 1)
    text = f"models: {{m0: {{{SOURCE}}}, idle: {{{SOURCE}}}}}"
    found = who(advised(text, traced=3))
    assert found == {"": ("p", "q"), "m0": ("p", "q")}
