"""Keys on virtual time."""

import logging

import pytest

from pilotlight.clock import VirtualClock
from pilotlight.errors import RequestError
from pilotlight.http.keys import LOCAL, KeyRing
from pilotlight.spec.model import ApiKey

ENV = {"A": "sk-a", "B": "sk-b", "ODD": "sk-\udcff", "EMPTY": ""}
NAMES = {"chat": "chat", "gpt-4o-mini": "chat", "other": "other"}


def ring(*specs: ApiKey, clock: VirtualClock | None = None) -> KeyRing:
    return KeyRing(specs, ENV, NAMES, clock or VirtualClock())


def refusal(
    keys: KeyRing, authorization: str | None, api_key: str | None = None, admin: bool = False
) -> RequestError:
    with pytest.raises(RequestError) as caught:
        (keys.admin if admin else keys.admit)(authorization, api_key)
    return caught.value


A = ApiKey(name="a", key_env="A")
B = ApiKey(name="b", key_env="B", admin=True)


def test_without_keys_everybody_is_let_in():
    keys = ring()
    assert keys.open
    assert keys.admit(None) is None
    assert keys.admit("Bearer whatever") is None
    assert keys.admin(None) is None


def test_whether_a_key_may_leave_is_looked_up_in_the_ring_of_now():
    key = ring(A).admit("Bearer sk-a")
    assert ring(A).may_leave(key)
    assert not ring(ApiKey(name="a", key_env="A", leave_house=False), B).may_leave(key)
    assert not ring(ApiKey(name="other", key_env="A", leave_house=False)).may_leave(key), "it is the same key"
    assert not ring(B).may_leave(key), "it is gone"
    assert ring().may_leave(key), "everybody may"
    assert ring().may_leave(None)
    assert not ring(A).may_leave(None)


def test_the_command_lines_own_key_closes_no_door():
    keys = ring()
    keys.add(LOCAL, "token", admin=True)
    assert keys.open
    assert keys.admit(None) is None
    found = keys.admit("Bearer token")
    assert found is not None
    assert found.name == LOCAL


def test_a_key_that_is_called_like_it_closes_the_door():
    keys = ring(ApiKey(name=LOCAL, key_env="A"))
    assert not keys.open
    assert refusal(keys, None).status == 401


def test_the_command_lines_own_key_is_an_admins():
    keys = ring(A)
    keys.add(LOCAL, "token", admin=True)
    assert not keys.open
    assert keys.admin("Bearer token") is not None


@pytest.mark.parametrize("authorization", ["Bearer sk-a", "bearer sk-a", "BEARER  sk-a ", "BeArEr sk-a"])
def test_bearer_in_any_case(authorization: str):
    key = ring(A, B).admit(authorization)
    assert key is not None
    assert key.name == "a"


def test_x_api_key_counts_where_there_is_no_bearer():
    keys = ring(A, B)
    for authorization, api_key, name in (
        (None, "sk-b", "b"),
        ("Basic x", "sk-b", "b"),
        ("Bearer sk-a", "sk-b", "a"),
    ):
        key = keys.admit(authorization, api_key)
        assert key is not None
        assert key.name == name
    assert refusal(keys, "Bearer wrong", "sk-b").status == 401


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "sk-a",
        "Basic sk-a",
        "Bearer sk-",
        "Bearer sk-aa",
        "Bearer SK-A",
        "Bearer \udcff\ud800"[:8],
    ],
)
def test_401(authorization: str | None):
    error = refusal(ring(A, B), authorization)
    assert (error.status, error.code) == (401, "invalid_api_key")


def test_an_empty_variable_is_no_key():
    keys = ring(ApiKey(name="empty", key_env="EMPTY"))
    for secret in ("Bearer ", "Bearer", None):
        assert refusal(keys, secret).status == 401
    assert refusal(keys, None, "").status == 401


def test_bytes_that_are_no_text():
    key = ring(ApiKey(name="odd", key_env="ODD")).admit("Bearer sk-\udcff")
    assert key is not None


def test_403_for_admin_routes():
    keys = ring(A, B)
    error = refusal(keys, "Bearer sk-a", admin=True)
    assert (error.status, error.code, error.type) == (403, "admin_key_required", "permission_error")
    assert refusal(keys, None, admin=True).status == 401
    assert keys.admin("Bearer sk-b") is not None


def test_429_and_when_to_come_back():
    clock = VirtualClock()
    keys = ring(ApiKey(name="a", key_env="A", requests_per_minute=6), clock=clock)
    for _ in range(6):
        keys.admit("Bearer sk-a")
    error = refusal(keys, "Bearer sk-a")
    assert (error.status, error.type) == (429, "rate_limit_error")
    assert error.retry_after == pytest.approx(10)
    assert "10 s" in error.message
    clock.run_until(9.9)
    late = refusal(keys, "Bearer sk-a")
    assert late.retry_after == pytest.approx(0.1)
    assert "1 s" in late.message
    clock.run_until(10.001)
    assert keys.admit("Bearer sk-a") is not None
    assert refusal(keys, "Bearer sk-a").status == 429
    clock.run_until(10_000)
    for _ in range(6):  # a minute's worth at most is saved up
        keys.admit("Bearer sk-a")
    assert refusal(keys, "Bearer sk-a").status == 429


def test_a_limit_below_one_a_minute():
    clock = VirtualClock()
    keys = ring(ApiKey(name="a", key_env="A", requests_per_minute=0.5), clock=clock)
    keys.admit("Bearer sk-a")
    assert refusal(keys, "Bearer sk-a").retry_after == pytest.approx(120)


def test_listing_models_costs_nothing():
    keys = ring(ApiKey(name="a", key_env="A", requests_per_minute=1))
    for _ in range(5):
        assert keys.who("Bearer sk-a") is not None


def test_models_are_meant_by_any_of_their_names():
    key = ring(ApiKey(name="a", key_env="A", models=("gpt-4o-mini",))).admit("Bearer sk-a")
    assert key is not None
    assert key.permits("chat")
    assert not key.permits("other")
    everything = ring(A).admit("Bearer sk-a")
    assert everything is not None
    assert everything.permits("other")


def test_the_key_itself_is_neither_kept_nor_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    keys = ring(A, B)
    key = keys.admit("Bearer sk-a")
    assert key is not None
    kept = {slot: getattr(key, slot) for slot in key.__slots__}
    assert "sk-a" not in repr(kept)
    error = refusal(keys, "Bearer sk-secret")
    assert "sk-secret" not in error.message + repr(error)
    assert not caplog.records
