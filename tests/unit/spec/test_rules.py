"""What must hold between keys."""

from pathlib import Path

import pytest

from pilotlight.errors import ConfigError
from pilotlight.spec.load import parse

COMMAND = "engine: command, cmd: 'serve ${PORT}'"


def problems(text: str, **env: str) -> list[str]:
    try:
        parse(text, "/etc/p.yaml", env)
    except ConfigError as e:
        return [f"{p.key}: {p.message}" for p in e.problems]
    return []


def of_model(keys: str, top: str = "") -> list[str]:
    found = problems(f"models:\n  a: {{{keys}}}\n{top}")
    return [p.removeprefix("models.a.").removeprefix("models.") for p in found]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            "source: demo://50m, engine: lamacpp",
            "engine: 'lamacpp' is not an engine; did you mean `llamacpp`?",
        ),
        ("ttl: 5m", "a: `source` is missing; write a path to a .gguf, hf://org/repo"),
        ("engine: llamacpp, source: null", "a: `source` is missing"),
        (
            "source: demo://50m, cmd: 'x ${PORT}'",
            "cmd: is for `engine: command`; this model's engine is llamacpp",
        ),
        ("source: demo://50m, health: /health", "health: is for `engine: command`"),
        ("engine: vllm", "a: `source` is missing; write org/model, hf://org/model"),
        ("engine: vllm, source: demo://50m", "source: 'demo://50m' names no model; write org/model"),
        ("engine: vllm-cpu, source: org/m.gguf", "source: 'org/m.gguf' does not exist"),
        ("engine: vllm-cpu, source: hf://org/repo/m.gguf", "source: 'hf://org/repo/m.gguf' is a .gguf file"),
        ("engine: vllm, source: ./org/model", "source: './org/model' does not exist (/etc/org/model)"),
        ("engine: vllm, source: /etc", "source: '/etc' has no config.json (/etc)"),
        (
            "engine: vllm, source: /etc/passwd",
            "source: '/etc/passwd' is a file (/etc/passwd); name the folder",
        ),
        ("engine: sglang, source: hf://model", "source: 'hf://model' names no model"),
        (
            "engine: vllm, source: o/m, health: /x",
            "health: is for `engine: command`; this model's engine is vllm",
        ),
        ("source: org/model", "source: 'org/model' does not exist (org/model)"),
        ("engine: command", "a: `cmd` is missing; write the command line that serves, with ${PORT}"),
        (
            f"{COMMAND}, source: demo://50m",
            "source: is for `engine: llamacpp`; this model's engine is command",
        ),
        (f"{COMMAND}, engine_args: {{a: 1}}", "engine_args: is for `engine: llamacpp`"),
        ("engine: command, cmd: serve", "cmd: says nowhere what port to serve on; put ${PORT} in it"),
        ("engine: command, cmd: serve, proxy: 'http://h:${PORT}'", "cmd: says nowhere what port"),
        ("engine: command, cmd: serve, proxy: http://h", "proxy: names no port; write ${PORT} or the port"),
        (f"{COMMAND}, proxy: 'http://h'", "proxy: names no port"),
        (
            f"{COMMAND}, proxy: 'http://h:1', max_replicas: 2",
            "max_replicas: 2 replicas cannot share the port",
        ),
        (
            f"{COMMAND}, proxy: 'h:${{PORT}}'",
            "proxy: 'h:${PORT}' is not an address; write it like http://127.0.0.1",
        ),
        (f"{COMMAND}, proxy: 'http://h:x'", "proxy: 'http://h:x' is not an address"),
        (f"{COMMAND}, proxy: 'http://[h'", "proxy: 'http://[h' is not an address"),
        (f"{COMMAND}, proxy: 'ftp://h:1'", "proxy: 'ftp://h:1' is not an address"),
        (f"{COMMAND}, health: ok", "health: 'ok' is not a path; it begins with /"),
        (f"{COMMAND}, cwd: nowhere", "cwd: 'nowhere' is not a folder (/etc/nowhere)"),
        (f'{COMMAND}, stop_cmd: "kill \'"', "stop_cmd: cannot be split into words: no closing quotation"),
        ("engine: command, cmd: ''", "cmd: '' is empty"),
        ("engine: command, cmd: '  ', env: {P: '${PORT}'}", "cmd: is empty"),
        (
            "source: demo://50m, min_replicas: 2",
            "min_replicas: 2 is more than max_replicas, which is 1 (its default)",
        ),
        ("source: demo://50m, min_replicas: 3, max_replicas: 2", "3 is more than max_replicas, which is 2"),
        ("source: demo://50m, gpu_memory: 1GiB", "gpu_memory: is set but `gpus` is 0; write `gpus: 1`"),
        (
            f"{COMMAND}, gpus: 1, env: {{CUDA_VISIBLE_DEVICES: '0'}}",
            "env.CUDA_VISIBLE_DEVICES: is set by the server",
        ),
        ("source: 's3://b/x'", "source: 's3://b/x' has an unknown scheme s3://; write a path to a .gguf"),
        (
            "source: demo://7b",
            "source: 'demo://7b' has no demo of that size; write one of demo://50m or demo://1b",
        ),
        ("source: hf://org", "source: 'hf://org' is not of the form hf://org/repo[@rev]/file.gguf"),
        ("source: https:///x.gguf", "source: 'https:///x.gguf' names no host"),
        ("source: https://h:x/x.gguf", "names no host"),
        ("source: no.gguf", "source: 'no.gguf' does not exist (/etc/no.gguf); write a path"),
        ("source: /etc", "source: '/etc' is a folder (/etc); name the .gguf file in it"),
        ("source: " + "x" * 5000, "cannot be looked at: File name too long"),
    ],
)
def test_one_model(keys: str, says: str) -> None:
    found = of_model(keys)
    assert len(found) == 1, found
    assert says in found[0]


@pytest.mark.parametrize(
    "keys",
    [
        "source: demo://50m, cmd: null, proxy: null",
        "source: demo://1B",
        "source: 'hf://org/repo@v1.0/sub/file-00001-of-00002.gguf'",
        "source: 'https://h:8443/a%20b.gguf?sig=x'",
        COMMAND,
        "engine: vllm, source: org/model@main, gpus: 1",
        "engine: vllm-cpu, source: hf://org/mo.del_1",
        "engine: command, cmd: serve, env: {LISTEN: ':${PORT}'}",
        "engine: command, cmd: serve 80, proxy: 'http://h:80/base'",
        f"{COMMAND}, cwd: '.', gpus: 2, gpu_memory: 1GiB",
        f"{COMMAND}, env: {{CUDA_VISIBLE_DEVICES: ''}}",
    ],
)
def test_models_that_hold(keys: str) -> None:
    assert of_model(keys) == []


@pytest.mark.parametrize(
    ("keys", "top", "says"),
    [
        ("gpus: 2", "gpus: [0]", "gpus: 2 devices a replica, but `gpus` of the file lists 1"),
        ("gpus: 1", "gpus: []", "lists 0"),
        (
            "gpus: 2, gpu_memory: 20GiB",
            "gpus: [{id: 0, memory: 40GiB}, {id: 1, memory: 16GiB}]",
            "gpu_memory: 20GiB fits on 1 of the listed devices; a replica needs 2",
        ),
        (
            "memory: 8GiB",
            "memory: 4GiB",
            "memory: 8.0 GiB a replica never fits in the file's `memory`, 4.0 GiB",
        ),
        (
            "memory: 3GiB, min_replicas: 2, max_replicas: 2",
            "memory: 4GiB",
            "min_replicas of all models need, 6.0 GiB",
        ),
        ("gpus: 1", "gpus: all", "gpus: expected text (`auto`) or a list, found text (all)"),
        ("gpus: 1", "gpus: 1", "gpus: expected text (`auto`) or a list, found a number (1)"),
        ("gpus: 1", "gpus: [0, 0]", "gpus[1]: device 0 is listed already: gpus[0]"),
        ("gpus: 1", "gpus: [1, {id: 1, memory: 1GiB}]", "gpus[1]: device 1 is listed already"),
        ("gpus: 1", "gpus: [-1, 0]", "gpus[0]: -1 is too small: at least 0"),
        ("gpus: 1", "gpus: [{id: 0}, 1]", "gpus[0]: `memory` is missing"),
    ],
)
def test_what_the_machine_has(keys: str, top: str, says: str) -> None:
    found = of_model(f"{COMMAND}, {keys}", top)
    assert len(found) == 1, found
    assert says in found[0]


def test_each_name_means_one_model() -> None:
    found = problems("""
models:
  a: {source: demo://50m, aliases: [x, b, a]}
  b: {source: demo://50m, aliases: [y, x, y]}
""")
    assert found == [
        "models.a.aliases[1]: 'b' is the name of another model; each name may mean one model only",
        "models.a.aliases[2]: 'a' is the model's own name; leave it out",
        "models.b.aliases[1]: 'x' is an alias already: models.a.aliases[0] on line 3",
        "models.b.aliases[2]: 'y' is an alias already: models.b.aliases[0] on line 4",
    ]


KEYS = """
models: {{chat: {{source: demo://50m, aliases: [mini]}}}}
api_keys:
{}
"""


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (
            "{name: a, key_env: NOPE}",
            "[0].key_env: the environment variable NOPE is not set; it holds the key",
        ),
        ("{name: a, key_env: EMPTY}", "[0].key_env: the environment variable EMPTY is empty"),
        ("{name: a, key_env: BLANK}", "[0].key_env: the environment variable BLANK is empty"),
        (
            "{name: a, key_env: LINE}",
            "[0].key_env: the environment variable LINE begins or ends with a space",
        ),
        (
            "{name: a, key_env: K, models: [chta]}",
            "[0].models[0]: 'chta' is not a model or an alias; did you mean",
        ),
        (
            "{name: a, key_env: K, models: [/, mini]}",
            "[0].models[0]: '/' is not a model or an alias. Allowed: chat",
        ),
        ("{name: a}", "[0]: `key_env` is missing"),
        ("{key_env: K}", "[0]: `name` is missing"),
        ("{name: '', key_env: K}", "[0].name: '' is empty"),
        ("{name: a, key_env: a-b}", "[0].key_env: what it says is not allowed; write letters, digits and _"),
        (
            "{name: a, key_env: K, requests_per_minute: 0}",
            "[0].requests_per_minute: 0 is too small: more than 0",
        ),
        ("{name: a, key_env: K, requests_per_minute: 1e999}", "1e999 is too large"),
        (
            "{name: a, key_env: K}\n  - {name: a, key_env: L}",
            "[1].name: 'a' is the name of another key: api_keys[0]",
        ),
        (
            "{name: local-cli, key_env: K}",
            "[0].name: 'local-cli' is what the command line's own key is called",
        ),
        (
            "{name: a, key_env: K}\n  - {name: b, key_env: SAME}",
            "[1].key_env: holds the same key as api_keys[0]",
        ),
        ("{name: a}\n  - {name: b, key_env: K}", "[0]: `key_env` is missing"),
        (
            "a",
            "[0]: expected a mapping with the keys name, key_env, models, requests_per_minute, admin, class, stand_in, "
            "leave_house, "
            "found text",
        ),
    ],
)
def test_keys(key: str, says: str) -> None:
    env = {"K": "k", "L": "l", "SAME": "k", "EMPTY": "", "BLANK": " ", "LINE": "k\n"}
    found = problems(KEYS.format("  - " + key), **env)
    assert len(found) == 1, found
    assert says in found[0]
    assert found[0].startswith("api_keys[")


def test_a_fault_behind_a_broken_item_is_at_the_right_place() -> None:
    found = problems(KEYS.format("  - {name: 1}\n  - {name: b, key_env: NOPE}"))
    assert "api_keys[1].key_env: the environment variable NOPE is not set; it holds the key" in found


def test_a_broken_key_brings_no_second_complaint() -> None:
    assert len(of_model("engine: command, cmd: 5, proxy: 'http://h:${PORT}'")) == 1
    assert len(of_model("source: 5")) == 1
    assert len(of_model("source: demo://50m, min_replicas: 5, max_replicas: x")) == 1
    assert len(of_model("source: demo://50m, gpu_memory: 1GiB, gpus: x")) == 1
    assert len(problems("models: []\napi_keys: [{name: a, key_env: K, models: [x]}]", K="k")) == 1


def test_a_weights_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").write_bytes(b"")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "cannot be read" in problems(f"models: {{a: {{source: {tmp_path}/m.gguf}}}}")[0]
