"""What a reload has to do."""

from typing import Any

import pytest
from msgspec.structs import replace

from pilotlight.spec.diff import OF_REPLICA, RESTART, changes, fingerprint
from pilotlight.spec.model import (
    ApiKey,
    Burst,
    Config,
    Gpu,
    Model,
    Objective,
    Prices,
    Simulation,
    Warmer,
    Window,
)
from pilotlight.units import FOREVER

CHAT = Model(source="demo://50m", engine_args={"n_ctx": 2048})
BIG = Model(engine="command", cmd="serve ${PORT}", env={"A": "a", "B": "b"}, gpus=1)

OTHER: dict[str, Any] = {
    "engine": "command",
    "source": "demo://1b",
    "aliases": ("x",),
    "min_replicas": 1,
    "max_replicas": 3,
    "target_requests": 8,
    "max_requests": 16,
    "ttl": FOREVER,
    "ttl_to_zero": 1.0,
    "base": "auto",
    "predictive": True,
    "schedule": (Window("@daily", lasts=60.0),),
    "warmer": Warmer(engine_args={"n_ctx": 512}),
    "scale_up_delay": 1.0,
    "scale_down_delay": 1.0,
    "batch_deadline": 1.0,
    "stand_in": "other",
    "startup_timeout": 1.0,
    "request_timeout": 1.0,
    "drain_timeout": 1.0,
    "sleep_after": 1.0,
    "sleep_level": 2,
    "techniques": ("zygote",),
    "probe_interval": 1.0,
    "probe_timeout": 1.0,
    "max_pending_requests": 1,
    "pinned": True,
    "burst": Burst("elsewhere"),
    "leave_house": False,
    "memory": 2**30,
    "gpus": 2,
    "gpu_memory": 2**30,
    "env": {"A": "c"},
    "engine_args": {"n_ctx": 4096},
    "cmd": "other ${PORT}",
    "cwd": "/tmp",
    "stop_cmd": "kill",
    "proxy": "http://h:1",
    "health": "/ok",
    "served_name": "x",
}


def test_every_key_of_a_model_is_decided_on() -> None:
    assert OTHER.keys() == set(Model.__struct_fields__)


@pytest.mark.parametrize(
    ("model", "key"), [(m, k) for m in (CHAT, BIG) for k in OTHER if getattr(m, k) != OTHER[k]]
)
def test_a_change_of_one_key(model: Model, key: str) -> None:
    new = replace(model, **{key: OTHER[key]})
    found = changes(Config({"a": model}), Config({"a": new}))
    slots = model.engine == "llamacpp" and key in ("target_requests", "max_requests")
    needs_new = key in OF_REPLICA or slots
    assert (found.replaced, found.adjusted) == ((("a",), ()) if needs_new else ((), ("a",)))
    assert found.fields == {"a": (key,)}
    assert (found.added, found.removed, found.unchanged) == ((), (), ())
    assert found


def test_models_that_come_go_and_stay() -> None:
    found = changes(Config({"a": CHAT, "b": BIG}), Config({"c": CHAT, "b": replace(BIG)}))
    assert (found.added, found.removed, found.unchanged, found.fields) == (("c",), ("a",), ("b",), {})
    assert not changes(Config({"a": CHAT}), Config({"a": replace(CHAT)}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", "::1"),
        ("port", 1),
        ("memory", 2**30),
        ("gpus", (0, Gpu(1, 2**30))),
        ("objective", Objective(1.0)),
        ("prices", Prices(1.0)),
        ("simulation", Simulation(1.0)),
        ("api_keys", (ApiKey("a", "A"),)),
        ("client_max_size", 2**20),
        ("cache_dir", "/c"),
        ("state_dir", "/s"),
        ("log_max_size", 2**20),
    ],
)
def test_settings_of_the_server(key: str, value: object) -> None:
    found = changes(Config({"a": CHAT}), replace(Config({"a": CHAT}), **{key: value}))
    assert (found.restart, found.applied) == (((key,), ()) if key in RESTART else ((), (key,)))
    assert found.unchanged == ("a",)
    assert found


def test_what_is_told_of_defaults_has_the_name_that_the_file_has() -> None:
    found = changes(Config({"a": CHAT}), Config({"a": CHAT}, default_model=Model(ttl=1.0)))
    assert (found.applied, found.restart, found.unchanged) == (("defaults",), (), ("a",))


def test_a_warmer_with_another_type_of_argument_is_another() -> None:
    one, true = (replace(CHAT, warmer=Warmer(engine_args={"x": x})) for x in (1, True))
    assert changes(Config({"a": one}), Config({"a": true})).adjusted == ("a",)
    assert fingerprint(one) == fingerprint(true) == fingerprint(CHAT)


def test_a_fingerprint_is_short_and_stays() -> None:
    assert fingerprint(CHAT) == "7494cab864af"
    assert fingerprint(Model(source="x", max_requests=4)) == fingerprint(Model(source="x", target_requests=4))


def test_the_order_of_keys_does_not_matter_and_their_types_do() -> None:
    assert fingerprint(BIG) == fingerprint(replace(BIG, env={"B": "b", "A": "a"}))
    one, true = replace(CHAT, engine_args={"x": 1}), replace(CHAT, engine_args={"x": True})
    assert fingerprint(one) != fingerprint(true)
    assert changes(Config({"a": one}), Config({"a": true})).replaced == ("a",)


def test_a_model_is_unchanged_or_changed_and_never_both() -> None:
    one, same = replace(CHAT, engine_args={"x": 0.0}), replace(CHAT, engine_args={"x": -0.0})
    found = changes(Config({"a": one}), Config({"a": same}))
    assert (found.unchanged, found.replaced, found.adjusted) == (("a",), (), ())


def test_what_vllm_is_started_for_needs_new_replicas() -> None:
    chat = Model(engine="vllm", source="org/model", gpus=1)
    same = (replace(chat, target_requests=9), replace(chat, techniques=()), replace(chat, ttl=1.0))
    other = (
        replace(chat, max_requests=9),
        replace(chat, sleep_after=60.0),
        replace(chat, techniques=("sleep",)),
    )
    assert {fingerprint(model) for model in same} == {fingerprint(chat)}
    assert fingerprint(chat) not in {fingerprint(model) for model in other}
    assert fingerprint(other[1]) == fingerprint(other[2])
