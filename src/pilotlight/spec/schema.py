"""The JSON schema (draft 2020-12) of a config file, for editors: completion, descriptions, mistakes as you type.

It says all that holds of one key. What the loader asks beyond it needs more than the file: variables that are
set, files that exist, names that differ. Whatever the loader takes, the schema takes too.
"""

from typing import Any

import msgspec
from msgspec import inspect as mi

from pilotlight.spec.scaling import Warmer
from pilotlight.spec.types import ENGINES, OF_COMMAND, OF_LLAMACPP, TECHNIQUES
from pilotlight.spec.wants import (
    DEFAULTS,
    LARGEST,
    LONGEST,
    Want,
    config_type,
    group_of,
    quantity,
    required,
    struct_type,
    unwrap,
)
from pilotlight.units import FOREVER, format_fraction

Schema = dict[str, Any]

_VARIABLE: Schema = {"type": "string", "pattern": r"\$"}
"""Text that holds a variable may become anything."""

_NUMBER = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"
_PARTS = r"([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+"
_RATE = r"^\s*[0-9]+(\.[0-9]+)?\s*/\s*(s|m|h|d)\s*$"
_SIZE = r"^\s*[0-9]+(\.[0-9]+)?\s*([bB]|[kKmMgGtT][iI]?[bB]?)?\s*$"


def schema() -> Schema:
    """The whole schema, as a value for any JSON encoder."""
    defs: dict[str, Schema] = {}
    root = _struct(config_type(), defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pilotlight config",
        **root,
        **_of_the_file(),
        "patternProperties": {"^x-": {"description": "Not read; a place for YAML anchors."}},
        "$defs": defs,
    }


def as_written(want: Want, value: Any) -> Any:
    """A value as a person would write it in YAML: 300.0 seconds as `5m`, bytes as `64MiB`."""
    if isinstance(want.type, mi.UnionType) and isinstance(value, float):
        want = quantity(want.type) or want
    if want.kind == "percent" and isinstance(value, float):
        return format_fraction(value)
    if want.kind == "duration" and isinstance(value, int | float):
        return _duration_text(value)
    if want.kind == "size" and isinstance(value, int):
        return _size_text(value)
    return msgspec.to_builtins(value, enc_hook=float)  # an example price is a float of its own type


def default_of(field: mi.Field) -> Any:
    """The default of a key in the struct's own terms; NODEFAULT when it has none."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _duration_text(seconds: float) -> str | int:
    if seconds == FOREVER:
        return -1
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"


def _size_text(n: int) -> str:
    for unit, length in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n and n % length == 0:
            return f"{n // length}{unit}"
    return f"{n}B"


def _struct(type_: mi.Type, defs: dict[str, Schema]) -> Schema:
    assert isinstance(type_, mi.StructType)
    out: Schema = {
        "type": "object",
        "description": (type_.cls.__doc__ or "").strip(),
        "properties": {field.encode_name: _field(field, defs) for field in type_.fields},
        "additionalProperties": False,
    }
    for key, group in group_of(type_).items():
        text = (group.__doc__ or "").strip()
        out["properties"][key] = {"description": text, **_bare(unwrap(struct_type(group)), defs)}
    if needed := [field.encode_name for field in type_.fields if field.required]:
        out["required"] = needed
    return out


def _of_the_file() -> Schema:
    """A file that is only simulated needs no models; what a model runs may stand in `defaults`, too."""
    elsewhere: Schema = {"anyOf": [{"required": [DEFAULTS]}, {"required": ["simulation"]}]}
    needed = [field.encode_name for field in _fields(config_type()) if required(field)]
    return {
        "allOf": [
            {
                "if": {"not": {"required": ["simulation"]}},
                "then": {"required": needed, "properties": {"models": {"minProperties": 1}}},
            },
            {
                "if": {"not": elsewhere},
                "then": {"properties": {"models": {"additionalProperties": _by_engine()}}},
            },
        ]
    }


def _fields(type_: mi.Type) -> tuple[mi.Field, ...]:
    return type_.fields if isinstance(type_, mi.StructType) else ()


def _by_engine() -> Schema:
    """A command has keys of its own; every other engine has weights."""
    none: Schema = {"type": "null"}
    command: Schema = {"properties": {"engine": {"const": "command"}}, "required": ["engine"]}
    others: Schema = {"properties": {"engine": {"not": {"const": "command"}}}}
    smaller = [name for name in Warmer.__struct_fields__ if name != "below"]
    return {
        "allOf": [
            {
                "if": command,
                "then": {
                    "required": ["cmd"],
                    "properties": {
                        "cmd": {"type": "string"},
                        **dict.fromkeys(OF_LLAMACPP, none),
                        "warmer": {"properties": dict.fromkeys(smaller, none)},
                    },
                },
            },
            {
                "if": others,
                "then": {
                    "required": ["source"],
                    "properties": {"source": {"type": "string"}, **dict.fromkeys(OF_COMMAND, none)},
                },
            },
        ]
    }


def _field(field: mi.Field, defs: dict[str, Schema]) -> Schema:
    want = unwrap(field.type)
    default = default_of(field)
    out: Schema = {"description": want.text, **_type(want, defs)} if want.text else _type(want, defs)
    if default is not msgspec.NODEFAULT and not required(field) and not isinstance(want.type, mi.StructType):
        out["default"] = as_written(want, default)
    return out


def _type(want: Want, defs: dict[str, Schema]) -> Schema:
    one = _bare(want, defs)
    if not want.none:
        return one
    if "anyOf" in one:
        return {**one, "anyOf": [*one["anyOf"], {"type": "null"}]}
    return {"anyOf": [one, {"type": "null"}]}


def _bare(want: Want, defs: dict[str, Schema]) -> Schema:
    match want.type:
        case mi.StructType() as struct:
            name = struct.cls.__name__
            if name not in defs:
                defs[name] = _struct(struct, defs)
            return {"$ref": f"#/$defs/{name}"}
        case mi.DictType() as table:
            return {
                "type": "object",
                "propertyNames": _key(unwrap(table.key_type)),
                "additionalProperties": _type(unwrap(table.value_type), defs),
            }
        case mi.VarTupleType() as items:
            least = {"minItems": items.min_length} if items.min_length else {}
            return {"type": "array", "items": _type(unwrap(items.item_type), defs), **least}
        case mi.TupleType() as row:
            each = [_type(unwrap(item), defs) for item in row.item_types]
            return {"type": "array", "prefixItems": each, "items": False, "minItems": len(each)}
        case mi.UnionType() as union:
            return {"anyOf": [_type(unwrap(t), defs) for t in union.types]}
        case mi.BoolType():
            return {"type": "boolean"}
        case mi.LiteralType() as words:
            return {"anyOf": [{"type": "string", "enum": list(words.values)}, _VARIABLE]}
        case mi.StrType():
            return _text(want)
        case _:
            return _quantity(want)


def _key(want: Want) -> Schema:
    return {"enum": list(ENGINES)} if want.kind == "engine" else _name(want)


def _name(want: Want) -> Schema:
    assert isinstance(want.type, mi.StrType)
    out: Schema = {"minLength": want.type.min_length} if want.type.min_length else {}
    return out | ({"pattern": want.type.pattern} if want.type.pattern else {})


def _text(want: Want) -> Schema:
    assert isinstance(want.type, mi.StrType)
    if want.kind == "engine":
        return {"anyOf": [{"type": "string", "enum": list(ENGINES)}, _VARIABLE]}
    if want.kind == "technique":
        return {"anyOf": [{"type": "string", "enum": list(TECHNIQUES)}, _VARIABLE]}
    if want.kind == "cron":
        return {"type": "string", "examples": ["0 8 * * 1-5", "@daily"]}
    out: Schema = {"type": "string", **_name(want)}
    return {"anyOf": [out, _VARIABLE]} if want.type.pattern else out


def _quantity(want: Want) -> Schema:
    if want.kind == "rate":
        return {"anyOf": [{"type": "string", "pattern": _RATE}, _VARIABLE], "examples": ["2/m", "30/h"]}
    number = _number(want)
    if want.kind == "percent":
        part: Schema = {"type": "string", "pattern": rf"^\s*{_NUMBER}\s*%?\s*$"}
        return {"anyOf": [part, number, _VARIABLE], "examples": ["5%", 0.05]}
    if want.kind == "size":
        text: Schema = {"type": "string", "pattern": _SIZE}
        return {"anyOf": [text, number, _VARIABLE], "examples": ["512MiB", "16GiB"]}
    if want.kind == "duration":
        sign = "-?" if want.extra.get("never") else ""
        text = {"type": "string", "pattern": rf"^\s*{sign}({_NUMBER}|{_PARTS})\s*$"}
        never = [-1] if want.extra.get("never") else []
        return {"anyOf": [text, number, _VARIABLE], "examples": ["250ms", "30s", "5m", "1h30m", *never]}
    return number


def _number(want: Want) -> Schema:
    type_ = want.type
    assert isinstance(type_, mi.IntType | mi.FloatType)
    whole = isinstance(type_, mi.IntType)
    limits: dict[str, float | None] = {
        "minimum": type_.ge,
        "exclusiveMinimum": type_.gt,
        "maximum": type_.le if type_.le is not None else LARGEST if whole else None,
    }
    if want.kind == "duration":
        limits["maximum"] = LONGEST
    rest: Schema = {}
    if want.extra.get("never"):
        rest = {} if type_.gt is None else {"not": {"const": 0}}
        limits["minimum"] = limits["exclusiveMinimum"] = None
    return {
        "type": "integer" if whole and want.kind != "size" else "number",
        **{key: limit for key, limit in limits.items() if limit is not None},
        **rest,
    }
