"""What holds between the keys of one file, a function for each rule, and the run of all rules.

A rule gets what was read and yields (where, message) for each fault. It is left out when a key that it reads
could not be read, so that no fault is told twice.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from pilotlight.errors import Problem
from pilotlight.spec import model_rules
from pilotlight.spec.model import Config, Gpu
from pilotlight.spec.model_rules import Faults, Here
from pilotlight.spec.read import Where, Written
from pilotlight.spec.tree import dotted
from pilotlight.spec.wording import instead
from pilotlight.units import format_size

LOCAL_KEY = "local-cli"
"""What the server calls the token by which this machine's command line speaks to it."""


class File(NamedTuple):
    """What a rule of the whole file sees."""

    config: Config
    written: Written
    env: Mapping[str, str]

    def models(self) -> list[str]:
        """The names of all models, also of those that could not be read."""
        return [str(where[1]) for where in self.written.lines if len(where) == 2 and where[0] == "models"]

    def aliases(self) -> Iterator[tuple[Where, str, str]]:
        """Where it stands, the model, the alias."""
        for name, model in self.config.models.items():
            places = self.written.items.get(("models", name, "aliases"), [])
            yield from ((where, name, alias) for where, alias in zip(places, model.aliases, strict=True))

    def place(self, where: Where) -> str:
        return f"{dotted(where)} on line {self.written.lines[where]}"


def names_are_given_once(file: File) -> Faults:
    models = set(file.models())
    first: dict[str, Where] = {}
    for where, name, alias in file.aliases():
        if alias == name:
            yield where, f"{alias!r} is the model's own name; leave it out"
        elif alias in models:
            yield where, f"{alias!r} is the name of another model; each name may mean one model only"
        elif alias in first:
            yield where, f"{alias!r} is an alias already: {file.place(first[alias])}"
        else:
            first[alias] = where


def devices_are_listed_once(file: File) -> Faults:
    seen: dict[int, Where] = {}
    devices = () if isinstance(file.config.gpus, str) else file.config.gpus
    for where, device in zip(file.written.items.get(("gpus",), []), devices, strict=True):
        number = device.id if isinstance(device, Gpu) else device
        if number in seen:
            yield where, f"device {number} is listed already: {dotted(seen[number])}"
        seen.setdefault(number, where)


def _keys(file: File) -> Iterator[tuple[Where, int]]:
    return zip(file.written.items.get(("api_keys",), []), range(len(file.config.api_keys)), strict=True)


def keys_are_set(file: File) -> Faults:
    for where, i in _keys(file):
        name = file.config.api_keys[i].key_env
        value = file.env.get(name)
        if value is None:
            yield (*where, "key_env"), f"the environment variable {name} is not set; it holds the key"
        elif not value.strip():
            yield (*where, "key_env"), f"the environment variable {name} is empty; it holds the key"
        elif value != value.strip():
            yield (
                (*where, "key_env"),
                f"the environment variable {name} begins or ends with a space or line break",
            )


def keys_differ(file: File) -> Faults:
    names: dict[str, Where] = {}
    secrets: dict[str, Where] = {}
    for where, i in _keys(file):
        key = file.config.api_keys[i]
        if key.name == LOCAL_KEY:
            yield (
                (*where, "name"),
                f"{key.name!r} is what the command line's own key is called; choose another",
            )
        if key.name in names:
            yield (*where, "name"), f"{key.name!r} is the name of another key: {file.place(names[key.name])}"
        names.setdefault(key.name, (*where, "name"))
        secret = file.env.get(key.key_env)
        if secret and secret in secrets:
            yield (*where, "key_env"), f"holds the same key as {file.place(secrets[secret])}"
        if secret:
            secrets.setdefault(secret, (*where, "key_env"))


def keys_name_models(file: File) -> Faults:
    known = {*file.models(), *(alias for _, _, alias in file.aliases())}
    for where, i in _keys(file):
        places = file.written.items.get((*where, "models"), [])
        for place, model in zip(places, file.config.api_keys[i].models or (), strict=True):
            if known and model not in known:
                yield place, f"{model!r} is not a model or an alias{instead(model, known)}"


def kept_replicas_fit(file: File) -> Faults:
    has = file.config.memory
    need = sum((m.memory or 0) * m.min_replicas for m in file.config.models.values())
    largest = max((m.memory or 0 for m in file.config.models.values()), default=0)
    if has is not None and need > has >= largest:
        yield (
            ("memory",),
            f"{format_size(has)} is less than the min_replicas of all models need, {format_size(need)}",
        )


FILE_RULES: tuple[tuple[Callable[[File], Faults], tuple[Where, ...]], ...] = (
    (names_are_given_once, ()),
    (devices_are_listed_once, ()),
    (keys_are_set, ()),
    (keys_differ, ()),
    (keys_name_models, ()),
    (kept_replicas_fit, (("memory",),)),
)


def check(config: Config, written: Written, file: str, env: Mapping[str, str]) -> list[Problem]:
    """Every fault that the rules find."""
    return [
        Problem(file, _line(written, where), dotted(where), text)
        for where, text in _faults(config, written, env)
    ]


def _faults(config: Config, written: Written, env: Mapping[str, str]) -> Faults:
    whole = File(config, written, env)
    for rule, reads in FILE_RULES:
        if written.bad.isdisjoint(reads):
            yield from rule(whole)
    for name, model in config.models.items():
        here = Here(name, model, config, written)
        for rule, keys in model_rules.RULES:
            if written.bad.isdisjoint(("models", name, key) for key in keys):
                for where, text in rule(here):
                    yield ("models", name, *where), text


def _line(written: Written, where: Where) -> int:
    """Of the key, or of the nearest one around it that is in the file."""
    while where and where not in written.lines:
        where = where[:-1]
    return written.lines.get(where, 0)
