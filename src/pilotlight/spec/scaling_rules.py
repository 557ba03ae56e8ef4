"""What holds between the keys that say how one model scales, a function for each rule."""

import functools
import zoneinfo
from collections.abc import Callable

from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model_rules import Faults, Here
from pilotlight.units import FOREVER, format_duration


def replicas_are_in_order(here: Here) -> Faults:
    model = here.model
    also = "" if here.given("max_replicas") else " (its default)"
    rest = f"is more than max_replicas, which is {model.max_replicas}{also}"
    if model.min_replicas > model.max_replicas:
        yield ("min_replicas",), f"{model.min_replicas} {rest}"
    if not isinstance(model.base, str) and model.base > model.max_replicas:
        yield ("base",), f"{model.base} {rest}"


def windows_fit(here: Here) -> Faults:
    most = here.model.max_replicas
    for where, window in here.windows():
        if window.min_replicas > most:
            also = "" if here.given("max_replicas") else " (its default)"
            text = f"{window.min_replicas} is more than max_replicas, which is {most}{also}"
            yield (*where, "min_replicas"), text


def windows_end(here: Here) -> Faults:
    for where, window in here.windows():
        at = (*here.at, *where)
        if not here.written.bad.isdisjoint({(*at, "until"), (*at, "for")}):
            continue
        if window.until is None and window.lasts is None:
            yield where, "says not when it ends; write `until` or `for`"
        if window.until is not None and window.lasts is not None:
            yield (*where, "for"), "is given beside `until`; leave one of them out"


def timezones_are_known(here: Here) -> Faults:
    for where, window in here.windows():
        if fault := _timezone_fault(window.timezone):
            yield (*where, "timezone"), f"{window.timezone[:60]!r} {fault}"


@functools.lru_cache(maxsize=256)
def _timezone_fault(name: str) -> str | None:
    """Why this machine cannot tell the time there. Reads its database of time zones."""
    if name == "UTC":  # known without a database
        return None
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    else:
        return None
    import difflib  # noqa: PLC0415 - only a faulty file pays for it

    known = zoneinfo.available_timezones()
    if not known:
        return "cannot be looked up: this machine has no time zones; install the package tzdata"
    close = difflib.get_close_matches(name[:60], known, 1)
    hint = f"did you mean `{close[0]}`?" if close else "write one like Europe/Berlin or UTC"
    return f"is not a time zone; {hint}"


def a_learned_ttl_stands_alone(here: Here) -> Faults:
    if here.model.ttl_is_auto and here.given("ttl_to_zero"):
        yield (
            ("ttl_to_zero",),
            "is given beside `ttl: auto`, which learns when the last one goes; leave one out",
        )


def it_sleeps_before_it_goes(here: Here) -> Faults:
    """What is kept up whatever comes does not sleep of itself, and of the rest one stays longest."""
    model = here.model
    if model.sleep_after == FOREVER:
        return
    kept = model.min_replicas if isinstance(model.base, str) else max(model.min_replicas, model.base)
    if kept >= model.max_replicas:
        if not here.shared("sleep_after"):
            key = "min_replicas" if model.min_replicas >= model.max_replicas else "base"
            text = f"never comes: `{key}` keeps up, and awake, as many as there may be ({model.max_replicas})"
            yield ("sleep_after",), f"{text}; leave it out, or raise `max_replicas`"
        return
    stays = {"ttl": model.ttl_for(last=False)} if model.max_replicas > 1 else {}
    if not kept:
        key = "ttl" if model.ttl_to_zero is None else "ttl_to_zero"
        whole = model.warmer is not None and fingerprint(model.small()) == fingerprint(model)
        stays[key] = FOREVER if whole else max(stays.get(key, 0.0), model.ttl_for(last=True))
    key = max(stays, key=lambda key: stays[key])
    if model.sleep_after >= stays[key] and stays[key] != FOREVER:
        also = "" if here.given(key) else ", its default"
        text = f"{format_duration(model.sleep_after)} is not before a replica is gone, at {format_duration(stays[key])}"
        yield ("sleep_after",), f"{text} (`{key}`{also}); make it shorter, or the `{key}` longer"


def it_may_sleep(here: Here) -> Faults:
    """A model that opts out of what `defaults` says for all is no contradiction."""
    model = here.model
    if model.sleep_after == FOREVER or model.techniques is None or "sleep" in model.techniques:
        return
    if here.shared("techniques") or not here.shared("sleep_after"):
        yield (
            ("sleep_after",),
            "never comes: `techniques` leaves `sleep` out; add it there, or leave this out",
        )


def techniques_are_named_once(here: Here) -> Faults:
    seen: set[str] = set()
    places = here.written.items.get((*here.at, "techniques"), [])
    for where, name in zip(places, here.model.techniques or (), strict=True):
        if name in seen:
            yield where[len(here.at) :], f"{name!r} is listed already"
        seen.add(name)


def a_warmer_gets_devices(here: Here) -> Faults:
    warmer = here.model.warmer
    if warmer is None or warmer.gpu_memory is None:
        return
    gpus = here.model.gpus if warmer.gpus is None else warmer.gpus
    if gpus == 0:
        yield ("warmer", "gpu_memory"), "is set but it has no devices; write `gpus: 1`, or leave it out"


RULES: tuple[tuple[Callable[[Here], Faults], tuple[str, ...]], ...] = (
    (replicas_are_in_order, ("min_replicas", "max_replicas", "base")),
    (windows_fit, ("max_replicas",)),
    (windows_end, ()),
    (timezones_are_known, ()),
    (a_learned_ttl_stands_alone, ("ttl",)),
    (
        it_sleeps_before_it_goes,
        ("ttl", "ttl_to_zero", "sleep_after", "min_replicas", "max_replicas", "base", "warmer"),
    ),
    (it_may_sleep, ("sleep_after", "techniques")),
    (techniques_are_named_once, ()),
    (a_warmer_gets_devices, ("warmer", "gpus")),
)
"""Each rule with the keys it reads; it is left out where one of them could not be read."""
