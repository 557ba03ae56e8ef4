"""The JSON schema, and that it and the loader agree."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.errors import ConfigError
from pilotlight.spec.load import parse
from pilotlight.spec.model import (
    ApiKey,
    Config,
    Gpu,
    HostKind,
    Hosts,
    Model,
    Objective,
    Prices,
    Scaling,
    Simulation,
    Warmer,
    Window,
)
from pilotlight.spec.schema import schema
from pilotlight.spec.starter import starter
from pilotlight.spec.tree import Items, Node, Scalar, Table, read_tree

SCHEMA = json.loads(json.dumps(schema()))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ENV = {"TEAM_A_KEY": "a", "ADMIN_KEY": "b", "V": "demo://50m"}


def as_json(node: Node | None) -> Any:
    """What an editor's YAML reader hands to the schema."""
    match node:
        case Table():
            return {key: as_json(entry.value) for key, entry in node.entries.items()}
        case Items():
            return [as_json(value) for value in node.values]
        case Scalar():
            kind = node.kind
            return node.text if kind in ("text", "unclear") else json.loads(node.text) if node.text else None
        case None:
            return None


def schema_takes(data: Any) -> bool:
    return VALIDATOR.is_valid(data)


def loader_takes(text: str) -> bool:
    try:
        parse(text, "/etc/p.yaml", ENV)
    except ConfigError:
        return False
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


STRUCTS = [
    Config,
    Model,
    ApiKey,
    Gpu,
    Objective,
    Scaling,
    Window,
    Warmer,
    Prices,
    Simulation,
    Hosts,
    HostKind,
]


@pytest.mark.parametrize("struct", STRUCTS)
def test_it_has_every_key_with_a_description(struct: type[msgspec.Struct]) -> None:
    part = SCHEMA if struct is Config else SCHEMA["$defs"][struct.__name__]
    group = ["scaling"] if struct is Model else []
    assert list(part["properties"]) == [*struct.__struct_encode_fields__, *group]
    assert all(p["description"].endswith((".", "`.", ")")) for p in part["properties"].values())


def test_defaults_and_examples_are_valid() -> None:
    parts = [SCHEMA, *SCHEMA["$defs"].values()]
    checked = 0
    for part in parts:
        for property_ in part["properties"].values():
            inside = jsonschema.Draft202012Validator({**property_, "$defs": SCHEMA["$defs"]})
            for value in [property_.get("default", ...), *property_.get("examples", [])]:
                if value is not ...:
                    inside.validate(value)
                    checked += 1
    assert checked > 50
    assert SCHEMA["$defs"]["Model"]["properties"]["ttl"]["default"] == "5m"
    assert SCHEMA["properties"]["client_max_size"]["default"] == "64MiB"


def test_the_starter_validates() -> None:
    VALIDATOR.validate(as_json(read_tree(starter(), "x")[0]))


MODEL: dict[str, Any] = {"source": "demo://50m"}
COMMAND: dict[str, Any] = {"engine": "command", "cmd": "serve ${PORT}"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        "x",
        {"models": {}},
        {"models": None},
        {"models": [MODEL]},
        {"models": {"a": None}},
        {"models": {"a": {}}},
        {"models": {"a": {"engine": "command"}}},
        {"models": {"a": {"engine": "other", "source": "demo://50m"}}},
        {"models": {"a": {"source": None}}},
        {"models": {"a": {**MODEL, "cmd": "x ${PORT}"}}},
        {"models": {"a": {**MODEL, "health": "/health"}}},
        {"models": {"a": {**COMMAND, "source": "demo://50m"}}},
        {"models": {"a": {**COMMAND, "engine_args": {}}}},
        {"models": {"/a": MODEL}},
        {"models": {"a": {**MODEL, "ttll": 1}}},
        {"models": {"a": {**MODEL, "x-y": 1}}},
        {"models": {"a": {**MODEL, "ttl": "5 m"}}},
        {"models": {"a": {**MODEL, "ttl": "1:30"}}},
        {"models": {"a": {**MODEL, "ttl": None}}},
        {"models": {"a": {**MODEL, "startup_timeout": -1}}},
        {"models": {"a": {**MODEL, "startup_timeout": 0}}},
        {"models": {"a": {**MODEL, "startup_timeout": "-1"}}},
        {"models": {"a": {**MODEL, "ttl": 1e12}}},
        {"models": {"a": {**MODEL, "memory": 16}}},
        {"models": {"a": {**MODEL, "memory": 1.5}}},
        {"models": {"a": {**MODEL, "memory": "16 potatoes"}}},
        {"models": {"a": {**MODEL, "max_replicas": "2"}}},
        {"models": {"a": {**MODEL, "max_replicas": 1.5}}},
        {"models": {"a": {**MODEL, "max_replicas": 10**20}}},
        {"models": {"a": {**MODEL, "pinned": "true"}}},
        {"models": {"a": {**MODEL, "env": {"1A": "x"}}}},
        {"models": {"a": {**MODEL, "env": {"A": 1}}}},
        {"models": {"a": {**MODEL, "engine_args": {"A": None}}}},
        {"models": {"a": {**MODEL, "engine_args": {"": 1}}}},
        {"models": {"a": {**MODEL, "aliases": "b"}}},
        {"models": {"a": {**MODEL, "aliases": [1]}}},
        {"models": {"a": {**MODEL, "aliases": [".."]}}},
        {"models": {"a": MODEL}, "port": 70000},
        {"models": {"a": MODEL}, "gpus": "all"},
        {"models": {"a": MODEL}, "gpus": 1},
        {"models": {"a": MODEL}, "gpus": [{"id": 0}]},
        {"models": {"a": MODEL}, "gpus": [-1]},
        {"models": {"a": MODEL}, "api_keys": [{"name": "a"}]},
        {"models": {"a": MODEL}, "api_keys": [{"name": "a", "key_env": "no-dash"}]},
        {"models": {"a": MODEL}, "objective": {"window": 0}},
        {"models": {"a": MODEL}, "objective": {"cold_rate": ["2%"]}},
        {"models": {"a": MODEL}, "objective": {"cold_rate": ["2%", "5%", "9%"]}},
        {"models": {"a": MODEL}, "objective": {"cold_rate": [2, 5]}},
        {"models": {"a": MODEL}, "objective": {"per_model_max": "5 percent"}},
        {"models": {"a": MODEL}, "prices": {"serverless_premium": 0.5}},
        {"models": {"a": MODEL}, "simulation": {"hosts": {}}},
        {"models": {"a": MODEL}, "defaults": {"ttll": 1}},
        {"models": {"a": {**MODEL, "ttl": "automatic"}}},
        {"models": {"a": {**MODEL, "base": "2"}}},
        {"models": {"a": {**MODEL, "scaling": None}}},
        {"models": {"a": {**MODEL, "scaling": {"source": "x"}}}},
        {"models": {"a": {**MODEL, "scaling": {"ttl": "x"}}}},
        {"models": {"a": {**MODEL, "schedule": [{"for": "1h"}]}}},
        {"models": {"a": {**MODEL, "warmer": {"below": 30}}}},
        {"models": {"a": {**COMMAND, "warmer": {"engine_args": {"n": 1}}}}},
        {"models": {"a": MODEL}, "api_keys": [{"name": "a", "key_env": "V", "class": "urgent"}]},
    ],
)
def test_both_refuse(data: Any) -> None:
    assert not schema_takes(data)
    assert not loader_takes(json.dumps(data))


@pytest.mark.parametrize(
    "data",
    [
        {"models": {"a": MODEL}},
        {"models": {"a": COMMAND, "org/b:1": MODEL}, "x-anything": [1, {"y": None}]},
        {"models": {"a": {**MODEL, "cmd": None, "ttl_to_zero": None, "memory": None}}},
        {"models": {"a": {"source": "${V}", "engine": "${E:-llamacpp}", "aliases": ["${A:-x}"]}}},
        {"models": {"a": {**MODEL, "ttl": -1, "ttl_to_zero": "-1", "request_timeout": "1h30m"}}},
        {
            "models": {
                "a": {**MODEL, "ttl": 0, "drain_timeout": "0", "probe_interval": ".5", "probe_timeout": "1e2"}
            }
        },
        {"models": {"a": {**MODEL, "ttl": "${T:-5m}", "memory": "${M:-1GiB}"}}},
        {"models": {"a": {**MODEL, "memory": "1.5 gib"}}, "memory": 2**40},
        {"models": {"a": {**MODEL, "engine_args": {"a": True, "b": 1, "c": 0.5, "d": "x"}}}},
        {"models": {"a": MODEL}, "gpus": [0, {"id": 1, "memory": "40GiB"}]},
        {"models": {"a": MODEL}, "api_keys": [{"name": "a", "key_env": "TEAM_A_KEY", "models": []}]},
        {"models": {"a": MODEL}, "objective": {}},
        {
            "models": {"a": MODEL},
            "objective": {
                "cold_rate": ["2%", 0.05],
                "per_model_max": "${P:-20%}",
                "cold_request_cost_usd": 0,
            },
        },
        {"models": {"a": MODEL}, "prices": {"commitment": "1h"}, "simulation": {"hosts": {"gpus": 4}}},
        {"models": {"a": {}}, "defaults": {"source": "demo://50m", "scaling": {"ttl": "auto"}}},
        {"models": {"a": {**MODEL, "ttl": "auto", "base": "auto", "schedule": [], "warmer": {}}}},
        {"models": {"a": {**MODEL, "ttl": "${T:-auto}", "base": "${B:-auto}"}}},
        {"models": {"a": {**COMMAND, "warmer": {"below": "30/h"}}, "b": {**COMMAND, "warmer": {}}}},
        {
            "models": {
                "a": {
                    **MODEL,
                    "scaling": {
                        "schedule": [
                            {"cron": "@daily", "for": "1h"},
                            {"cron": "0 8 * * 1-5", "until": "@hourly"},
                        ],
                        "warmer": {"below": "30/h", "engine_args": {"n_ctx": 512}},
                    },
                }
            }
        },
        {"models": {"a": MODEL}, "api_keys": [{"name": "a", "key_env": "V", "class": "${K:-batch}"}]},
    ],
)
def test_both_take(data: Any) -> None:
    VALIDATOR.validate(data)
    assert loader_takes(json.dumps(data))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3) | st.sampled_from([2**20, 2**70]),
    st.sampled_from([0.5, -0.5, 1e300]),
    st.sampled_from(
        [
            "",
            "a",
            "auto",
            "5m",
            "5%",
            "30/h",
            "@daily",
            "0 8 * * 1-5",
            "-1",
            "1GiB",
            "2",
            "${V}",
            "llamacpp",
            "command",
            "/x",
            "demo://50m",
        ]
    ),
    st.lists(st.sampled_from(["a", 1, None]), max_size=2),
    st.dictionaries(
        st.sampled_from(["a", "A", "id", "wait", "/", "ttl", "cron", "for", "below", "gpus"]),
        st.sampled_from(["x", 1, None, "auto", "@daily", "30/h"]),
        max_size=2,
    ),
)


def some(struct: type[msgspec.Struct], most: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(
        st.sampled_from([*struct.__struct_encode_fields__, "scaling", "x-y"]), ODD, max_size=most
    )


@given(some(Config, 2), some(Model), st.sampled_from([MODEL, COMMAND, {}]))
@settings(max_examples=200, deadline=None)
def test_what_the_loader_takes_the_schema_takes(top: dict[str, Any], keys: dict[str, Any], base: Any) -> None:
    data = {**top, "models": {"a": {**base, **keys}}}
    text = json.dumps(data)
    if loader_takes(text):
        VALIDATOR.validate(data)


# Left out: keys that are also held against the disk, against another key, or against more than a pattern.
AGREED = sorted(
    set(Model.__struct_fields__)
    - {"source", "cmd", "cwd", "proxy", "health", "stop_cmd", "gpus", "gpu_memory", "min_replicas"}
    - {"base", "stand_in", "sleep_after", "techniques", "schedule"}
)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(1, 3) | st.sampled_from([0, -1, 2**20, 2**70, 0.5, 1e300]),
    st.sampled_from(["", "5m", "-1", "1 GiB", "a b"]),
    st.lists(st.sampled_from(["b", 1, None]), max_size=1),
    st.dictionaries(st.sampled_from(["A", "B_1", "9", ""]), st.sampled_from(["x", 1, None]), max_size=2),
)


@given(st.sampled_from(AGREED), PLAIN, st.sampled_from([MODEL, COMMAND]))
@settings(max_examples=200, deadline=None)
def test_they_agree_on_a_single_key(key: str, value: Any, base: dict[str, Any]) -> None:
    data = {"models": {"a": {**base, key: value}}}
    assert schema_takes(data) == loader_takes(json.dumps(data))
