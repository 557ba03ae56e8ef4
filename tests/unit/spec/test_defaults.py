"""`scaling:` in a model and `defaults:` of the file: one table of keys, each with the place it was written at."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.errors import ConfigError
from pilotlight.spec.load import line_of, parse
from pilotlight.spec.model import Config, Model, Scaling, Warmer
from pilotlight.units import FOREVER


def load(text: str, **env: str) -> Config:
    return parse(text, "/etc/p.yaml", env)


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as e:
        load(text, **env)
    return [str(p).removeprefix("/etc/p.yaml:") for p in e.value.problems]


# -- scaling


def test_scaling_says_the_same_as_the_model_does_directly() -> None:
    keys = "ttl: auto, max_replicas: 4, base: 2, pinned: true, warmer: {below: 2/m}, max_requests: 3"
    direct = load(f"models: {{a: {{source: demo://50m, {keys}}}}}").models["a"]
    grouped = load(f"models: {{a: {{source: demo://50m, scaling: {{{keys}}}}}}}").models["a"]
    assert direct == grouped
    assert (direct.ttl, direct.warmer) == ("auto", Warmer(below=2 / 60))


def test_faults_in_scaling_name_the_place_as_it_was_written() -> None:
    text = """\
models:
  a:
    source: demo://50m
    ttl: 2m
    scaling:
      ttl: 1m
      source: x
      tll: 3
      max_replicas: 0
      schedule:
        - {cron: "@daily", for: 1h, timezone: Mars}
"""
    assert [p.split(" Allowed")[0] for p in problems(text)] == [
        "6: models.a.scaling.ttl: is given as models.a.ttl on line 4 as well; leave one of them out",
        "7: models.a.scaling.source: is not a key of `scaling`; write it directly in the model",
        "8: models.a.scaling.tll: is not a key here; did you mean `ttl`?",
        "9: models.a.scaling.max_replicas: 0 is too small: at least 1",
        "11: models.a.scaling.schedule[0].timezone: 'Mars' is not a time zone; write one like Europe/Berlin or UTC",
    ]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("5", "expected a mapping, found a number (5)"),
        ("[ttl]", "expected a mapping, found a list"),
        ("", "expected a mapping, found no value; write its keys below it, indented"),
    ],
)
def test_scaling_is_a_mapping(value: str, says: str) -> None:
    assert problems(f"models:\n  a:\n    source: demo://50m\n    scaling: {value}") == [
        f"4: models.a.scaling: {says}"
    ]


def test_an_unknown_key_of_a_model_is_told_of_scaling() -> None:
    assert ", scaling, " in problems("models: {a: {source: demo://50m, scalin: {}}}")[0]


def test_an_anchor_may_be_shared_between_groups() -> None:
    found = load(
        "x-s: &s {ttl: 1m}\nmodels: {a: {source: demo://50m, scaling: *s}, b: {source: demo://1b, scaling: *s}}"
    )
    assert [m.ttl for m in found.models.values()] == [60.0, 60.0]


def test_every_key_of_scaling_is_one_of_a_model() -> None:
    assert set(Scaling.__struct_fields__) < set(Model.__struct_fields__)


# -- defaults

SHARED = """\
defaults:
  env: {A: a}
  engine_args: {n_ctx: 1024}
  scaling: {ttl: 3m, sleep_after: 2m, max_replicas: 4}
models:
  plain: {source: demo://50m}
  own: {source: demo://50m, env: {B: b}, ttl: 10m, scaling: {max_replicas: 2}}
  other: {engine: command, cmd: 'serve ${PORT}'}
"""


def test_what_a_model_does_not_say_the_defaults_say() -> None:
    plain, own, other = load(SHARED).models.values()
    assert (plain.ttl, plain.sleep_after, plain.max_replicas) == (180.0, 120.0, 4)
    assert (plain.env, plain.engine_args) == ({"A": "a"}, {"n_ctx": 1024})
    assert (own.ttl, own.sleep_after, own.max_replicas) == (600.0, 120.0, 2)
    assert own.env == {"B": "b"}, "replaced, not merged"
    assert (other.ttl, other.engine_args, other.sleep_after) == (180.0, {}, FOREVER), (
        "only what is for a command"
    )


def test_a_name_that_is_not_declared_gets_a_model_of_the_defaults() -> None:
    assert load("models: {a: {source: demo://50m}}").default_model == Model()
    shared = load(SHARED).default_model
    assert (shared.ttl, shared.max_replicas, shared.source) == (180.0, 4, None)


def test_defaults_may_say_what_is_run() -> None:
    models = load(
        "defaults: {source: demo://50m, engine: '${E:-llamacpp}'}\nmodels: {a: {}, b: {source: demo://1b}}"
    ).models
    assert [m.source for m in models.values()] == ["demo://50m", "demo://1b"]
    commands = load(
        "defaults: {engine: command, cmd: 'serve ${PORT}'}\nmodels: {a: {}, b: {engine: llamacpp, source: demo://1b}}"
    )
    assert [(m.cmd, m.source) for m in commands.models.values()] == [
        ("serve ${PORT}", None),
        (None, "demo://1b"),
    ]


def test_null_in_a_model_takes_a_default_away() -> None:
    assert (
        load("defaults: {memory: 1GiB}\nmodels: {a: {source: demo://50m, memory: null}}").models["a"].memory
        is None
    )


def test_a_fault_in_defaults_is_told_once_and_there() -> None:
    text = """\
defaults:
  max_replicas: 0
  scaling: {base: x, tll: 1}
  aliases: [y]
  ttll: 5m
models:
  a: {source: demo://50m}
  b: {source: demo://1b}
"""
    assert [p.split("; ")[0] for p in problems(text)] == [
        "2: defaults.max_replicas: 0 is too small: at least 1",
        "3: defaults.scaling.tll: is not a key here",
        "3: defaults.scaling.base: expected text (`auto`) or a whole number, found text (x)",
        "4: defaults.aliases: are of one model each",
        "5: defaults.ttll: is not a key here",
    ]


def test_defaults_that_contradict_themselves_are_told_once() -> None:
    (found,) = problems(
        "defaults:\n  ttl: auto\n  ttl_to_zero: 1h\nmodels: {a: {source: demo://50m}, b: {source: demo://1b}}"
    )
    assert found.startswith("3: defaults.ttl_to_zero: is given beside `ttl: auto`")


def test_a_model_that_contradicts_a_default_is_named() -> None:
    text = "defaults:\n  min_replicas: 3\nmodels:\n  a: {source: demo://50m, max_replicas: 4}\n"
    text += "  b: {source: demo://1b, max_replicas: 2}"
    assert problems(text) == [
        "5: models.b: `min_replicas`, from `defaults` on line 2: 3 is more than max_replicas, which is 2"
    ]


def test_a_shared_stand_in_does_not_stand_in_for_itself() -> None:
    text = "defaults:\n  stand_in: %s\nmodels:\n  a: {source: demo://50m}\n  small: {source: demo://50m%s}"
    (itself,) = problems(text % ("small", ""))
    assert itself.startswith("5: models.small: `stand_in`, from `defaults` on line 2: is the model itself")
    assert load(text % ("small", ", stand_in: null")).models["a"].stand_in == "small"
    assert problems(text % ("smal", "")) == [
        "2: defaults.stand_in: 'smal' is not a model of this file; did you mean `small`? Allowed: a, small"
    ]


@pytest.mark.parametrize("value", ["5", "[1]", ""])
def test_defaults_are_a_mapping(value: str) -> None:
    (found,) = problems(f"defaults: {value}\nmodels: {{a: {{source: demo://50m}}}}")
    assert found.startswith("1: defaults: expected a mapping, found ")


def test_the_line_of_a_key_is_found_wherever_it_is_written(tmp_path: Any) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "defaults:\n  engine_args: {x: 1}\nmodels:\n  a:\n    source: demo://50m\n    scaling:\n      ttl: 1m\n"
    )
    assert line_of(file, "models", "a", "engine_args", "x") == 2
    assert line_of(file, "models", "a", "ttl") == 7


def test_a_thousand_models_with_defaults_load_soon_and_no_file_hangs() -> None:
    models = "".join(f"  m{i}: {{source: demo://50m}}\n" for i in range(1000))
    began = time.process_time()
    found = load(f"defaults: {{ttl: auto, max_replicas: 3, warmer: {{below: 2/m}}}}\nmodels:\n{models}")
    assert {m.max_replicas for m in found.models.values()} == {3}
    assert time.process_time() - began < 5
    env = ", ".join(f"A{i}: x" for i in range(400))
    (refused,) = problems(f"defaults: {{env: {{{env}}}}}\nmodels:\n{models}")
    assert refused.startswith("1: defaults: holds ") and "more than 100000 in all" in refused


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 9)
    | st.sampled_from(["auto", "5m", "2/m", "@daily", "a", "${V}"])
)
KEYS = st.dictionaries(st.sampled_from([*Model.__struct_fields__, "scaling", "x"]), VALUES, max_size=4)
SOME = dict.fromkeys(["ttl", "base", "max_replicas", "schedule"], VALUES)
TABLES = KEYS | st.fixed_dictionaries({"scaling": KEYS}, optional=SOME)


@given(TABLES | VALUES, TABLES)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_there_each_problem_is_told_once_with_its_line(
    shared: Any, own: dict[str, Any]
) -> None:
    data = {
        "defaults": shared,
        "models": {"a": {"source": "demo://50m", **own}, "b": {"source": "demo://1b"}},
    }
    text = yaml.dump(data)
    try:
        load(text, V="v")
    except ConfigError as e:
        said = [str(p) for p in e.problems]
        assert len(said) == len(set(said))
        assert all(1 <= p.line <= text.count("\n") for p in e.problems)
