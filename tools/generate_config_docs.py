"""Writes docs/configuration.md and docs/pilotlight.schema.json from the structs; `--check` only compares."""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect as mi

from pilotlight.spec.diff import OF_REPLICA, RESTART
from pilotlight.spec.model import (
    ApiKey,
    Config,
    EngineSettings,
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
from pilotlight.spec.provider import Burst, KeepWarm, Provider, Rates, Spending
from pilotlight.spec.schema import as_written, default_of, schema
from pilotlight.spec.simulation import Outage, RemoteTroubles
from pilotlight.spec.wants import Want, required, unwrap

DOCS = Path(__file__).resolve().parent.parent / "docs"

TOP = """\
# Configuration

<!-- Written by tools/generate_config_docs.py; change the texts there or in src/pilotlight/spec/model.py. -->

One YAML file. `pilotlight init` writes a starter, `pilotlight check` says everything that is wrong with a file,
`pilotlight serve pilotlight.yaml` serves it.

```yaml
port: 8080
memory: 16GiB                  # for all replicas together

models:
  chat:
    source: hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q8_0.gguf
    aliases: [gpt-4o-mini]
    max_replicas: 2
    ttl: 5m
  big:
    engine: command            # any OpenAI-compatible server
    cmd: vllm serve Qwen/Qwen2.5-7B-Instruct --host 127.0.0.1 --port ${PORT}
    gpus: 1
    ttl: 15m
    ttl_to_zero: 1h
```

More in [examples/](../examples). Editors that know JSON schemas complete and check the file with
[pilotlight.schema.json](pilotlight.schema.json), which `pilotlight check --schema` prints as well.

## How values are written

- **Durations** are `250ms`, `30s`, `5m`, `1h30m`, `2d`, or a number of seconds. `-1` means for ever, where the
  table says so.
- **Parts of a whole** are `5%` or `0.05`. **Rates** are `0.5/s`, `2/m`, `30/h` or `100/d`.
- **Sizes** are `512MiB`, `16GiB`, `1.5GB` or a number of bytes. `16G` is 16 GiB.
- **Names** of models and aliases are 1 to 128 letters, digits and `. _ - :`, in parts divided by `/`. Each name
  may mean one model only.
- **Text that looks like something else** goes in quotes: YAML takes `no`, `on` and `1.10` for other things, and
  pilotlight asks instead of guessing. A number in quotes is text, not a number.
- **Variables**: `${NAME}` in any text is filled from the environment of the server, `${NAME:-default}` may be
  unset or empty, `$$` is a dollar sign. Inside `{...}` and `[...]` YAML wants quotes around them. In `cmd`,
  `stop_cmd`, `proxy`, `health` and the values of `env`, `${PORT}` is the port of each replica, and in `stop_cmd`
  `${PID}` is its process.
- **Paths** are relative to the config file; `~/` is the home folder.
- **Anchors and merge keys** (`&x`, `*x`, `<<: *x`) work. Top-level keys that begin with `x-` are not read, so
  they are a place for what models share.

A file with mistakes is refused with all of them at once, each with its line, its key and what is allowed:

```text
pilotlight.yaml:4: models.chat.tttl: is not a key here; did you mean `ttl`? Allowed: aliases, cmd, ...
pilotlight.yaml:7: models.chat.max_replicas: expected a whole number, found text ("2"); leave out the quotes
```
"""

DEFAULTS = """
## defaults

What stands here holds for every model that does not say otherwise: any key of a model but `aliases`. A model's key
replaces the one here as a whole; mappings such as `env` and `engine_args` are not merged. What is not for a model's
engine is left out there: a model with `engine: command` gets no `source`, `engine_args`, `techniques`,
`sleep_after`, `sleep_level` and `warmer`, every other engine none of the keys of a command.

```yaml
defaults:
  source: hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q8_0.gguf
  scaling: {ttl: auto, max_replicas: 4}
models:
  chat: {}
  code: {ttl: 10m}             # its own ttl, and 4 replicas as above
```
"""

SCALING = """
### scaling

How a model scales. Each of these keys stands in the model or under its `scaling:`, which means the same; the same key
in both places is a mistake.

```yaml
models:
  chat:
    source: hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q8_0.gguf
    scaling:
      ttl: auto
      max_replicas: 4
      schedule:
        - {cron: "0 8 * * 1-5", until: "0 18 * * 1-5", timezone: Europe/Berlin, min_replicas: 2}
      warmer: {max_requests: 1, engine_args: {n_ctx: 1024}, below: 30/h}
```

"""

CRON = """
Both times are five fields: minute (0 to 59), hour (0 to 23), day of the month (1 to 31), month (1 to 12 or `jan` to
`dec`), day of the week (0 to 7 or `sun` to `sat`; 0 and 7 are Sunday). A field is `*`, a number, a range `1-5`, any of
these with a step (`*/15`), or a list of such; when both days begin with something else than `*`, either is enough.
`@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are short for what they say. YAML wants quotes around text
that begins with `*` or `@`.
"""

RELOAD = """
## What a reload applies

`pilotlight reload` and SIGHUP apply a changed file without ending a request. A file with mistakes changes
nothing.

- A model that is new, or gone, comes or goes; one that did not change is not touched.
- A change of {replica} gives the model new replicas, and the old ones finish what they have. For llamacpp so
  does a change of the number of requests that a replica takes at once (`max_requests`, or `target_requests`
  where that is not set).
- `probe_interval` and `probe_timeout` apply to replicas that start after the change; every other key of a model
  applies at once, to running replicas too.
- {restart} wait for a restart, and the reload says so. The other keys of the file apply at once: when `memory`
  or `gpus` shrink, idle replicas go, and busy ones finish first.
"""


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "objective": Objective,
    "prices": Prices,
    "simulation": Simulation,
    "simulation.hosts": Hosts,
    "simulation.hosts, when listed": HostKind,
    "simulation.providers, by the name of each": RemoteTroubles,
    "simulation.providers: outages": Outage,
    "providers, by the name of each": Provider,
    "providers: price": Rates,
    "providers: budget": Spending,
    "providers: keep_warm": KeepWarm,
    "api_keys": ApiKey,
    "gpus, when listed": Gpu,
    "engines, by the name of each": EngineSettings,
}


def page() -> str:
    """docs/configuration.md."""
    return "".join(_page())


def _page() -> Iterator[str]:
    model = mi.type_info(Model)
    assert isinstance(model, mi.StructType)
    yield TOP
    yield "\n## The file\n\n" + _table(Config)
    for title, struct in SECTIONS.items():
        yield f"\n## {title}\n\n" + _intro(struct) + _table(struct)
    yield DEFAULTS
    yield "\n## models\n\n" + _intro(Model)
    engines = {"llamacpp:": "For every engine but `command`", "command:": "Only for `engine: command`"}
    rows = {prefix: [f for f in model.fields if unwrap(f.type).text.startswith(prefix)] for prefix in engines}
    special = [f.encode_name for fields in rows.values() for f in fields]
    special += Scaling.__struct_fields__
    yield _rows([f for f in model.fields if f.encode_name not in special])
    for prefix, title in engines.items():
        yield f"\n### {title}\n\n" + _rows(rows[prefix], prefix)
    yield "\n### burst\n\n" + _intro(Burst) + _table(Burst)
    yield SCALING + _table(Scaling)
    yield "\n### schedule, each window\n\n" + _intro(Window) + _table(Window) + CRON
    yield "\n### warmer\n\n" + _intro(Warmer) + _table(Warmer)
    yield _wrapped(RELOAD.format(replica=_keys(OF_REPLICA, "or"), restart=_keys(RESTART, "and")))


def _wrapped(text: str) -> str:
    """List items filled to the width of the page."""
    out: list[str] = []
    for line in text.split("\n"):
        if line.startswith("  ") and out[-1].startswith("- "):
            out[-1] += " " + line.strip()
        else:
            out.append(line)
    return "\n".join(textwrap.fill(x, 110, subsequent_indent="  ") if x.startswith("- ") else x for x in out)


def _keys(names: tuple[str, ...], word: str) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"


def _intro(struct: type[msgspec.Struct]) -> str:
    return f"{(struct.__doc__ or '').strip()}\n\n"


def _table(struct: type[msgspec.Struct]) -> str:
    type_ = mi.type_info(struct)
    assert isinstance(type_, mi.StructType)
    return _rows(type_.fields)


def _rows(fields: "tuple[mi.Field, ...] | list[mi.Field]", prefix: str = "") -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in fields:
        want = unwrap(field.type)
        text = want.text.removeprefix(prefix).strip()
        text = text[:1].upper() + text[1:]
        lines.append(f"| `{field.encode_name}` | {_words(want)} | {_default(field, want)} | {text} |")
    return "\n".join(lines) + "\n"


def _default(field: mi.Field, want: Want) -> str:
    default = default_of(field)
    if required(field) or field.encode_name in ("source", "cmd"):
        return "required"
    if default is None or isinstance(default, msgspec.Struct):
        return ""
    written = as_written(want, default)
    return f"`{written if isinstance(written, str) else json.dumps(written)}`"


_KINDS = {
    "duration": "duration",
    "size": "size",
    "percent": "part",
    "rate": "rate",
    "cron": "time",
    "technique": "technique",
    "engine": "engine",
}
_PLURAL = {
    "text": "names",
    "technique": "techniques",
    "window": "windows",
    "key": "keys",
    "outage": "outages",
    "kind of host": "kinds of hosts",
    "whole number or {id, memory}": "numbers or {id, memory}",
}


def _words(want: Want) -> str:
    if want.kind in _KINDS:
        return _KINDS[want.kind]
    match want.type:
        case mi.VarTupleType(item_type=item):
            return f"list of {_PLURAL[_words(unwrap(item))]}"
        case mi.TupleType(item_types=items):
            return f"[{', '.join(_words(unwrap(item)) for item in items)}]"
        case mi.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case mi.StrType(pattern="^auto$"):
            return "`auto`"
        case mi.DictType(value_type=value):
            return f"mapping of name to {_words(unwrap(value))}"
        case mi.StructType(cls=cls):
            return {
                "ApiKey": "key",
                "EngineSettings": "settings",
                "Gpu": "{id, memory}",
                "HostKind": "kind of host",
                "KeepWarm": "keep_warm",
                "RemoteTroubles": "troubles",
                "Model": "keys of a model",
                "Rates": "price",
                "Spending": "budget",
            }.get(cls.__name__, cls.__name__.lower())
        case mi.UnionType(types=types):
            words = [_words(unwrap(t)) for t in types]
            return " or ".join(w for w in words if w != "whole number" or "number" not in words)
        case mi.BoolType():
            return "true or false"
        case mi.IntType():
            return "whole number"
        case mi.FloatType():
            return "number"
        case _:
            return {"path": "path", "source": "path or URL"}.get(want.kind or "", "text")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a file is not what would be written")
    check = parser.parse_args().check
    files = {
        DOCS / "configuration.md": page(),
        DOCS / "pilotlight.schema.json": json.dumps(schema(), indent=2) + "\n",
    }
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path} is stale; run python tools/generate_config_docs.py\n")
        else:
            path.write_text(files[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
