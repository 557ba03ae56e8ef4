"""What holds between the keys that say what one model runs and needs, a function for each rule."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pilotlight.spec.model import Config, Gpu, Model, Window
from pilotlight.spec.sources import FORMS, REPOSITORY_FORMS, repository_fault, source_fault
from pilotlight.spec.types import OF_COMMAND, OF_LLAMACPP, SLEEPLESS
from pilotlight.spec.wants import DEFAULTS
from pilotlight.spec.written import Where, Written
from pilotlight.units import FOREVER, format_size

PORT = "${PORT}"


class Here(NamedTuple):
    """What a rule of one model sees."""

    at: Where
    """Where the model stands."""
    model: Model
    config: Config
    written: Written

    def given(self, key: str) -> bool:
        """Whether the file says something for `key`, right or wrong; null is nothing."""
        at = (*self.at, key)
        return at in self.written.lines and (at in self.written.bad or getattr(self.model, key) is not None)

    def shared(self, key: str) -> bool:
        """Whether it comes from `defaults`."""
        return self.written.paths.get((*self.at, key), ("",))[0] == DEFAULTS

    def text(self, key: str) -> str:
        """The value as written, variables and all."""
        return self.written.texts.get((*self.at, key), "")

    def windows(self) -> "Iterator[tuple[Where, Window]]":
        """Of its schedule those that could be read, each with where it stands in the model."""
        places = self.written.items.get((*self.at, "schedule"), [])
        for where, window in zip(places, self.model.schedule, strict=True):
            yield where[len(self.at) :], window


Faults = Iterator[tuple[Where, str]]
"""Where in the model, and what is wrong."""


def engine_gets_what_it_runs(here: Here) -> Faults:
    if here.model.engine != "command" and not here.given("source"):
        forms = FORMS if here.model.engine == "llamacpp" else REPOSITORY_FORMS
        yield (), f"`source` is missing; write {forms}, or `engine: command` with `cmd`"
    if here.model.engine == "command" and not here.given("cmd"):
        yield (), f"`cmd` is missing; write the command line that serves, with {PORT} where the port goes"


def keys_are_of_the_engine(here: Here) -> Faults:
    foreign, other = (OF_LLAMACPP, "llamacpp") if here.model.engine == "command" else (OF_COMMAND, "command")
    for key in foreign:
        if here.given(key):
            yield (key,), f"is for `engine: {other}`; this model's engine is {here.model.engine}"


def source_is_there(here: Here) -> Faults:
    source = here.model.source
    if here.model.engine == "command" or source is None:
        return
    check = source_fault if here.model.engine == "llamacpp" else repository_fault
    if fault := check(source):
        yield ("source",), f"{here.text('source')!r} {fault}"


def some_engines_do_not_sleep(here: Here) -> Faults:
    """They leave out what `defaults` says of it."""
    engine = here.model.engine
    if engine not in SLEEPLESS:
        return
    text = f"is not for `engine: {engine}`, which cannot be put to sleep; leave it out"
    if here.model.sleep_after != FOREVER and not here.shared("sleep_after"):
        yield ("sleep_after",), text
    places = here.written.items.get((*here.at, "techniques"), [])
    for where, name in zip(places, here.model.techniques or (), strict=True):
        if name == "sleep" and not here.shared("techniques"):
            yield where[len(here.at) :], f"{name!r} {text}"


def a_command_is_its_own_warmer(here: Here) -> Faults:
    """It cannot be made smaller: one full replica stays."""
    warmer = here.model.warmer
    if here.model.engine != "command" or warmer is None:
        return
    text = (
        "is not for `engine: command`, whose command cannot be made smaller; `warmer: {}` keeps one replica"
    )
    for key in warmer.__struct_fields__:
        if key != "below" and getattr(warmer, key) not in (None, {}):
            yield ("warmer", key), text


def commands_can_be_split(here: Here) -> Faults:
    for key, command in (("cmd", here.model.cmd), ("stop_cmd", here.model.stop_cmd)):
        if command is None:
            continue
        try:
            if not shlex.split(command):
                yield (key,), "is empty"
        except ValueError as e:
            yield (key,), f"cannot be split into words: {str(e).lower()}; see its quotes"


def proxy_is_an_address(here: Here) -> Faults:
    proxy = here.model.proxy
    if proxy is None:
        return
    try:
        parts = urlsplit(proxy.replace(PORT, "1"))
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        yield ("proxy",), f"{here.text('proxy')!r} is not an address; write it like http://127.0.0.1:{PORT}"


def port_reaches_the_server(here: Here) -> Faults:
    """Each replica gets its own free port; a server that is not told of it is never found."""
    model = here.model
    if model.cmd is None or model.engine != "command":
        return
    told = PORT in model.cmd or any(PORT in value for value in model.env.values())
    fixed = model.proxy is not None and PORT not in model.proxy
    if not fixed and not told:
        yield ("cmd",), f"says nowhere what port to serve on; put {PORT} in it, or a fixed port in `proxy`"
    if fixed and not _has_port(model.proxy or ""):
        yield ("proxy",), f"names no port; write {PORT} or the port the command serves on"
    if fixed and model.max_replicas > 1:
        text = f"{model.max_replicas} replicas cannot share the port in `proxy`; write {PORT} there"
        yield ("max_replicas",), text


def _has_port(url: str) -> bool:
    """Whether `url` says its port; also true of what is no address at all, which another rule says."""
    try:
        parts = urlsplit(url)
        return parts.port is not None or not parts.hostname
    except ValueError:
        return True


def health_is_a_path(here: Here) -> Faults:
    if not here.model.health.startswith("/"):
        yield ("health",), f"{here.text('health')!r} is not a path; it begins with /, like /health"


def folder_exists(here: Here) -> Faults:
    cwd = here.model.cwd
    if cwd is None:
        return
    try:
        there = Path(cwd).is_dir()
    except (OSError, ValueError):
        there = False
    if not there:
        yield ("cwd",), f"{here.text('cwd')!r} is not a folder ({cwd})"


def gpu_memory_has_gpus(here: Here) -> Faults:
    if here.model.gpu_memory is not None and here.model.gpus == 0:
        yield ("gpu_memory",), "is set but `gpus` is 0; write `gpus: 1`, or leave it out"


def gpus_suffice(here: Here) -> Faults:
    need, listed = here.model.gpus, here.config.gpus
    if need == 0 or isinstance(listed, str):
        return
    if need > len(listed):
        yield ("gpus",), f"{need} devices a replica, but `gpus` of the file lists {len(listed)}"
        return
    least = here.model.gpu_memory or 0
    large = [d for d in listed if not isinstance(d, Gpu) or d.memory >= least]
    if need > len(large):
        text = f"{here.text('gpu_memory')} fits on {len(large)} of the listed devices; a replica needs {need}"
        yield ("gpu_memory",), text


def gpus_are_given_by_the_server(here: Here) -> Faults:
    if here.model.gpus and "CUDA_VISIBLE_DEVICES" in here.model.env:
        where = ("env", "CUDA_VISIBLE_DEVICES")
        yield where, "is set by the server when `gpus` is above 0; leave one of them out"


def memory_suffices(here: Here) -> Faults:
    need, has = here.model.memory, here.config.memory
    if need is not None and has is not None and need > has:
        yield (
            ("memory",),
            f"{format_size(need)} a replica never fits in the file's `memory`, {format_size(has)}",
        )


_Rules = tuple[tuple[Callable[[Here], Faults], tuple[str, ...]], ...]

RULES: _Rules = (
    (gpu_memory_has_gpus, ("gpus", "gpu_memory")),
    (gpus_suffice, ("gpus", "gpu_memory")),
    (memory_suffices, ("memory",)),
)
"""Each rule with the keys it reads; it is left out where one of them could not be read."""

RUNNING: _Rules = (
    (engine_gets_what_it_runs, ("engine",)),
    (keys_are_of_the_engine, ("engine",)),
    (source_is_there, ("engine", "source")),
    (some_engines_do_not_sleep, ("engine", "sleep_after")),
    (a_command_is_its_own_warmer, ("engine", "warmer")),
    (commands_can_be_split, ()),
    (proxy_is_an_address, ("proxy",)),
    (port_reaches_the_server, ("engine", "cmd", "env", "proxy", "max_replicas")),
    (health_is_a_path, ("health",)),
    (folder_exists, ("cwd",)),
    (gpus_are_given_by_the_server, ("gpus",)),
)
"""Rules that only matter where the model is run and not simulated."""
