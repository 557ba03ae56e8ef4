"""What holds between the keys of one file, a function for each rule, and the run of all rules.

A rule gets what was read and yields (where, message) for each fault. It is left out when a key that it reads
could not be read, so that no fault is told twice.
"""

from collections.abc import Callable, Iterator, Mapping

from pilotlight.errors import Problem
from pilotlight.spec import model_rules, provider_rules, scaling_rules, simulation_rules
from pilotlight.spec.model import Config, Gpu
from pilotlight.spec.model_rules import Faults, Here
from pilotlight.spec.tree import dotted
from pilotlight.spec.wants import DEFAULTS
from pilotlight.spec.whole import File
from pilotlight.spec.wording import instead, variable
from pilotlight.spec.written import Where, Written
from pilotlight.units import format_fraction, format_size

LOCAL_KEY = "local-cli"
"""What the server calls the token by which this machine's command line speaks to it."""


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
            yield (*where, "key_env"), f"{variable(name)} is not set; it holds the key"
        elif not value.strip():
            yield (*where, "key_env"), f"{variable(name)} is empty; it holds the key"
        elif value != value.strip():
            yield (
                (*where, "key_env"),
                f"{variable(name)} begins or ends with a space or line break",
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


def stand_ins_are_other_models(file: File) -> Faults:
    known = set(file.models())
    default = file.config.default_model.stand_in
    if default is not None and default not in known:
        yield (DEFAULTS, "stand_in"), _no_model(default, known)
    for name, model in file.config.models.items():
        where: Where = ("models", name, "stand_in")
        if model.stand_in == name:
            yield where, "is the model itself; name another one, or write `stand_in: null` here for none"
        elif model.stand_in is not None and model.stand_in not in known:
            yield where, _no_model(model.stand_in, known)


def _no_model(name: str, known: set[str]) -> str:
    return f"{name!r} is not a model of this file{instead(name, known)}"


def the_band_has_a_width(file: File) -> Faults:
    low, high = file.config.objective.cold_rate or (0.0, 1.0)
    if low >= high:
        text = f"the lower edge {format_fraction(low)} is not below the upper one {format_fraction(high)}"
        yield ("objective", "cold_rate"), f"{text}; write it like [2%, 5%]"


FILE_RULES: tuple[tuple[Callable[[File], Faults], tuple[Where, ...]], ...] = (
    (names_are_given_once, ()),
    (devices_are_listed_once, ()),
    (keys_differ, ()),
    (keys_name_models, ()),
    (kept_replicas_fit, (("memory",),)),
    (stand_ins_are_other_models, ()),
    (the_band_has_a_width, (("objective", "cold_rate"),)),
    *provider_rules.RULES,
    *simulation_rules.RULES,
)
"""Each with the keys it reads; it is left out where one of them could not be read."""

RUNNING: tuple[tuple[Callable[[File], Faults], tuple[Where, ...]], ...] = (
    (keys_are_set, ()),
    *provider_rules.RUNNING,
)
"""Rules that only matter where the file is served and not simulated."""


def check(
    config: Config, written: Written, file: str, env: Mapping[str, str], simulated: bool = False
) -> list[Problem]:
    """Every fault that the rules find.

    A fault that lies in `defaults` alone is told there; one that a model has only together with a default is told
    at the model.
    """
    faults = list(_of_file(File(config, written, env), simulated))
    for name, model in config.models.items():
        faults += _of_model(Here(("models", name), model, config, written), simulated)
    alone = _of_model(Here((DEFAULTS,), config.default_model, config, written), simulated=True)
    if simulated:  # also models that the file does not name get its defaults
        faults += alone
    known = {(where[1:], text) for where, text in [*alone, *faults] if where[:1] == (DEFAULTS,)}
    return [_problem(written, file, where, text, known) for where, text in faults]


def _of_file(whole: File, simulated: bool) -> Faults:
    for rule, reads in (*FILE_RULES, *(() if simulated else RUNNING)):
        if whole.written.bad.isdisjoint(reads):
            yield from rule(whole)


def _of_model(here: Here, simulated: bool) -> list[tuple[Where, str]]:
    rules = (*model_rules.RULES, *scaling_rules.RULES, *(() if simulated else model_rules.RUNNING))
    good = (rule for rule, keys in rules if here.written.bad.isdisjoint((*here.at, key) for key in keys))
    return [((*here.at, *where), text) for rule in good for where, text in rule(here)]


def _problem(written: Written, file: str, where: Where, text: str, known: set[tuple[Where, str]]) -> Problem:
    line, shown = _line(written, where), written.shown(where)
    if shown != where and shown[0] == DEFAULTS and (where[2:], text) not in known:
        text = f"`{dotted(where[2:])}`, from `defaults` on line {line}: {text}"
        where = where[:2]
        line, shown = _line(written, where), where
    return Problem(file, line, dotted(shown), text)


def _line(written: Written, where: Where) -> int:
    """Of the key, or of the nearest one around it that is in the file."""
    while where and where not in written.lines:
        where = where[:-1]
    return written.lines.get(where, 0)
