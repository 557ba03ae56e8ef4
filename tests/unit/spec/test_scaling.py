"""The keys that say how a model scales: what may be written, and what is said of what may not."""

import pytest

from pilotlight.errors import ConfigError
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config, Model, Warmer, Window
from pilotlight.units import FOREVER

COMMAND = "engine: command, cmd: 'serve ${PORT}'"


def load(text: str, **env: str) -> Config:
    return parse(text, "/etc/p.yaml", env)


def model(keys: str, **env: str) -> Model:
    return load(f"models: {{a: {{source: demo://50m, {keys}}}}}", **env).models["a"]


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as e:
        load(text, **env)
    return [str(p).removeprefix("/etc/p.yaml:") for p in e.value.problems]


def of_model(keys: str, base: str = "source: demo://50m", **env: str) -> list[str]:
    found = problems(f"models: {{a: {{{base}, {keys}}}}}", **env)
    return [p.removeprefix("1: models.a.") for p in found]


def test_a_model_that_says_nothing_has_the_plain_policies() -> None:
    plain = model("aliases: []")
    assert (plain.ttl, plain.ttl_is_auto, plain.base, plain.predictive) == (300.0, False, 0, False)
    assert (plain.schedule, plain.warmer, plain.stand_in) == ((), None, None)
    assert (plain.scale_up_delay, plain.scale_down_delay, plain.batch_deadline) == (0.0, 0.0, 600.0)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("ttl: auto", "ttl", "auto"),
        ('ttl: "auto"', "ttl", "auto"),
        ("ttl: 90", "ttl", 90.0),
        ("ttl: 1h30m", "ttl", 5400.0),
        ('ttl: "5"', "ttl", 5.0),
        ("ttl: -1", "ttl", FOREVER),
        ('ttl: "${T}"', "ttl", "auto"),
        ('ttl: "${U}"', "ttl", 120.0),
        ("base: auto", "base", "auto"),
        ('base: "${T}"', "base", "auto"),
        ("base: 1", "base", 1),
        ("predictive: true", "predictive", True),
        ("scale_up_delay: 10s", "scale_up_delay", 10.0),
        ("scale_down_delay: 1m", "scale_down_delay", 60.0),
        ("batch_deadline: -1", "batch_deadline", FOREVER),
        ("warmer: {}", "warmer", Warmer()),
        ("warmer: null", "warmer", None),
    ],
)
def test_values(line: str, key: str, value: object) -> None:
    read = getattr(model(line, T="auto", U="2m"), key)
    assert (read, type(read)) == (value, type(value))


def test_a_learned_ttl_is_no_fixed_one() -> None:
    learned = model("ttl: auto")
    assert learned.ttl_is_auto
    assert learned.ttl_for(last=False) == learned.ttl_for(last=True) == FOREVER
    fixed = model("ttl: 1m, ttl_to_zero: 2m")
    assert not fixed.ttl_is_auto
    assert (fixed.ttl_for(last=False), fixed.ttl_for(last=True)) == (60.0, 120.0)


def test_a_schedule() -> None:
    read = model(
        'max_replicas: 3, schedule: [{cron: "0 8 * * 1-5", until: "0 18 * * 1-5", timezone: Europe/Berlin, '
        'min_replicas: 2}, {cron: "@daily", for: 90m}]'
    )
    assert read.schedule == (
        Window("0 8 * * 1-5", until="0 18 * * 1-5", timezone="Europe/Berlin", min_replicas=2),
        Window("@daily", lasts=5400.0, timezone="UTC", min_replicas=1),
    )


def test_a_command_may_keep_one_replica_as_its_warmer() -> None:
    (kept,) = load(f"models: {{a: {{{COMMAND}, warmer: {{below: 2/m}}}}}}").models.values()
    assert fingerprint(kept.small()) == fingerprint(kept)


def test_a_warmer_is_the_model_with_its_own_arguments_over_it() -> None:
    keys = (
        "memory: 2GiB, gpus: 1, gpu_memory: 9GiB, engine_args: {n_ctx: 4096, n_threads: 2}, env: {A: a, B: b}"
    )
    over = "warmer: {engine_args: {n_ctx: 512}, env: {B: c}, max_requests: 1, gpus: 0}"
    small = model(f"{keys}, {over}").small()
    assert small.engine_args == {"n_ctx": 512, "n_threads": 2} and small.env == {"A": "a", "B": "c"}
    assert (small.slots, small.gpus, small.gpu_memory, small.memory) == (1, 0, None, None)
    same = model(f"{keys}, warmer: {{}}").small()
    assert (same.memory, same.gpu_memory) == (2 * 2**30, 9 * 2**30)
    assert model("aliases: []").small() == model("aliases: []")


@pytest.mark.parametrize(
    ("text", "rate"), [("0.5/s", 0.5), ("2/m", 2 / 60), ('"30/h"', 30 / 3600), ("100 / d", 100 / 86400)]
)
def test_a_warmer(text: str, rate: float) -> None:
    keys = (
        f"engine_args: {{n_ctx: 512}}, env: {{A: b}}, max_requests: 1, memory: 1GiB, gpus: 0, below: {text}"
    )
    found = model(f"warmer: {{{keys}}}").warmer
    assert found == Warmer({"n_ctx": 512}, {"A": "b"}, 1, 2**30, 0, None, rate)


def test_keys_have_a_class_and_may_allow_a_stand_in() -> None:
    keys = "[{name: a, key_env: K}, {name: b, key_env: L, class: batch, stand_in: true}]"
    one, two = load(f"models: {{a: {{source: demo://50m}}}}\napi_keys: {keys}", K="k", L="l").api_keys
    assert (one.request_class, one.stand_in) == ("standard", False)
    assert (two.request_class, two.stand_in) == ("batch", True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "ttl: soon",
            "ttl: 'soon' is not a duration; write it like 250ms, 30s, 5m, 1h30m, 0 or -1 (never), or `auto`",
        ),
        ("ttl: 1:30", "ttl: '1:30' is not a duration"),
        (
            "ttl: true",
            "ttl: expected text (`auto`) or a duration like 250ms, 30s, 5m, 1h30m, found true or false (true)",
        ),
        ("ttl: null", "ttl: expected text (`auto`) or a duration like 250ms, 30s, 5m, 1h30m, found no value"),
        ("ttl: [1]", "ttl: expected text (`auto`) or a duration like 250ms, 30s, 5m, 1h30m, found a list"),
        ("ttl: 1e300", "ttl: 1e300 is too long: at most 100 years"),
        ('ttl: "${NOPE}"', "ttl: the environment variable NOPE is not set"),
        ("ttl_to_zero: auto", "ttl_to_zero: 'auto' is not a duration"),
        ("base: all", "base: expected text (`auto`) or a whole number, found text (all)"),
        (
            'base: "2"',
            'base: expected text (`auto`) or a whole number, found text ("2"); leave out the quotes',
        ),
        ("base: -1", "base: -1 is too small: at least 0"),
        ("scale_up_delay: -1", "scale_up_delay: -1 (for ever) is not allowed here"),
        ("schedule: {}", "schedule: expected a list, found a mapping"),
        ("schedule: [{for: 1h}]", "schedule[0]: `cron` is missing"),
        ("schedule: [{cron: '@daily', for: 0}]", "schedule[0].for: 0 is too small: more than 0"),
        (
            "schedule: [{cron: '0 25 * * *', for: 1h}]",
            "schedule[0].cron: '0 25 * * *' is not a time: the hour '25' is not allowed; it is 0 to 23",
        ),
        ("schedule: [{cron: 8, for: 1h}]", "schedule[0].cron: expected text, found a number (8)"),
        ("warmer: {below: 30}", "warmer.below: '30' is not a rate; write it like 0.5/s, 2/m, 30/h or 100/d"),
        ("warmer: {below: 0/h}", "warmer.below: 0/h is too small: more than 0"),
        ("warmer: {below: null, slots: 1}", "warmer.slots: is not a key here"),
        ("warmer: small", "warmer: expected a mapping with the keys engine_args, env, max_requests, memory"),
        ("stand_in: a b", "stand_in: 'a b' is not allowed; write 1 to 128 letters"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(line: str, says: str) -> None:
    (found,) = of_model(line)
    assert found.startswith(says)


def test_yaml_that_begins_with_a_star_or_an_at_sign_says_that_it_wants_quotes() -> None:
    (star,) = problems("models:\n  a:\n    schedule:\n      - cron: */5 * * * *\n        for: 1h")
    assert star.startswith("4: is not YAML") and "in quotes" in star
    (at,) = problems("models:\n  a:\n    schedule:\n      - cron: @daily\n        for: 1h")
    assert at.startswith("4: is not YAML") and "in quotes" in at


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ttl: auto, ttl_to_zero: 1h", "ttl_to_zero: is given beside `ttl: auto`, which learns when"),
        (
            "ttl: 1m, sleep_after: 10m",
            "sleep_after: 10m is not before a replica is gone, at 1m (`ttl`); make it shorter",
        ),
        ("ttl: 1m, ttl_to_zero: 10m, sleep_after: 10m", "sleep_after: 10m is not before a replica is gone"),
        (
            "sleep_after: 1h",
            "sleep_after: 1h is not before a replica is gone, at 5m (`ttl`, its default); make it shorter",
        ),
        (
            "ttl: 5m, ttl_to_zero: 1m, max_replicas: 1, sleep_after: 2m",
            "sleep_after: 2m is not before a replica is gone, at 1m (`ttl_to_zero`); make it shorter",
        ),
        (
            "ttl: 1m, ttl_to_zero: 1h, min_replicas: 1, max_replicas: 2, sleep_after: 10m",
            "sleep_after: 10m is not before a replica is gone, at 1m (`ttl`)",  # the last one stays, awake
        ),
        (
            "min_replicas: 1, sleep_after: 20m",
            "sleep_after: never comes: `min_replicas` keeps up, and awake, as many as there may be (1); leave",
        ),
        (
            "ttl: auto, base: 2, max_replicas: 2, sleep_after: 2m",
            "sleep_after: never comes: `base` keeps up, and awake,",
        ),
        ("sleep_after: 2m, techniques: []", "sleep_after: never comes: `techniques` leaves `sleep` out"),
        ("techniques: [sleep, zygote, sleep]", "techniques[2]: 'sleep' is listed already"),
        ("base: 2", "base: 2 is more than max_replicas, which is 1 (its default)"),
        ("base: 4, max_replicas: 3", "base: 4 is more than max_replicas, which is 3"),
        (
            "schedule: [{cron: '@daily', for: 1h, min_replicas: 2}]",
            "schedule[0].min_replicas: 2 is more than max_replicas, which is 1 (its default)",
        ),
        ("schedule: [{cron: '@daily'}]", "schedule[0]: says not when it ends; write `until` or `for`"),
        (
            "schedule: [{cron: '@daily', for: 1h, until: '@hourly'}]",
            "schedule[0].for: is given beside `until`; leave one of them out",
        ),
        (
            "schedule: [{cron: '@daily', for: 1h, timezone: Europe/Berln}]",
            "schedule[0].timezone: 'Europe/Berln' is not a time zone; did you mean `Europe/Berlin`?",
        ),
        (
            "schedule: [{cron: '@daily', for: 1h, timezone: ../../etc/passwd}]",
            "schedule[0].timezone: '../../etc/passwd' is not a time zone; write one like Europe/Berlin or UTC",
        ),
        ("warmer: {gpu_memory: 1GiB}", "warmer.gpu_memory: is set but it has no devices"),
        ("stand_in: a", "stand_in: is the model itself; name another one"),
        ("stand_in: b", "stand_in: 'b' is not a model of this file. Allowed: a"),
    ],
)
def test_what_does_not_go_together(line: str, says: str) -> None:
    (found,) = of_model(line)
    assert found.startswith(says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sleep_after: 1m", "sleep_after: is not for `engine: command`, which cannot be put to sleep"),
        ("techniques: [zygote, sleep]", "techniques[1]: 'sleep' is not for `engine: command`"),
        (
            "warmer: {engine_args: {n: 1}}",
            "warmer.engine_args: is not for `engine: command`, whose command cannot be made smaller; `warmer: {}`",
        ),
        ("warmer: {env: {A: b}}", "warmer.env: is not for `engine: command`"),
        ("warmer: {max_requests: 1}", "warmer.max_requests: is not for `engine: command`"),
        ("warmer: {memory: 1GiB, below: 2/m}", "warmer.memory: is not for `engine: command`"),
    ],
)
def test_what_a_command_cannot(line: str, says: str) -> None:
    (found,) = of_model(line, COMMAND)
    assert found.startswith(says)


@pytest.mark.parametrize("engine", ["vllm-cpu", "sglang"])
@pytest.mark.parametrize("line", ["sleep_after: 1m", "techniques: [sleep]"])
def test_an_engine_that_cannot_sleep(engine: str, line: str) -> None:
    (found,) = of_model(line, f"engine: {engine}, source: org/model")
    assert f"is not for `engine: {engine}`, which cannot be put to sleep" in found


def test_what_defaults_say_of_sleep_is_for_those_that_can() -> None:
    models = load("""\
defaults: {sleep_after: 2m, techniques: [zygote, sleep]}
models:
  kept: {source: demo://50m, min_replicas: 1}
  plain: {source: demo://50m, techniques: []}
  other: {engine: vllm-cpu, source: org/model}
""").models
    assert {name: m.sleep_after for name, m in models.items()} == dict.fromkeys(models, 120.0)
    (found,) = problems("defaults: {sleep_after: 2m, techniques: []}\nmodels: {a: {source: demo://50m}}")
    assert found.startswith("1: defaults.sleep_after: never comes: `techniques` leaves `sleep` out")


@pytest.mark.parametrize(
    "line",
    [
        "ttl: auto, ttl_to_zero: null",
        "ttl: auto, sleep_after: 10m",
        "ttl: 1m, ttl_to_zero: 1h, sleep_after: 10m",  # the last one sleeps before it goes
        "ttl: 1m, sleep_after: -1",
        "ttl: -1, sleep_after: 1h",
        "ttl: 5m, ttl_to_zero: 1m, max_replicas: 2, sleep_after: 2m",
        "min_replicas: 1, max_replicas: 2, sleep_after: 2m",
        "warmer: {}, sleep_after: 1h",  # the last one is its own warmer, and stays
        "techniques: [sleep], sleep_after: 2m",
        "sleep_after: 4m",
        "base: auto",
        "base: 3, max_replicas: 3, min_replicas: 1",
        "gpus: 1, warmer: {gpu_memory: 1GiB}",
    ],
)
def test_what_goes_together(line: str) -> None:
    assert model(line)


def test_a_stand_in_is_another_model_of_the_file_and_no_alias() -> None:
    text = "models:\n  a: {source: demo://1b, stand_in: %s}\n  small: {source: demo://50m, aliases: [s]}"
    assert load(text % "small").models["a"].stand_in == "small"
    assert problems(text % "s") == [
        "2: models.a.stand_in: 's' is not a model of this file. Allowed: a, small"
    ]


def test_a_window_that_cannot_be_read_is_told_of_once() -> None:
    assert (
        len(of_model("schedule: [{cron: '@daily', until: x}, {cron: '@daily', for: x}, {cron: x, for: 1h}]"))
        == 3
    )


def test_so_many_primed_processes_are_a_mistake_and_none_is_the_default() -> None:
    assert (
        load("models: {a: {source: demo://50m}}\nengines: {llamacpp: {}}").engines["llamacpp"].warm_pool == 0
    )
    top = "models: {a: {source: demo://50m}}\nengines: {llamacpp: {warm_pool: %d}}"
    assert load(top % 64).engines["llamacpp"].warm_pool == 64
    assert problems(top % 65) == ["2: engines.llamacpp.warm_pool: 65 is too large: at most 64"]
