"""What only counts: the band, prices and the simulator's own settings; and a file that is only simulated."""

from pathlib import Path

import pytest

from pilotlight.errors import ConfigError
from pilotlight.spec.load import load, parse
from pilotlight.spec.model import Config, HostKind, Hosts, Objective, Prices, Simulation

MODELS = "models: {a: {source: demo://50m}}\n"


def problems(text: str, simulated: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as e:
        parse(text, "/etc/p.yaml", {}, simulated=simulated)
    return [str(p).removeprefix("/etc/p.yaml:") for p in e.value.problems]


def simulated(text: str, **env: str) -> Config:
    return parse(text, "/etc/p.yaml", env, simulated=True)


def test_nothing_is_held_and_the_prices_are_examples_until_they_are_set() -> None:
    config = parse(MODELS, "/etc/p.yaml", {})
    assert config.objective == Objective(2.0, 3600.0, None, None, None)
    assert config.prices == Prices(2500.0, 2.5, 3600.0)
    assert config.simulation == Simulation(None, None, 0.05, 0.03, 0.0, 0.0, 0.1, None)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("[2%, 5%]", (0.02, 0.05)),
        ("[0.02, 5%]", (0.02, 0.05)),
        ("[0, '100 %']", (0.0, 1.0)),
        ("['${LOW}', 0.5]", (0.1, 0.5)),
        ("null", None),
    ],
)
def test_a_band(text: str, band: object) -> None:
    read = parse(
        MODELS + f"objective: {{cold_rate: {text}}}", "/etc/p.yaml", {"LOW": "10%"}
    ).objective.cold_rate
    assert read == (band if band is None else pytest.approx(band))


def test_all_of_it() -> None:
    config = parse(
        MODELS + "objective: {per_model_max: 20%, cold_request_cost_usd: 0.01}\n"
        "prices: {gpu_month_usd: 1800, serverless_premium: 3, commitment: 1d}\n"
        "simulation: {start_time: 5s, wake_time: 0, first_token: 100ms, per_token: 0.01, per_prompt_token: 1ms,"
        " slowdown: 5%, warm_up: 0, hosts: {gpus: 4, gpu_memory: 24GiB, models_per_gpu: 6}}",
        "/etc/p.yaml",
        {},
    )
    assert config.objective == Objective(per_model_max=0.2, cold_request_cost_usd=0.01)
    assert config.prices == Prices(1800.0, 3.0, 86400.0)
    assert config.simulation == Simulation(
        5.0, 0.0, 0.1, 0.01, 0.001, 0.05, 0.0, Hosts(4, 24 * 2**30, 2**40, 6)
    )


def test_hosts_are_listed_by_kind() -> None:
    given = simulated(
        "simulation: {hosts: [{name: cpu, memory: 128GiB, count: 3}, "
        "{name: h100, memory: 2TiB, gpus: 8, gpu_memory: 96GiB, models_per_gpu: 2, hour_usd: 24.5}]}"
    ).simulation
    kinds = (
        HostKind("cpu", 128 * 2**30, 3, 0, 80 * 2**30, None, None),
        HostKind("h100", 2 * 2**40, 1, 8, 96 * 2**30, 2, 24.5),
    )
    assert given.hosts == given.kinds == kinds


def test_gpus_alone_are_those_of_one_host() -> None:
    assert simulated("simulation: {hosts: {gpus: 4, models_per_gpu: 2}}").simulation.kinds == (
        HostKind("pool", 2**40, 1, 4, 80 * 2**30, 2),
    )
    assert simulated("simulation: {}").simulation.kinds == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", ": names no kind of host; write one, or leave `hosts` out for dedicated replicas"),
        (
            "4",
            ": expected a mapping with the keys gpus, gpu_memory, memory, models_per_gpu or a list, found a number (4)",
        ),
        ("[{name: a}]", "[0]: `memory` is missing"),
        ("[{memory: 1GiB}]", "[0]: `name` is missing"),
        (
            "[{name: a, memory: 16}]",
            "[0].memory: 16 is too small: at least 1 MiB; a number without a unit is bytes",
        ),
        ("[{name: a b, memory: 1GiB}]", "[0].name: 'a b' is not allowed; write 1 to 128 letters"),
        ("[{name: a, memory: 1GiB, count: 0}]", "[0].count: 0 is too small: at least 1"),
        ("[{name: a, memory: 1GiB, gpus: -1}]", "[0].gpus: -1 is too small: at least 0"),
        ("[{name: a, memory: 1GiB, hour_usd: -1}]", "[0].hour_usd: -1 is too small: at least 0"),
        ("[{name: a, memory: 1GiB, gpu: 1}]", "[0].gpu: is not a key here; did you mean `gpus`?"),
        (
            "[{name: a, memory: 1GiB}, {name: a, memory: 2GiB}]",
            "[1].name: 'a' is the name of another kind: simulation.hosts[0].name on line 2",
        ),
        (
            "[{name: a, memory: 1GiB, gpu_memory: 1GiB}]",
            "[0].gpu_memory: 'a' has no GPU; say how many with `gpus`, or leave this out",
        ),
        ("[{name: a, memory: 1GiB, models_per_gpu: 2}]", "[0].models_per_gpu: 'a' has no GPU"),
        ("[{name: a, memory: 1GiB, gpus: many, gpu_memory: 1GiB}]", "[0].gpus: expected a whole number"),
        (
            "[{name: a, memory: 1GiB, count: 999}, {name: b, memory: 1GiB, count: 2}]",
            ": 1001 hosts in all are too many: at most 1000",
        ),
        (
            "[{name: a, memory: 1GiB, count: 500, gpus: 20}, {name: b, memory: 1GiB, gpus: 1}]",
            ": 10001 GPUs in all are too many: at most 10000",
        ),
    ],
)
def test_a_wrong_list_of_hosts_says_what_is_allowed(text: str, says: str) -> None:
    (found,) = problems(f"{MODELS}simulation: {{hosts: {text}}}")
    assert found.startswith("2: simulation.hosts" + says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("objective: {cold_rate: 5%}", "objective.cold_rate: expected a list of 2, found text (5%)"),
        ("objective: {cold_rate: [5%]}", "objective.cold_rate: has 1 entries; it needs 2"),
        ("objective: {cold_rate: [2%, 5%, 9%]}", "objective.cold_rate: has 3 entries; it needs 2"),
        (
            "objective: {cold_rate: [2, 5%]}",
            "objective.cold_rate[0]: 2 is too large: at most 100%; write 2% for a percentage",
        ),
        ("objective: {cold_rate: [0, 101%]}", "objective.cold_rate[1]: 101% is too large: at most 100%"),
        ("objective: {cold_rate: [-1%, 5%]}", "objective.cold_rate[0]: -1% is too small: at least 0%"),
        (
            "objective: {cold_rate: [5%, 2%]}",
            "objective.cold_rate: the lower edge 5% is not below the upper one 2%; write it like [2%, 5%]",
        ),
        ("objective: {cold_rate: [5%, 0.05]}", "objective.cold_rate: the lower edge 5% is not below"),
        (
            "objective: {per_model_max: many}",
            "objective.per_model_max: 'many' is not a part of a whole; write it like 5%",
        ),
        (
            "objective: {per_model_max: true}",
            "objective.per_model_max: expected a part like 5% or 0.05, found true",
        ),
        (
            "objective: {cold_request_cost_usd: -1}",
            "objective.cold_request_cost_usd: -1 is too small: at least 0",
        ),
        ("prices: {gpu_month_usd: 0}", "prices.gpu_month_usd: 0 is too small: more than 0"),
        ("prices: {gpu_month_usd: $2500}", "prices.gpu_month_usd: expected a number, found text ($2500)"),
        ("prices: {serverless_premium: 0.9}", "prices.serverless_premium: 0.9 is too small: at least 1"),
        ("simulation: {hosts: {}}", "simulation.hosts: `gpus` is missing"),
        ("simulation: {hosts: {gpus: 0}}", "simulation.hosts.gpus: 0 is too small: at least 1"),
        ("simulation: {hosts: {gpus: 10001}}", "simulation.hosts.gpus: 10001 is too large: at most 10000"),
        ("simulation: {start_time: 0}", "simulation.start_time: 0 is too small: more than 0"),
        ("simulation: {slowdown: 5}", "simulation.slowdown: 5 is too large: at most 400%; write 5%"),
        ("simulation: {per_prompt_token: -1}", "simulation.per_prompt_token: -1"),
        ("simulation: {warm_up: 10}", "simulation.warm_up: 10 is too large: at most 100%; write 10%"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(text: str, says: str) -> None:
    (found,) = problems(MODELS + text)
    assert found.startswith("2: " + says)


@pytest.mark.parametrize(
    "text",
    ["defaults: {ttl: auto}", "simulation: {hosts: {gpus: 4}}", "prices: {}", "models: {}\nprices: {}"],
)
def test_a_file_that_is_only_simulated_needs_no_models(text: str) -> None:
    assert simulated(text).models == {}
    assert any(": `models` is missing" in p or ": models: needs" in p for p in problems(text))


def test_an_empty_file_is_a_mistake_all_the_same() -> None:
    (found,) = problems("", simulated=True)
    assert "is empty" in found


def test_nothing_is_asked_about_what_is_run() -> None:
    text = """\
api_keys: [{name: a, key_env: NOPE}]
models:
  a: {max_replicas: 3, env: {A: "${NOPE}"}}
  b: {engine: command, cwd: /not/there, sleep_after: 1m, warmer: {}}
  c: {source: "${NOPE}/x.gguf"}
  d: {engine: vllm, source: ./nowhere, health: nope}
"""
    assert list(simulated(text).models) == ["a", "b", "c", "d"]
    assert len(problems(text)) >= 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: {a: {ttl: soon}}", "1: models.a.ttl: 'soon' is not a duration"),
        ("models: {a: {min_replicas: 2}}", "1: models.a.min_replicas: 2 is more than max_replicas"),
        ("models: {a: {ttl: '${NOPE}'}}", "1: models.a.ttl: the environment variable NOPE is not set"),
        ("defaults: {min_replicas: 2}", "1: defaults.min_replicas: 2 is more than max_replicas"),
        ("defaults: {stand_in: b}", "1: defaults.stand_in: 'b' is not a model of this file"),
        ("objective: {cold_rate: [5%, 2%]}", "1: objective.cold_rate: the lower edge"),
    ],
)
def test_how_it_scales_is_looked_over(text: str, says: str) -> None:
    (found,) = problems(text, simulated=True)
    assert found.startswith(says)


def test_a_file_is_loaded_as_simulated(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("models: {a: {ttl: auto}}")
    assert load(file, {}, simulated=True).models["a"].ttl_is_auto
    with pytest.raises(ConfigError, match="`source` is missing"):
        load(file, {})
