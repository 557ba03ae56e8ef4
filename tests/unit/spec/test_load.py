"""What a config file may hold, and what is said of one that is wrong."""

import os
import time
from pathlib import Path

import pytest
import yaml

from pilotlight.errors import ConfigError
from pilotlight.spec import tree
from pilotlight.spec.load import load, parse
from pilotlight.spec.model import Config, Gpu, Model
from pilotlight.units import FOREVER


def good(text: str, **env: str) -> Config:
    return parse(text, "/etc/p.yaml", env)


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as e:
        good(text, **env)
    return [str(p).removeprefix("/etc/p.yaml:") for p in e.value.problems]


def problem(text: str, **env: str) -> str:
    found = problems(text, **env)
    assert len(found) == 1, found
    return found[0]


def model(line: str, **env: str) -> Model:
    return good("models: {a: {source: demo://50m, " + line + "}}", **env).models["a"]


def model_problem(line: str, **env: str) -> str:
    """Of one model with the key on line 4."""
    return problem("models:\n  a:\n    source: demo://50m\n    " + line, **env).removeprefix("4: models.a.")


MAIN = """
host: 127.0.0.1
port: 8080
memory: 16GiB
gpus: [0, {id: 1, memory: 40GiB}]
objective: {wait: 2s}
api_keys: [{name: team-a, key_env: TEAM_A_KEY, models: [chat, gpt-4o-mini], requests_per_minute: 600}]
models:
  chat:
    source: demo://50m
    engine: llamacpp
    aliases: [gpt-4o-mini]
    max_replicas: 2
    ttl: 5m
    ttl_to_zero: 10m
    pinned: false
    engine_args: {n_ctx: 2048, flash_attn: true, rope_scale: 0.5, chat_template: chatml}
  org/big:
    engine: command
    cmd: vllm serve org/model --port ${PORT}
    env: {HF_TOKEN: "${HF_TOKEN}", LISTEN: "127.0.0.1:${PORT}"}
    cwd: .
    stop_cmd: null
    proxy: http://127.0.0.1:${PORT}
    health: /health
    gpus: 1
    gpu_memory: 40GiB
    memory: 8GiB
    ttl: -1
"""


def test_a_whole_file() -> None:
    config = good(MAIN, HF_TOKEN="hf_x", TEAM_A_KEY="secret")
    assert config.memory == 16 * 2**30
    assert config.gpus == (0, Gpu(1, 40 * 2**30))
    assert config.objective.wait == 2.0
    assert config.api_keys[0].models == ("chat", "gpt-4o-mini")
    chat, big = config.models["chat"], config.models["org/big"]
    assert (chat.aliases, chat.max_replicas, chat.ttl, chat.ttl_to_zero) == (
        ("gpt-4o-mini",),
        2,
        300.0,
        600.0,
    )
    assert chat.engine_args == {
        "n_ctx": 2048,
        "flash_attn": True,
        "rope_scale": 0.5,
        "chat_template": "chatml",
    }
    assert [type(v) for v in chat.engine_args.values()] == [int, bool, float, str]
    assert (big.cmd, big.cwd, big.stop_cmd) == ("vllm serve org/model --port ${PORT}", "/etc", None)
    assert big.env == {"HF_TOKEN": "hf_x", "LISTEN": "127.0.0.1:${PORT}"}
    assert (big.gpu_memory, big.ttl) == (40 * 2**30, FOREVER)


def test_every_fault_is_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(MAIN.replace("port: 8080", "prot: 1").replace("ttl: 5m", "ttl: soon"), HF_TOKEN="x")
    assert [p.split(" ", 2)[:2] for p in found] == [
        ["3:", "prot:"],
        ["7:", "api_keys[0].key_env:"],
        ["14:", "models.chat.ttl:"],
    ]


def test_no_message_repeats_a_long_number() -> None:
    for line in (f"port: {'9' * 6000}", f"port: -{'9' * 6000}"):
        said = problem(f"{line}\nmodels: {{a: {{source: demo://50m}}}}")
        assert len(said) < 1000 and "9" * 100 not in said


def test_a_key_that_cannot_be_printed_is_shown_as_text_that_can() -> None:
    said = problem('"a\\r\\n\\u001b[2J": 1\nmodels: {a: {source: demo://50m}}')
    assert r"1: 'a\r\n\x1b[2J': is not a key here" in said
    assert len(problem(f"{'k' * 20_000}: 1\nmodels: {{a: {{source: demo://50m}}}}")) < 1000


def test_an_unknown_key_names_the_nearest_and_all() -> None:
    said = model_problem("tll: 5m")
    assert said.startswith("tll: is not a key here; did you mean `ttl`? Allowed: aliases, base, ")
    assert problem("objective: {wat: 1}\nmodels: {a: {source: demo://50m}}") == (
        "1: objective.wat: is not a key here; did you mean `wait`? Allowed: cold_rate, "
        "cold_request_cost_usd, per_model_max, wait, window"
    )
    assert "is not a key here. Allowed" in model_problem("zzzz: 1")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('max_replicas: "4"', 'expected a whole number, found text ("4"); leave out the quotes'),
        ("max_replicas: true", "expected a whole number, found true or false (true)"),
        ("max_replicas: 1.5", "expected a whole number, found a number (1.5)"),
        ("max_replicas: 1.0", "expected a whole number, found a number (1.0)"),
        (
            "max_replicas: 010",
            "`010`, which YAML readers take for different things; write a plain decimal number",
        ),
        ("max_replicas: 0x10", "write a plain decimal number"),
        ("max_replicas: 1_000", "write a plain decimal number"),
        ("max_replicas: 1:30", "write a plain decimal number"),
        ("max_replicas: four", "expected a whole number, found text (four)"),
        ("max_replicas:", "expected a whole number, found no value; leave the key out for its default"),
        ("max_replicas: [1]", "expected a whole number, found a list"),
        ("max_replicas: {a: 1}", "expected a whole number, found a mapping"),
        ("max_replicas: 0", "0 is too small: at least 1"),
        ("max_replicas: 99999999999999999999", "99999999999999999999 is too large"),
        ("max_replicas: " + "9" * 5000, "9999... is too large"),
        ("pinned: yes", "`yes`, which YAML readers take for different things; write true or false"),
        ('pinned: "true"', 'expected true or false, found text ("true"); leave out the quotes'),
        ("pinned: 1", "expected true or false, found a number (1)"),
        ("aliases: chat", "expected a list, found text (chat)"),
        ("env: [A]", "expected a mapping, found a list"),
        ("ttl: 1:30", "'1:30' is not a duration; write it like 250ms, 30s, 5m"),
        ("drain_timeout: true", "expected a duration like 250ms, 30s, 5m, 1h30m, found true or false (true)"),
        ("ttl: .inf", "'.inf' is not a duration"),
        ("ttl: 5 m", "'5 m' is not a duration"),
        ("ttl: 1000000d", "1000000d is too long: at most 100 years"),
        ("startup_timeout: 0", "0 is too small: more than 0"),
        ("request_timeout: 0", "0 is too small: more than 0"),
        ("startup_timeout: -1", "-1 (for ever) is not allowed here"),
        ("startup_timeout: -5", "-5 is below 0; write it like 250ms, 30s, 5m"),
        ("memory: 16", "16 is too small: at least 1 MiB; a number without a unit is bytes"),
        ("memory: lots", "'lots' is not a size; write it like 512MiB"),
        ("memory: -1", "'-1' is not a size"),
        ("memory: 1" + "0" * 300, "is too large"),
        ("memory: 1" + "0" * 999, "is not a size"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(line: str, says: str) -> None:
    said = model_problem(line)
    assert said.startswith(line.split(":")[0] + ":")
    assert says in said


@pytest.mark.parametrize("word", ["no", "on", "Yes", "OFF", "1.10", "12", "0o7", "1:30", "true", "null", "~"])
def test_text_that_yaml_takes_for_something_else_wants_quotes(word: str) -> None:
    said = model_problem(f"env: {{A: {word}}}")
    assert said.startswith("env.A: expected text, found ")
    assert word in ("null", "~") or said.endswith(f'put it in quotes: "{word}"')
    assert model(f'env: {{A: "{word}"}}').env == {"A": word}


def test_keys_are_text_whatever_they_look_like() -> None:
    config = good("models: {123: {source: demo://50m, env: {NO: 'x', on: 'y'}}}")
    assert config.models["123"].env == {"NO": "x", "on": "y"}


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("ttl: 90", "ttl", 90.0),
        ("ttl: '90'", "ttl", 90.0),
        ("ttl: 0", "ttl", 0.0),
        ("ttl: -1", "ttl", FOREVER),
        ("ttl_to_zero: null", "ttl_to_zero", None),
        ("ttl_to_zero: 1h30m", "ttl_to_zero", 5400.0),
        ("memory: 2147483648", "memory", 2**31),
        ("memory: 1.5GiB", "memory", 3 * 2**29),
        ("memory: ${MEM}", "memory", 2**30),
        ("ttl: ${UNSET:-5m}", "ttl", 300.0),
        ("max_replicas: +2", "max_replicas", 2),
        ("pinned: True", "pinned", True),
        ("env: {A: 'a\tb'}", "env", {"A": "a\tb"}),
        ("engine_args: {a: 1e3, b: -2, c: 'no'}", "engine_args", {"a": 1000.0, "b": -2, "c": "no"}),
    ],
)
def test_values(line: str, field: str, value: object) -> None:
    text = "models:\n  a:\n    source: demo://50m\n    " + line
    assert getattr(good(text, MEM="1GiB").models["a"], field) == value


# -- variables


def test_variables_are_filled_in_any_text() -> None:
    env = {"V": "x", "EMPTY": "", "PORT": "80", "TRICK": "${V} $$", "WORD": "no"}
    found = model(
        "env: {A: '${V}${V}', B: '${EMPTY}', C: '${EMPTY:-d}', D: '${UNSET:-d:-e}', E: '$$ $${V} $V $', F: '${TRICK}',"
        " G: \"${WORD}\", H: '${PORT} ${PID}', I: '${UNSET:-}'}",
        **env,
    )
    assert found.env == {
        "A": "xx",
        "B": "",
        "C": "d",
        "D": "d:-e",
        "E": "$ ${V} $V $",
        "F": "${V} $$",
        "G": "no",
        "H": "${PORT} ${PID}",
        "I": "",
    }


def test_what_the_worker_fills_is_left_alone_only_where_it_does() -> None:
    text = "models: {a: {engine: command, cmd: 'x ${PORT} ${V}', stop_cmd: 'kill ${PID}', served_name: '${PORT}'}}"
    found = good(text, PORT="80", V="v").models["a"]
    assert (found.cmd, found.stop_cmd, found.served_name) == ("x ${PORT} v", "kill ${PID}", "80")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${NOPE}", "the environment variable NOPE is not set; set it, or write ${NOPE:-default}"),
        ("a ${", "'${' is no variable; write ${NAME} or ${NAME:-default}, or $$ for a dollar sign"),
        ("${}", "'${}' is no variable"),
        ("${a b}", "'${a b}' is no variable"),
        ("${A:?b}", "'${A:?b}' is no variable"),
        ("${1A}", "'${1A}' is no variable"),
    ],
)
def test_a_wrong_variable(text: str, says: str) -> None:
    assert model_problem(f"env: {{X: '{text}'}}").startswith(f"env.X: {says}")


def test_the_value_of_a_variable_is_not_shown() -> None:
    said = problem("models: {a: {source: '${S}'}}", S="ftp://user:secret@host")
    assert said.startswith("1: models.a.source: '${S}' has an unknown scheme ftp://")
    assert "secret" not in said


def test_a_command_over_several_lines() -> None:
    text = "models:\n  a:\n    engine: command\n    cmd: |\n      serve \\\n        --port ${PORT}\n"
    assert good(text).models["a"].cmd == "serve    --port ${PORT}"


# -- names and paths


@pytest.mark.parametrize(
    "name", ["/x", "x/", "a//b", "..", "a/../b", "a/.", "a b", "ä", "x" * 129, '"a\\n"', '""']
)
def test_names_that_are_not_allowed(name: str) -> None:
    assert "is not allowed; write 1 to 128 letters, digits and . _ - :" in model_problem(f"aliases: [{name}]")
    assert "is not allowed" in problem(f"models: {{{name}: {{source: demo://50m}}}}")


@pytest.mark.parametrize("name", ["gpt-4.1", "org/model", "llama3:8b", "a/b/c", "x" * 128, ".hidden", "a..b"])
def test_names(name: str) -> None:
    assert model(f"aliases: [{name}]").aliases == (name,)


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    file = tmp_path / "sub" / "p.yaml"
    file.parent.mkdir()
    file.write_text("cache_dir: ~/c\nstate_dir: /s/../t\nmodels: {a: {source: ../m.gguf}}")
    config = load(file, {"HOME": "/home/u"})
    assert config.models["a"].source == str(tmp_path / "m.gguf")
    assert (config.cache_dir, config.state_dir) == ("/home/u/c", "/t")


# -- YAML


def test_anchors_and_merge_keys() -> None:
    config = good("""
x-base: &base {source: demo://50m, ttl: 1m, env: {A: a}}
x-more: &more {ttl: 2m, max_replicas: 3}
models:
  a: *base
  b: {<<: *base, ttl: 5m}
  c: {<<: [*more, *base]}
  d: {"max_replicas": 2, <<: *base, <<: *more}
""")
    assert [(m.ttl, m.max_replicas, m.env) for m in config.models.values()] == [
        (60.0, 1, {"A": "a"}),
        (300.0, 1, {"A": "a"}),
        (120.0, 3, {"A": "a"}),
        (60.0, 2, {"A": "a"}),
    ]


def test_a_key_given_twice() -> None:
    assert problem("models:\n  a:\n    source: demo://50m\n    ttl: 1\n    ttl: 2") == (
        "5: models.a.ttl: is given twice; the first is on line 4"
    )
    assert problem("models:\n  a: {source: demo://50m}\n  a: {source: demo://1b}").startswith(
        "3: models.a: is given"
    )
    said = problems("api_keys:\n  - {name: a, name: b, key_env: K}\nmodels: {a: {source: demo://50m}}", K="k")
    assert said == ["2: api_keys[0].name: is given twice; the first is on line 2"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; it needs at least `models`"),
        ("# nothing\n", "is empty"),
        ("~", "is empty"),
        ("models:", "1: models: expected a mapping, found no value; write its keys below it, indented"),
        ("models: {}", "1: models: needs at least 1 entry"),
        ("port: 1", "1: `models` is missing"),
        ("models: {a: }", "1: models.a: expected a mapping, found no value"),
        ("models: [a]", "1: models: expected a mapping, found a list"),
        ("just text", "1: expected a mapping, found text (just text)"),
        ("- a", "1: expected a mapping, found a list"),
        ("a: 1\n---\nb: 2", "2: a second document starts here"),
        ("a: [1\nb: 2", "is not YAML: "),
        ("a: 'x\n", "is not YAML: "),
        ("a:\n\t- b", "2: is not YAML: "),
        ("a: b: c", "1: is not YAML: mapping values are not allowed"),
        ("models: {a: {cmd: ${PORT}}}", 'put "${...}" in quotes'),
        ("? [a]\n: b", "1: a key must be plain text"),
        ("? {a: b}\n: c", "1: a key must be plain text"),
        ("a: &x b\n? *x\n: c\n? *y\n: d", "`*y` has no `&y` before it"),
        ("a: *b", "1: `*b` has no `&b` before it"),
        ("a: &a [*a]", "1: `*a` stands inside what `&a` names"),
        ("a: {<<: 5}", "1: `<<` takes an alias of a mapping"),
        ("a: \x00", "1: the character U+0000 is not allowed in YAML"),
        ("a: b\nc: \ud800", "2: the character U+D800 is not allowed in YAML"),
        ("[" * 5000, "1: is nested more than 32 deep"),
        ("- " * 5000, "1: is nested more than 32 deep"),
        ("-\n" * 120_000, "holds more than 100000 values"),
    ],
)
def test_what_is_no_config(text: str, says: str) -> None:
    assert says in problem(text)


def test_tags_are_refused() -> None:
    assert "1: the tag '!env' is not supported; leave it out" in problems(
        "models: !env {a: {source: demo://50m}}"
    )
    assert "the tag 'tag:yaml.org,2002:python/none' is not" in problems("!!python/none x")[0]


def test_a_character_no_program_takes() -> None:
    assert "no program takes" in model_problem('env: {A: "a\\0b"}')


def test_a_laugh_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    began = time.process_time()
    assert "holds more than 100000 values once its aliases are expanded" in problem("\n".join(lines))
    merges = ["m0: &m0 {k: v}"] + [
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}" for i in range(1, 40)
    ]
    assert "holds more than" in problem("\n".join(merges))
    assert time.process_time() - began < 2


def test_the_parser_written_in_python_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_LOADER", yaml.SafeLoader)
    assert good(MAIN, HF_TOKEN="x", TEAM_A_KEY="y").models.keys() == {"chat", "org/big"}
    assert "no program takes" in model_problem('env: {A: "\\ud800"}')
    assert "is not YAML" in problem('a: "\\U00110000"')
    assert "2: is not YAML" in problem("a: b\n  c: d")


# -- files


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(ConfigError) as e:
            load(path, {})
        return str(e.value).replace(str(tmp_path), "")

    assert said(tmp_path / "no.yaml") == "/no.yaml: does not exist; `pilotlight init` writes a starter"
    assert said(tmp_path) == ": is a directory; name the file in it"
    assert said(Path("a\x00b")).endswith("cannot be read: embedded null byte")
    (tmp_path / "latin").write_bytes(b"a: b\nc: \xe4")
    assert said(tmp_path / "latin") == "/latin:2: is not UTF-8; save it as UTF-8"
    (tmp_path / "large").write_bytes(b"#" * 2**20)
    assert said(tmp_path / "large") == "/large: is larger than 512 KiB, which no config file is"
    (tmp_path / "locked").write_text("")
    (tmp_path / "locked").chmod(0)
    if not os.access(tmp_path / "locked", os.R_OK):
        assert said(tmp_path / "locked") == "/locked: cannot be read: Permission denied"
    assert said(tmp_path / "locked" / "x") == "/locked/x: cannot be read: Not a directory"


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(b"\xef\xbb\xbfport: 1\r\nmodels:\r\n  a: {source: demo://50m, x: 1}\r\n")
    with pytest.raises(ConfigError, match=r"p.yaml:3: models.a.x: is not a key here"):
        load(file, {})


def test_ten_models_load_in_no_time() -> None:
    text = "models:\n" + "".join(
        f"  m{i}: {{source: demo://50m, aliases: [a{i}], max_replicas: 2, ttl: 5m, ttl_to_zero: 10m, pinned: false,"
        f" engine_args: {{n_ctx: 2048}}, env: {{A: b}}}}\n"
        for i in range(10)
    )
    took: list[float] = []
    for _ in range(5):
        began = time.process_time()
        good(text)
        took.append(time.process_time() - began)
    assert min(took) < 0.03
