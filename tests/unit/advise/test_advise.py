"""Traffic of which anyone knows the right answer."""

import msgspec
import numpy as np
import pytest

from pilotlight.advise import reason, words, written
from pilotlight.advise.advice import Advice, by_id, simulated_on
from pilotlight.advise.candidates import Tier
from pilotlight.advise.figures import figures
from pilotlight.advise.hosts import tried
from pilotlight.advise.needs import WAIT, Inference, Latency, Needs
from pilotlight.advise.page import html
from pilotlight.advise.played import Played, best
from pilotlight.errors import TraceError
from pilotlight.spec.load import parse
from pilotlight.spec.model import HostKind
from unit.advise.kit import DAY, HOUR, advised, traffic

BATCH = Needs(wait=WAIT[Latency.BATCH], latency=Latency.BATCH)
HOURS = 24


def steady(per_hour: float, hours: float = HOURS) -> np.ndarray:
    return np.arange(0.0, hours * HOUR, HOUR / per_hour)


def test_a_gpu_that_is_busy_most_of_the_time_is_rented() -> None:
    # 8 slots of 3.65 s each: 6,300 an hour keep 80 % of one replica busy
    a = advised(traffic(steady(6300, 3)))
    assert a.recommended.candidate.tier is Tier.DEDICATED
    assert a.recommended.month_usd == pytest.approx(2500)
    assert a.shape.busy == pytest.approx(0.8, abs=0.02)


def test_three_requests_a_day_that_nobody_waits_for_are_not_worth_a_gpu() -> None:
    a = advised(traffic(np.arange(30) * DAY / 3), BATCH)
    assert a.recommended.candidate.tier in {Tier.SERVERLESS, Tier.PROVIDER}
    assert a.recommended.month_usd < 100


def test_batch_scales_to_zero_where_people_would_not_let_it() -> None:
    t = traffic(np.concatenate([steady(4, 4 * 24), 3 * DAY + np.arange(500.0)]))
    batch, people = advised(t, BATCH), advised(t)
    serverless = [p for p in batch.played if p.candidate.tier is Tier.SERVERLESS and p.holds]
    assert min(p.month_usd for p in serverless) < 0.5 * 2500
    cheapest = min(p.month_usd for p in people.played if p.candidate.tier is Tier.SERVERLESS and p.holds)
    assert cheapest > min(p.month_usd for p in serverless)
    assert batch.recommended.month_usd < people.recommended.month_usd


def test_a_steady_base_with_spikes_takes_a_base_and_a_burst() -> None:
    dice = np.random.default_rng(1)
    spikes = [day * DAY + 10 * HOUR + dice.random(2500) * 600 for day in range(2)]
    a = advised(traffic(np.concatenate([steady(700, 48), *spikes])))
    assert a.recommended.candidate.tier in {Tier.HYBRID, Tier.BURST}
    dedicated = [p for p in a.played if p.candidate.tier is Tier.DEDICATED and p.holds]
    assert all(p.month_usd > a.recommended.month_usd for p in dedicated)


def test_seldom_asked_models_share_gpus() -> None:
    dice = np.random.default_rng(2)
    t = np.cumsum(dice.exponential(60.0, 1000))
    text = "defaults: {max_replicas: 4, gpus: 1}\n"
    text += "models: {" + ", ".join(f'm{i}: {{source: "demo://50m"}}' for i in range(8)) + "}\n"
    a = advised(traffic(t, models=8), text=text)
    assert a.recommended.candidate.tier is Tier.POOL


def test_a_model_keeps_the_providers_that_it_names() -> None:
    text = "providers:\n"
    text += "".join(
        f"  {name}: {{base_url: 'https://{name}.example.com/v1', price: {{million_output_usd: {usd}}}}}\n"
        for name, usd in (("cheap", 0.1), ("dear", 10))
    )
    text += "models:\n  m0: {source: 'demo://50m', gpus: 1, burst: {provider: dear, max_request_usd: 1}}\n"
    others = "defaults: {min_replicas: 1, burst: {provider: cheap}}\n"
    a = advised(traffic(steady(60), models=2), text=others + text)
    assert a.recommended.candidate.tier is Tier.PROVIDER
    config = parse(a.config, "x", {})
    own = config.models["m0"].burst
    assert own is not None and (own.provider, own.max_request_usd) == ("dear", 1)
    other = config.models["m1"].burst
    assert other is not None and other.provider == "cheap"
    paid = a.recommended.result.by_provider
    assert paid["dear"].burst_requests > 0 and paid["cheap"].burst_requests > 0
    assert any("with price of the provider" in line for line in a.why)
    alone = advised(traffic(steady(60), models=2), text=text)
    tried = next(p for p in alone.played if p.candidate.tier is Tier.PROVIDER)
    assert (
        tried.candidate.config.models["m1"].burst is None
        and tried.candidate.config.default_model.burst is None
    )
    assert set(tried.result.by_provider) == {"dear"} and tried.result.starts > 0


def test_an_endpoint_by_the_token_is_tried_where_it_is_named_and_data_may_leave() -> None:
    t = traffic(steady(60))
    api = advised(t, api="llama-3.1-8b")
    assert api.recommended.candidate.tier is Tier.PROVIDER
    assert api.recommended.result.burst_requests == api.recommended.result.evaluated
    assert any(line.startswith("100% of the requests are answered by a provider, for $") for line in api.why)
    # 400 tokens in and 120 out at $0.18 a million, 60 times an hour, 730 hours
    assert api.recommended.month_usd == pytest.approx(60 * 730 * 520 * 0.18e-6, rel=0.03)
    assert "llama-3.1-8b" in parse(api.config, "x", {}).providers
    assert any(p.candidate.tier is Tier.BURST for p in api.played)
    half = next(c for c in api.changes if (c.what, c.factor) == ("price of the provider", 0.5))
    assert half.outcomes[0].month_usd == pytest.approx(api.recommended.month_usd / 2, rel=0.01)
    dearer = next(c for c in api.changes if (c.what, c.factor) == ("price on demand", 2.0))
    assert dearer.outcomes[0].month_usd == pytest.approx(api.recommended.month_usd, rel=0.01)
    text = 'defaults: {max_replicas: 4, leave_house: false}\nmodels: {m0: {source: "demo://50m"}}\n'
    kept = advised(t, text=text, api="llama-3.1-8b")
    assert not any(p.candidate.tier in {Tier.PROVIDER, Tier.BURST} for p in kept.played)


def test_a_program_that_is_seldom_asked_is_a_function_and_a_busy_one_a_machine() -> None:
    remote = Needs(inference=Inference.REMOTE, cold=0.5)
    seldom = advised(traffic(steady(2, 72)), remote, start=1.0)
    busy = advised(traffic(steady(15000, 1)), remote, start=1.0)
    assert seldom.recommended.candidate.tier is Tier.FUNCTION
    assert busy.recommended.candidate.tier in {Tier.CONTAINER, Tier.MANAGED}
    assert seldom.even is not None and seldom.even.value > seldom.even.per_hour
    assert busy.even is not None and busy.even.value < busy.even.per_hour


def test_functions_that_belong_to_sessions_start_cold_more_often() -> None:
    t = np.arange(0.0, 200 * 60.0, 60.0)
    trace = traffic(t, session=np.arange(200) // 4)
    alone = advised(trace, Needs(inference=Inference.REMOTE, sessions=False))
    bound = advised(trace, Needs(inference=Inference.REMOTE, sessions=True))
    assert by_id(bound.played, "function").cold_rate > 0.2 > by_id(alone.played, "function").cold_rate
    assert not any("provisioned" in p.id for p in bound.played)


def test_the_break_even_is_of_what_is_recommended() -> None:
    text = """\
providers: {p: {base_url: "https://p.example.com/v1", price: {PRICE}, first_token: 400ms}}
models: {m0: {source: "demo://50m", target_requests: 8, burst: {provider: p}}}
"""
    needs = Needs(cold=0.3)
    cheap = advised(traffic(steady(60)), needs, text=text.replace("PRICE", "million_output_usd: 1")).even
    assert cheap is not None and (cheap.below, cheap.above) == ("today", "dedicated-peak")
    # 120 tokens at $1 a million against $2,500 / 730 an hour
    assert cheap.value == pytest.approx(2500 / 730 / 120e-6)
    assert "$3.425 / $0.00012" in cheap.with_numbers
    said = " ".join(cheap.explained)
    # 520 tokens of a request, 400 of them for nothing; 8 slots of 3.65 s make 7,890 requests an hour
    assert "10,833 million tokens/month = $2,500 / ($0.2308 per million), of which 520 are a request" in said
    assert "can take 7,890 such requests an hour at most" in said and "no rate makes" in said
    dear = advised(traffic(steady(60)), needs, text=text.replace("PRICE", "second_usd: 0.002")).even
    assert dear is not None and (dear.below, dear.above) == ("today", "dedicated-peak")
    assert dear.value == pytest.approx(2500 / 730 / (0.002 * 4), rel=0.02), "0.4 s and 120 tokens"
    assert "token:" not in " ".join(dear.explained) and "no rate makes" not in " ".join(dear.explained)


def test_a_pool_has_a_break_even_with_what_is_not_rented() -> None:
    a = advised(traffic(np.cumsum(np.random.default_rng(2).exponential(60.0, 600)), models=3))
    assert a.recommended.candidate.tier is Tier.POOL and a.even is not None
    assert a.even.above == a.recommended.id
    below = by_id(a.played, a.even.below)
    assert below.result.dedicated_gpu_hours < a.recommended.result.dedicated_gpu_hours


def test_of_a_serverless_gpu_it_is_the_billed_seconds() -> None:
    a = advised(traffic(np.arange(30) * DAY / 3), BATCH)
    assert a.even is not None and a.even.below == a.recommended.id
    r = a.recommended.result
    billed = r.gpu_hours * 3600 / r.evaluated
    assert a.even.value == pytest.approx(3600 / 2.5 / billed) and "premium x billed seconds" in a.even.formula
    assert len(a.even.lines[1].simulated) > 2


def test_why_no_endpoint_was_tried_is_said_as_it_is() -> None:
    t = traffic(steady(20))
    top = 'providers: {p: {base_url: "https://p.example.com/v1"}}\n'

    def said(text: str | None, api: str | None = None) -> str:
        a = advised(t, text=text, api=api)
        assert not any("tokens." in entry for entry in a.prices.used)
        return next((w for w in a.warnings if w.startswith("No endpoint")), "")

    assert "declare `providers`" in said(None)
    house = top + 'defaults: {leave_house: false, burst: {provider: p}}\nmodels: {m0: {source: "demo://50m"}}'
    for api in (None, "llama-3.1-8b"):
        assert "`leave_house: false` keeps the requests of m0" in said(house, api)
    other = 'models: {m0: {source: "demo://50m"}, other: {source: "demo://50m", burst: {provider: p}}}'
    assert "`burst` of others in the config names providers, and that of m0 none" in said(top + other)
    assert said(top + 'models: {m0: {source: "demo://50m"}}') == ""


# -- what is said ----------------------------------------------------------------------------------------------------


def test_nothing_is_advised_that_was_not_simulated_on_the_traffic() -> None:
    trace = traffic(steady(60))
    a = advised(trace)
    assert simulated_on(trace, a.recommended) is a.recommended
    with pytest.raises(AssertionError, match="simulated on"):
        simulated_on(traffic(steady(60, 12)), a.recommended)
    other = msgspec.structs.replace(
        a.recommended, candidate=msgspec.structs.replace(a.recommended.candidate, id="made-up")
    )
    with pytest.raises(AssertionError, match="made-up"):
        simulated_on(trace, other)


def test_the_config_is_the_one_that_was_simulated_and_loads() -> None:
    a = advised(traffic(steady(60), models=3))
    config = parse(a.config, "ready.yaml", {})
    assert set(config.models) == {"m0", "m1", "m2"}
    simulated = a.recommended.candidate.config
    assert {n: m.ttl for n, m in config.models.items()} == {n: m.ttl for n, m in simulated.models.items()}
    assert a.config.startswith("# ")


def test_today_is_beside_it_and_its_other_keys_stay() -> None:
    text = """\
port: 9000
prices: {gpu_month_usd: 1000, serverless_premium: 3}
defaults: {max_replicas: 9, scaling: {ttl: 1h, min_replicas: 3}}
models:
  m0: {source: "demo://50m", aliases: [chat], target_requests: 2, ttl: 2h, schedule: [{cron: "0 8 * * *", for: 1h}]}
  unasked: {source: "demo://1b"}
"""
    a = advised(traffic(steady(60)), text=text)
    assert a.today is not None and a.today.candidate.text == text
    assert a.today.month_usd == pytest.approx(3 * 1000, rel=0.3)  # three of the model that is asked for
    config = parse(a.config, "today.yaml", {})
    assert config.port == 9000 and config.models["m0"].target_requests == 2
    assert config.models["m0"].aliases == ("chat",) and not config.models["m0"].schedule
    assert any("Today" in line for line in a.why)


def test_models_that_nobody_asks_for_stay_as_they_are_and_are_nothing_to_save() -> None:
    text = """\
providers: {p: {base_url: "https://p.example.com/v1", price: {million_output_usd: 1}}}
defaults: {scaling: {ttl: 1h, schedule: [{cron: "0 8 * * *", for: 1h}]}, max_pending_requests: 9, warmer: {}}
models:
  m0: {source: "demo://50m", burst: {provider: p, when: cold, max_request_usd: 2}}
  kept: {source: "demo://1b", min_replicas: 2, max_replicas: 3, burst: {provider: p, when: cold}}
  plain: {source: "demo://1b", scaling: {ttl: 2h, base: 1}}
  other: {engine: command, cmd: "run ${PORT}", gpus: 1}
"""
    a = advised(traffic(steady(6300, 2)), text=text)
    assert a.today is not None and a.today.month_usd < 1.5 * 6250, "one replica of one model"
    assert any("kept, plain, other in this traffic" in line for line in a.why)
    before = parse(text, "x", {}).models
    for p in a.played:
        after = parse(p.candidate.text, "x", {}).models
        for name in ("kept", "plain", "other"):
            assert after[name] == before[name], (p.id, name)
        if p.candidate.tier in {Tier.PROVIDER, Tier.BURST}:
            assert after["m0"].burst == before["m0"].burst


def test_of_a_pool_they_take_the_room_that_they_have() -> None:
    text = """\
defaults: {ttl: -1, max_replicas: 4}
simulation: {hosts: {gpus: 2, models_per_gpu: 2}}
models: {m0: {source: "demo://50m"}, kept: {source: "demo://50m", min_replicas: 1}}
"""
    a = advised(traffic(steady(60)), text=text)
    assert a.today is not None and a.today.candidate.config.models["kept"].min_replicas == 1
    assert any("share the GPUs of a pool" in line for line in a.why)


def test_the_runner_up_is_another_tier_than_todays() -> None:
    text = """\
providers: {p: {base_url: "https://p.example.com/v1", price: {million_output_usd: 0.1}, first_token: 400ms}}
models: {m0: {source: "demo://50m", min_replicas: 1, burst: {provider: p}}}
"""
    a = advised(traffic(steady(60)), text=text)
    assert a.recommended.candidate.tier is Tier.PROVIDER and a.today is not None
    assert a.runner_up is not None
    assert a.runner_up.candidate.tier not in {Tier.TODAY, Tier.PROVIDER}
    kept = advised(traffic(steady(60)), text=text.replace("min_replicas: 1, ", ""))
    assert kept.recommended.candidate.tier is Tier.TODAY and not kept.flips


def test_a_pool_of_today_is_todays_alone() -> None:
    text = """\
defaults: {ttl: -1, max_replicas: 4}
simulation: {hosts: {gpus: 3, models_per_gpu: 2}, wake_time: 1s}
models: {m0: {source: "demo://50m"}, m1: {source: "demo://50m"}}
"""
    a = advised(traffic(steady(60), models=2), text=text)
    assert a.today is not None and a.today.month_usd == pytest.approx(3 * 2500)
    with_pool = [p for p in a.played if p.candidate.config.simulation.hosts is not None]
    assert {p.candidate.tier for p in with_pool} == {Tier.TODAY, Tier.POOL}
    assert all(p.candidate.config.simulation.hosts.models_per_gpu == 2 for p in with_pool)  # type: ignore[union-attr]


LISTED = """\
defaults: {ttl: -1, max_replicas: 4}
simulation:
  wake_time: 1s
  hosts:
    - {name: cpu, count: 2, memory: 64GiB, hour_usd: 1}
    - {name: l4, memory: 64GiB, gpus: 1, gpu_memory: 24GiB}
    - {name: h100, count: 2, memory: 1TiB, gpus: 2, models_per_gpu: 2, hour_usd: 6}
models:
  m0: {source: "demo://50m", memory: 4GiB}
  m1: {source: "demo://50m", gpus: 1}
"""


def test_of_listed_hosts_the_largest_kind_is_tried_beside_those_without_gpus() -> None:
    a = advised(traffic(steady(60), models=2), text=LISTED)
    assert a.today is not None
    # An L4 costs $2,500 a month by `prices`, the others what they say, whatever their GPUs would cost.
    assert a.today.month_usd == pytest.approx(2 * 730 + 2500 + 2 * 6 * 730)
    (pool,) = (p for p in a.played if p.candidate.tier is Tier.POOL)
    kinds = pool.candidate.config.simulation.kinds
    assert [(k.name, k.count) for k in kinds] == [("cpu", 2), ("h100", 1)]
    assert pool.month_usd == pytest.approx(2 * 730 + 6 * 730)
    assert pool.candidate.words.startswith("2 GPUs on 1 host of the kind h100 that all models share")
    assert pool.month.high == pytest.approx(pool.month_usd), "it is paid whatever comes"


def test_listed_hosts_without_gpus_are_todays_alone() -> None:
    text = """defaults: {ttl: -1, max_replicas: 4, memory: 4GiB}
simulation: {hosts: [{name: cpu, memory: 64GiB, hour_usd: 1}], wake_time: 1s}
models: {m0: {source: "demo://50m"}, m1: {source: "demo://50m"}}
"""
    a = advised(traffic(steady(60), models=2), text=text)
    assert a.today is not None and a.today.month_usd == pytest.approx(730)
    assert all(p.candidate.tier is not Tier.POOL for p in a.played)


@pytest.mark.parametrize(("gpus", "count"), [(1, 1), (4, 1), (5, 2), (9, 3), (100_000, 998)])
def test_of_hosts_there_are_as_many_as_have_the_gpus_and_may_be(gpus: int, count: int) -> None:
    kinds = (HostKind("cpu", 2**30, 2), HostKind("a", 2**30, 5, 4), HostKind("b", 2**30, 1, 1))
    found = tried([{"name": "cpu", "count": 2}, {"name": "a", "count": 5}, {"name": "b"}], kinds, gpus)
    assert found is not None and found.gpus == 4 * count
    assert found.written == [{"name": "cpu", "count": 2}, {"name": "a", "count": count}]


def test_no_model_may_be_colder_than_the_config_lets_it() -> None:
    text = """\
objective: {wait: 2s, cold_rate: [2%, 5%], per_model_max: 10%}
models: {m0: {source: "demo://50m"}, seldom: {source: "demo://50m"}}
"""
    busy, rare = steady(600, 12), np.arange(4) * 3 * HOUR + 100.0
    t = traffic(np.concatenate([busy, rare]))
    model = np.isin(t.t, rare).astype(np.int32)
    trace = type(t)("t", ["m0", "seldom"], t.t, model, t.prompt_tokens, t.output_tokens)
    for p in advised(trace, text=text).played:
        assert not p.holds or (p.result.cold_rate_worst_model or 0.0) <= 0.1


def test_what_is_best_already_is_kept() -> None:
    text = """\
defaults: {max_replicas: 1, min_replicas: 1}
models: {m0: {source: "demo://50m", target_requests: 8}}
"""
    a = advised(traffic(steady(5000, 3)), text=text)
    assert a.recommended.candidate.tier is Tier.TODAY
    assert any(line.startswith("Keep what you have") for line in a.why)


def test_it_says_by_which_rule_one_was_taken() -> None:
    a = advised(traffic(steady(6300, 3)))
    first = a.recommended
    assert "is the cheapest that holds a cold rate not above 5%" in _choice(a)
    hybrid = next(p for p in a.played if p.candidate.tier is Tier.HYBRID and p.holds)
    cheaper = msgspec.structs.replace(hybrid, month_usd=0.99 * first.month_usd)
    told = _choice(msgspec.structs.replace(a, played=(cheaper, first)))
    assert "is the simplest" in told and "that cost at most 2% more than the cheapest (" in told
    assert f"({hybrid.candidate.words}, $2,475) and hold a cold rate" in told
    today = msgspec.structs.replace(first.candidate, tier=Tier.TODAY)
    kept = msgspec.structs.replace(first, candidate=today)
    told = _choice(msgspec.structs.replace(a, played=(cheaper, kept), recommended=kept))
    assert "Keep what you have" in told and "for less by more than 2%" in told


def test_the_reason_names_the_figures_that_decided() -> None:
    a = advised(traffic(steady(6300, 3)))
    told = list(words.why(a))
    assert any(
        line
        == "What decided for dedicated GPU and against serverless GPU: $2,500 a month and 0% cold beside $6,250 "
        "and 0%; it costs $3,750 less."
        for line in told
    )
    assert any("would be billed for 730 GPU hours a month" in line and "100% of" in line for line in told)
    first, second = a.recommended, a.runner_up
    assert second is not None

    def decided(one: Played, two: Played) -> str:
        found = reason.of_tier(msgspec.structs.replace(a, recommended=one, runner_up=two))
        return next(found).partition("; ")[2]

    cold = msgspec.structs.replace(second.result, cold_rate=0.09)
    colder = msgspec.structs.replace(second, result=cold, holds=False, month_usd=900.0)
    assert decided(first, colder) == "of the second more than 5% are cold."
    lost = msgspec.structs.replace(second, holds=False, month_usd=900.0)
    assert decided(first, lost) == "the second does not hold what is asked for."
    alike = msgspec.structs.replace(second, month_usd=2490.0)
    assert decided(first, alike) == "they cost the same, to 2%, and it is the simpler one."
    keeps = msgspec.structs.replace(first, kept=0.5)
    assert decided(keeps, alike) == "they cost the same, to 2%, and it keeps more sessions where they are."
    neither = msgspec.structs.replace(first, holds=False)
    assert decided(neither, colder) == "neither holds, and fewer are cold."


def test_it_says_that_one_was_not_taken_for_its_cold_rate_alone() -> None:
    a = advised(traffic(steady(6300, 3)))
    lost = msgspec.structs.replace(a.recommended.result, unserved=1000)
    failing = msgspec.structs.replace(a.recommended, result=lost, holds=False)
    told = _choice(msgspec.structs.replace(a, played=(failing,), recommended=failing))
    assert told.startswith("None of 1 settings holds a cold rate not above 5%")
    assert "and not more than 0.1% of the requests unanswered" in told and "shorter start" not in told


def test_what_is_cheaper_for_another_reason_is_not_said_to_be_colder() -> None:
    a = advised(traffic(steady(6300, 3)))
    first = a.recommended
    today = msgspec.structs.replace(first, month_usd=0.5 * first.month_usd, holds=False)
    why = list(words.why(msgspec.structs.replace(a, played=(today, first), today=today)))
    assert any("costs $1,250 a month more, and holds what is asked for" in line for line in why)
    assert not any("The wait is what costs" in line for line in why)


def _choice(a: Advice) -> str:
    return list(words.why(a))[1]


def test_little_data_is_said_to_be_little_and_its_intervals_are_wide() -> None:
    few = advised(traffic([0, 4000, 30000, 50000, 80000]), BATCH)
    assert any("Only 5 requests" in line for line in few.warnings)
    assert any("no week" in line for line in few.warnings)
    assert few.recommended.cold.high - few.recommended.cold.low > 0.3
    much = advised(traffic(np.cumsum(np.random.default_rng(3).exponential(900.0, 1500))), BATCH)
    assert not any("Only" in line for line in much.warnings)
    assert much.recommended.cold.high < 0.02


def test_of_too_short_a_time_the_intervals_are_as_wide_as_can_be_but_of_what_is_rented() -> None:
    a = advised(traffic([0, 1, 500, 600, 3000]))
    for p in a.played:
        rented = p.candidate.tier is Tier.DEDICATED
        assert p.short is not rented, p.id
        assert p.month.low <= p.month_usd <= p.month.high + 1e-6
        if p.short:
            assert p.month.low == 0
            assert p.month.high > 1.9 * p.month_usd
    rented = by_id(a.played, "dedicated-peak").month
    assert (rented.low, rented.high) == pytest.approx((2500, 2500))
    assert any("is not to be told from so short a time" in line for line in a.why)
    assert any("too short to say how far" in line for line in a.warnings)
    assert "$0.00 to " in written.figures(by_id(a.played, "serverless-1h"))
    assert "for want of data" in written.figures(by_id(a.played, "serverless-1h"))
    found = {c["id"]: c for c in figures(a)["candidates"]}
    assert found["serverless-1h"]["month_usd_interval_is_bounds"]
    assert found["dedicated-peak"]["month_usd_interval"] == pytest.approx([2500, 2500])
    assert "for want of data" in html(a)
    longer = advised(traffic(steady(6, 9)))
    assert not any(p.short for p in longer.played)


def test_of_what_costs_the_same_the_one_that_keeps_sessions_where_they_are_is_advised() -> None:
    some = advised(traffic(steady(30, 48))).played
    first = best(some)
    fewer = msgspec.structs.replace(first, kept=0.4)
    more = msgspec.structs.replace(first, kept=0.8, month_usd=first.month_usd * 1.01)
    dear = msgspec.structs.replace(first, kept=1.0, month_usd=first.month_usd * 1.1)
    assert best([fewer, more, dear]) is more
    trace = traffic(steady(30, 48), session=np.arange(30 * 48) % 5)
    kept = {
        inference: _kept(advised(trace, Needs(inference=inference, sessions=True))) for inference in Inference
    }
    assert max(kept[Inference.HERE]) > min(kept[Inference.HERE])
    assert set(kept[Inference.REMOTE]) == {0.0}


def _kept(a: Advice) -> list[float]:
    return [p.kept for p in a.played]


def test_the_answer_is_tried_with_other_prices_and_starts() -> None:
    a = advised(traffic(steady(30, 48)))
    assert {(c.what, c.factor) for c in a.changes} >= {
        ("price on demand", 0.5), ("price on demand", 2.0), ("start time", 0.5), ("start time", 2.0),
    }  # fmt: skip
    for c in a.changes:
        assert c.outcomes[0].id == a.recommended.id and c.best in {o.id for o in c.outcomes}
    for flip in a.flips:
        assert flip.to != a.recommended.id


def test_the_figures_are_the_same_each_time() -> None:
    trace = traffic(np.cumsum(np.random.default_rng(4).exponential(120.0, 800)))
    assert figures(advised(trace)) == figures(advised(trace))


@pytest.mark.parametrize(
    ("t", "said"),
    [([], "nobody asks"), ([5.0], "one request"), ([0.0, 30.0, 59.0], "spans 59 s")],
)
def test_a_trace_from_which_nothing_follows_is_refused(t: list[float], said: str) -> None:
    with pytest.raises(TraceError, match=said):
        advised(traffic(t))
