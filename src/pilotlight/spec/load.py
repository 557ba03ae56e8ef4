"""A config file as a Config, or every problem in it at once."""

from collections.abc import Mapping
from pathlib import Path

from pilotlight.errors import ConfigError, Problem
from pilotlight.spec.flatten import flatten
from pilotlight.spec.model import Config
from pilotlight.spec.read import Reader
from pilotlight.spec.rules import check
from pilotlight.spec.tree import Table, read_tree
from pilotlight.spec.types import ENGINES

MAX_BYTES = 512 * 1024
"""A file of a thousand models has some 300 KB; anything much larger is not a config file."""


def load(
    path: Path, env: Mapping[str, str], engines: tuple[str, ...] = ENGINES, *, simulated: bool = False
) -> Config:
    """The config in the file at `path`. `env` fills `${NAME}` and tells which keys are set.

    One that is only `simulated` may be without models, and its models without what they run: nothing is asked
    about sources, commands, folders and the keys in the environment.

    Raises ConfigError with every problem found.
    """
    return parse(_read(path), str(path), env, engines, simulated=simulated)


def line_of(path: Path, *keys: str) -> int:
    """Where a key stands in a file that loads, for faults that only an engine can find; 0 when it is not there."""
    root, _ = read_tree(_read(path), str(path))
    node, _ = flatten(root, str(path), {})
    line = 0
    for key in keys:
        entry = node.entries.get(key) if isinstance(node, Table) else None
        if entry is None:
            break
        line, node = entry.line, entry.value
    return line


def parse(
    text: str,
    file: str,
    env: Mapping[str, str],
    engines: tuple[str, ...] = ENGINES,
    *,
    simulated: bool = False,
) -> Config:
    """The config in `text`. `file` is what problems call it; its folder is where relative paths start.

    Raises ConfigError with every problem found.
    """
    root, problems = read_tree(text, file)
    flat, faults = flatten(root, file, env)
    reader = Reader(file, env, engines, simulated)
    config = reader.config(flat)
    problems += [*faults, *reader.problems]
    problems += check(config, reader.written, file, env, simulated)
    if problems:
        # What `defaults` say is read with each model, so the same problem is found many times.
        raise ConfigError(sorted(dict.fromkeys(problems), key=lambda p: p.line))
    return config


def _read(path: Path) -> str:
    try:
        if path.is_fifo() and not path.is_relative_to("/dev") and not path.is_relative_to("/proc"):
            # It would be waited for, and for ever.
            raise OSError(0, "it is a named pipe; name a file, or give /dev/stdin")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) <= MAX_BYTES:
            return data.decode("utf-8-sig")
        fault = f"is larger than {MAX_BYTES // 1024} KiB, which no config file is"
    except FileNotFoundError:
        fault = "does not exist; `pilotlight init` writes a starter"
    except IsADirectoryError:
        fault = "is a directory; name the file in it"
    except UnicodeDecodeError as e:
        line = e.object.count(b"\n", 0, e.start) + 1
        raise ConfigError([Problem(str(path), line, "", "is not UTF-8; save it as UTF-8")]) from e
    except (OSError, ValueError) as e:
        fault = f"cannot be read: {getattr(e, 'strerror', None) or e}"
    raise ConfigError([Problem(str(path), 0, "", fault)])
