"""Sets parameters of llama.cpp's server by their names. Standard library only; imported by guest and server alike.

A name is an attribute of xllamacpp's CommonParams, or a dotted path into one of its parts (`sampling.temp`,
`cpuparams.poll`). Enumerations take their members' names, in any case, with or without the common prefix:
`cache_type_k: q8_0`, `pooling_type: mean`, `load_mode: LLAMA_LOAD_MODE_MMAP`.
"""

from __future__ import annotations

import enum
import os.path

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing them would cost a start milliseconds
    from collections.abc import Mapping
    from typing import Any

SHORT = {
    "n_threads": ("cpuparams.n_threads", "cpuparams_batch.n_threads"),
    "n_threads_batch": ("cpuparams_batch.n_threads",),
}
"""Names as on llama.cpp's command line for what lies deeper; more threads for a batch win over `n_threads`."""

RESERVED = ("model", "port", "hostnames", "hf_token", "models_dir", "models_preset", "api_keys")
"""Set by pilotlight, or of no sense behind it."""

_SCALAR = (bool, int, float, str, enum.Enum)


def apply(params: Any, args: Mapping[str, Any]) -> list[str]:
    """Sets every argument; what could not be set, a sentence each."""
    problems: list[str] = []
    for name in sorted(args, key=lambda n: n in SHORT and n != "n_threads"):
        for path in SHORT.get(name, (name,)):
            problem = _set(params, name, path, args[name])
            if problem:
                problems.append(problem)
                break
    return problems


def _set(params: Any, name: str, path: str, value: Any) -> str | None:
    if path.split(".", maxsplit=1)[0] in RESERVED:
        return f"engine_arg {name!r} is set by pilotlight; leave it out"
    *parts, last = path.split(".")
    owner = params
    for part in parts:
        owner = getattr(owner, part, None) if _public(part) else None
    current = getattr(owner, last, None) if _public(last) else None
    if current is None:
        return _unknown(params, name)
    if not isinstance(current, _SCALAR):
        return _not_scalar(name, current)
    try:
        setattr(owner, last, _coerce(current, value))
    except (TypeError, ValueError, OverflowError) as error:
        return f"engine_arg {name!r} cannot be {value!r}: {error}"
    return None


def _public(name: str) -> bool:
    return not name.startswith("_")


def _unknown(params: Any, name: str) -> str:
    import difflib  # noqa: PLC0415

    near = difflib.get_close_matches(name, names(params), n=3, cutoff=0.6)
    hint = (
        f"; did you mean {' or '.join(near)}?" if near else "; see xllamacpp's CommonParams for what there is"
    )
    return f"unknown engine_arg {name!r}{hint}"


def _not_scalar(name: str, current: Any) -> str:
    if isinstance(current, (list, set, dict, tuple)):
        return f"engine_arg {name!r} takes a list or mapping, which cannot be set here"
    inner = [f"{name}.{n}" for n in _scalars(current)][:6]
    return f"engine_arg {name!r} has parts; set them one by one, such as {', '.join(inner)}"


def names(params: Any) -> list[str]:
    """Every name that can be set, two levels deep at most."""
    known = [*SHORT, *_scalars(params)]
    for part in filter(_public, dir(params)):
        value = getattr(params, part, None)
        if type(value).__module__.startswith("xllamacpp") and not isinstance(value, enum.Enum):
            known += [f"{part}.{name}" for name in _scalars(value)]
    return [name for name in known if name.split(".")[0] not in RESERVED]


def _scalars(owner: Any) -> list[str]:
    return [name for name in dir(owner) if _public(name) and isinstance(getattr(owner, name, None), _SCALAR)]


def _coerce(current: Any, value: Any) -> Any:
    """The value as the type that the parameter has. Raises ValueError saying what is allowed."""
    if isinstance(current, enum.Enum):
        return _member(type(current), value)
    if isinstance(current, bool):
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
        raise ValueError("it is true or false")
    if isinstance(value, bool):
        raise ValueError("it is not true or false")
    if isinstance(current, int):
        if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            return int(value)
        raise ValueError("it is a whole number")
    if isinstance(current, float):
        if isinstance(value, (int, float)):
            return float(value)
        raise ValueError("it is a number")
    return str(value)


def _member(kind: type[enum.Enum], value: Any) -> enum.Enum:
    members: dict[str, enum.Enum] = dict(kind.__members__)
    # Up to the last underscore, for members themselves may begin alike (Q4_0, Q4_1).
    prefix = os.path.commonprefix(list(members)).rpartition("_")[0]  # noqa: RUF071
    short = {name[len(prefix) :].lstrip("_").lower(): member for name, member in members.items()}
    for bound in ("count", "max_value"):
        short.pop(bound, None)
    known = {name.lower(): member for name, member in members.items()} | short
    text = str(value).lower().replace("-", "_")
    if text not in known:
        raise ValueError(f"it is one of {', '.join(short)}")
    return known[text]
