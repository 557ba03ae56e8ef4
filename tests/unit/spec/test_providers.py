"""What is said of `providers` and `burst` that cannot be."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pilotlight.errors import ConfigError
from pilotlight.spec.load import load, parse
from pilotlight.spec.model import Config

ENV = {"KEY": "sk-1"}
PRICE: dict[str, Any] = {"price": {"request_usd": 0.01}}
FAR = {"base_url": "https://far.example/v1", "key_env": "KEY"}


def read(folder: Path, far: dict[str, Any], env: dict[str, str] | None = None, **model: Any) -> Config:
    file = folder / "pilotlight.yaml"
    chat = {"engine": "command", "cmd": "serve ${PORT}", "burst": {"provider": "far"}, **model}
    file.write_text(yaml.safe_dump({"models": {"chat": chat}, "providers": {"far": {**FAR, **far}}}))
    return load(file, ENV if env is None else env)


def faults(folder: Path, far: dict[str, Any], env: dict[str, str] | None = None, **model: Any) -> list[str]:
    with pytest.raises(ConfigError) as e:
        read(folder, far, env, **model)
    return [f"{p.key}: {p.message}" for p in e.value.problems]


@pytest.mark.parametrize(
    "far",
    [
        {"base_url": "http://127.0.0.1:8000/v1"},
        {"base_url": "http://[::1]:8000"},
        {"budget": {"hour_usd": 0}, **PRICE},
        {"budget": {"hour_usd": 1, "day_usd": 2, "month_usd": 3}, **PRICE},
        {"headers": {"api-key": "k"}},
        {"base_url": "https://far.example/v1?api-version=2026-01-01"},
        {"models": {"chat": "org/x"}, "limit_field": "max_completion_tokens"},
        {"keep_warm": {"model": "chat", "every": "10s"}},
    ],
    ids=str,
)
def test_what_can_be_is_taken(tmp_path: Path, far: dict[str, Any]):
    assert read(tmp_path, far).providers["far"].key_env == "KEY"


def test_a_burst_of_what_may_not_leave_is_no_fault(tmp_path: Path):
    assert not read(tmp_path, {}, leave_house=False).models["chat"].leave_house


@pytest.mark.parametrize(
    ("far", "key", "words"),
    [
        ({"base_url": "far.example/v1"}, "base_url", "is not an address"),
        ({"base_url": "ftp://far.example"}, "base_url", "is not an address"),
        ({"base_url": "https://"}, "base_url", "is not an address"),
        ({"base_url": "https://far.example:99999"}, "base_url", "is not an address"),
        ({"base_url": "https://far.example/v1\r\nX: y"}, "base_url", "is not an address"),
        ({"base_url": "https://me:secret@far.example/v1"}, "base_url", "user or a password"),
        ({"base_url": "https://far.example/v1#key=1"}, "base_url", "what follows #"),
        ({"base_url": "https://far.example/v1?key=${KEY}"}, "base_url", "put a key into `key_env`"),
        ({"base_url": "https://far.example/v1/chat/completions"}, "base_url", "end it before that"),
        ({"models": {"caht": "org/x"}}, "models.caht", "did you mean `chat`"),
        ({"models": {"gpt": "org/x"}}, "models.gpt", "write the model's own name, chat"),
        (
            {"max_requests": 2, "keep_warm": {"model": "chat", "requests": 3}},
            "keep_warm.requests",
            "max_requests",
        ),
        ({"limit_field": "max_token"}, "limit_field", "did you mean `max_tokens`"),
        ({"base_url": "http://far.example/v1"}, "base_url", "not encrypted"),
        ({"headers": {"bad name": "x"}}, "headers.bad name", "no name of a header"),
        ({"headers": {"x": "a\nInjected: b"}}, "headers.x", "line break"),
        ({"headers": {"Host": "other"}}, "headers.Host", "set by pilotlight"),
        ({"headers": {"authorization": "x"}}, "headers.authorization", "key_env"),
        ({"keep_warm": {"model": "chta"}}, "keep_warm.model", "did you mean `chat`"),
        ({"keep_warm": {"model": "chat", "every": "10m"}}, "keep_warm.every", "idle_timeout"),
        ({"budget": {"hour_usd": 5, "day_usd": 2}, **PRICE}, "budget.hour_usd", "more than `day_usd`"),
        ({"budget": {"hour_usd": 5, "month_usd": 2}, **PRICE}, "budget.hour_usd", "more than `month_usd`"),
        ({"budget": {"day_usd": 5}}, "budget", "without a `price` every request counts as $0"),
        ({"budget": {"day_usd": 0}, "price": {"request_usd": 0}}, "budget", "say what the provider charges"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told(tmp_path: Path, far: dict[str, Any], key: str, words: str):
    (fault,) = faults(tmp_path, far, aliases=["gpt"])
    assert fault.startswith(f"providers.far.{key}: ")
    assert words in fault


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path):
    assert "secret" not in "".join(faults(tmp_path, {"base_url": "https://me:secret@far.example/v1"}))


def test_a_key_without_encryption_stays_here_and_without_a_key_it_may_go(tmp_path: Path):
    assert read(tmp_path, {"base_url": "http://far.example/v1", "key_env": None})


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "is not set"),
        ({"KEY": " "}, "is empty"),
        ({"KEY": "k\n"}, "has a space"),
        ({"KEY": "k\ré"}, "has a space"),
    ],
)
def test_a_key_must_be_there(tmp_path: Path, env: dict[str, str], words: str):
    (fault,) = faults(tmp_path, {}, env)
    assert fault.startswith("providers.far.key_env: the environment variable KEY ")
    assert words in fault


@pytest.mark.parametrize("secret", ["sk-abc-real-key", "gsk_0123456789abcdefABCDEF"])
def test_a_key_in_the_place_of_its_variables_name_is_not_repeated(tmp_path: Path, secret: str):
    (fault,) = faults(tmp_path, {"key_env": secret})
    assert fault.startswith("providers.far.key_env: ")
    assert secret not in fault
    assert "variable" in fault


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("fra", "did you mean `far`"),
        (["far", "other"], "'other' is not a provider"),
        (["far", "far"], "listed already"),
        ([], "names no provider"),
    ],
    ids=str,
)
def test_a_burst_names_each_of_its_providers_once(tmp_path: Path, provider: Any, words: str):
    (fault,) = faults(tmp_path, {}, burst={"provider": provider})
    assert fault.startswith("models.chat.burst.provider")
    assert words in fault


def test_pings_for_what_may_not_leave_are_a_slip(tmp_path: Path):
    (fault,) = faults(tmp_path, {"keep_warm": {"model": "chat"}}, leave_house=False)
    assert "leave_house: false" in fault


def test_troubles_are_of_providers_of_the_file():
    text = "providers: {far: {base_url: 'https://far.example/v1'}}\nsimulation: {providers: {fra: {fails: 2%}}}\n"
    with pytest.raises(ConfigError, match=r"'fra' is not a provider of this file; did you mean .?far"):
        parse(text, "test", {}, simulated=True)
    found = parse(text.replace("fra", "far"), "test", {}, simulated=True).simulation
    assert found.providers["far"].fails == 0.02


def test_an_outage_says_from_when_and_for_how_long():
    text = "providers: {far: {base_url: 'https://far.example/v1'}}\nsimulation: {providers: {far: {outages: [%s]}}}\n"
    found = parse(text % "{from: 1h, for: 10m}", "test", {}, simulated=True).simulation.providers["far"]
    assert (found.outages[0].begins, found.outages[0].lasts) == (3600.0, 600.0)
    with pytest.raises(ConfigError, match="`for` is missing"):
        parse(text % "{from: 1h}", "test", {}, simulated=True)
