"""Whatever the file holds, a Config or a ConfigError comes out, and soon."""

import time
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.errors import ConfigError
from pilotlight.spec import tree
from pilotlight.spec.diff import changes, fingerprint
from pilotlight.spec.load import load, parse
from pilotlight.spec.model import Config, Model
from pilotlight.spec.starter import starter

ENV = {"V": "x", "HOME": "/home/u", "ODD": "\udcff", "TEAM_A_KEY": "k", "ADMIN_KEY": "l"}

MAIN = """\
host: 127.0.0.1
gpus: [0, {id: 1, memory: 40GiB}]
objective: {wait: 2s, cold_rate: [2%, 5%]}
api_keys: [{name: team-a, key_env: TEAM_A_KEY, models: [chat], requests_per_minute: 600, class: batch}]
defaults: {scaling: {ttl: auto, schedule: [{cron: 0 8 * * 1-5, for: 1h}]}, stand_in: null}
simulation: {hosts: {gpus: 4}}
x-base: &base {ttl: 5m, aliases: []}
models:
  chat:
    <<: *base
    source: demo://50m
    engine_args: {n_ctx: 2048}
    env: {A: "${V}"}
    scaling: {base: auto, max_replicas: 3, warmer: {below: 30/h, env: {}}}
  big:
    engine: command
    cmd: |
      serve --port ${PORT}
    proxy: http://127.0.0.1:${PORT}
    gpus: 1
    gpu_memory: 20GiB
"""


def test_the_one_that_is_mutated_loads() -> None:
    assert outcome(MAIN) is not None


def outcome(text: str) -> Config | None:
    began = time.process_time()
    try:
        config = parse(text, "/etc/p.yaml", ENV)
    except ConfigError as e:
        assert e.problems
        assert all(p.message and p.file == "/etc/p.yaml" and p.line >= 0 for p in e.problems)
        assert all(p.line <= len(text.splitlines()) + 1 for p in e.problems)
        str(e).encode("utf-8", "replace")
        config = None
    assert time.process_time() - began < 5
    return config


def sound(config: Config) -> None:
    """What is loaded can be used without another look."""
    msgspec.json.encode(config, enc_hook=float)  # an example price
    assert config.models
    assert not changes(config, config)
    assert all(len(fingerprint(m)) == 12 for m in config.models.values())


WORDS = """models chat source demo://50m engine command cmd ttl gpus env aliases scaling defaults schedule cron auto
5% 2/m @daily << a -1 0 1e9 5m 1GiB yes null 1:30
0x1 .nan ${V} ${NOPE} ${ $$ ${ODD} ${PORT} http://[ \\ud800 \\0 é *a &a : - ? [ ] { } , \t ' " > # ! !x --- ... @ `
\\ / .."""
BREAKS = [": ", "- ", "? ", "\n", "\n  ", "\n    ", "\t", "|\n", "!!int ", "%YAML 1.1\n", "  "]
PIECES = st.sampled_from([*WORDS.split(), *BREAKS, *"\r\x00\ud800\ufeff\u2028"])


@given(st.lists(PIECES, max_size=40).map("".join))
@settings(max_examples=400, deadline=None)
def test_yaml_of_sorts(text: str) -> None:
    if (config := outcome(text)) is not None:
        sound(config)


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text(text: str) -> None:
    outcome(text)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([MAIN, starter()]))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        text = text[:at] + draw(PIECES | st.just("")) + text[end:]
    return text


@given(mutated())
@settings(max_examples=400, deadline=None)
def test_configs_with_a_few_faults(text: str) -> None:
    if (config := outcome(text)) is not None:
        sound(config)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | PIECES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | PIECES, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(Model.__struct_fields__), VALUES, max_size=5), VALUES)
@settings(max_examples=200, deadline=None)
def test_any_value_for_any_key(keys: dict[str, object], top: object) -> None:
    data = {"models": {"a": {"source": "demo://50m", **keys}}, "gpus": top, "api_keys": [top]}
    outcome(yaml.dump(data, allow_unicode=True))


@given(mutated())
@settings(max_examples=60, deadline=None)
def test_the_parser_written_in_python_holds_as_well(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "_LOADER", yaml.SafeLoader)
        outcome(text)


@given(data=st.binary(max_size=100))
@settings(max_examples=50, deadline=None)
def test_any_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(data)
    with pytest.raises(ConfigError):
        load(file, ENV)
