"""What a key wants: the types of model.py unwrapped, for the loader, its messages and the schema alike."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as mi

from pilotlight.spec.model import Config, Model, Scaling
from pilotlight.spec.tree import Items, Node, Table

LONGEST = 100 * 365 * 86400.0
"""Seconds. A longer wait is written -1; timers overflow on numbers such as 1e300."""

LARGEST = 2**63 - 1

GROUP = "scaling"
"""Where the keys of Scaling may stand in a model; flatten.py takes them out of it."""

DEFAULTS = "defaults"

QUANTITIES = frozenset({"duration", "size", "percent", "rate"})
"""Kinds of a number that is written as text, with its unit."""


class Want(NamedTuple):
    """A type with what its `Meta` adds."""

    type: mi.Type
    extra: Mapping[str, Any]
    text: str = ""
    """Its description."""
    none: bool = False
    """Whether null is allowed."""

    @property
    def kind(self) -> str | None:
        """How the value is written, where its type does not say."""
        return self.extra.get("kind")


@functools.cache
def struct_type(struct: type[msgspec.Struct]) -> mi.Type:
    return mi.type_info(struct)


def config_type() -> mi.Type:
    return struct_type(Config)


def group_of(type_: mi.StructType) -> dict[str, type[msgspec.Struct]]:
    """Keys that are no field of the struct, since what stands in them counts as if it stood beside them."""
    return {GROUP: Scaling} if type_.cls is Model else {}


def unwrap(type_: mi.Type) -> Want:
    extra: dict[str, Any] = {}
    text, none = "", False
    while True:
        if isinstance(type_, mi.Metadata):
            extra |= type_.extra or {}
            text = text or (type_.extra_json_schema or {}).get("description", "")
            type_ = type_.type
        elif isinstance(type_, mi.UnionType) and type_.includes_none:
            rest = tuple(t for t in type_.types if not isinstance(t, mi.NoneType))
            type_ = rest[0] if len(rest) == 1 else mi.UnionType(rest)
            none = True
        else:
            return Want(type_, extra, text, none)


def required(field: mi.Field) -> bool:
    """Whether the key must be in the file; `models` must, though the struct has a default for it."""
    return field.required or bool(unwrap(field.type).extra.get("required"))


def member(union: mi.UnionType, node: Node) -> mi.Type | None:
    """The one type of a union that a value of this look can have."""
    if isinstance(node, Table):
        fits: tuple[type[mi.Type], ...] = (mi.StructType, mi.DictType)
    elif isinstance(node, Items):
        fits = (mi.VarTupleType, mi.TupleType)
    else:
        fits = _SCALARS.get(node.kind, ())
    for fit in fits:
        for candidate in union.types:
            if isinstance(unwrap(candidate).type, fit):
                return candidate
    return None


def quantity(union: mi.UnionType) -> Want | None:
    """The one of its types that is a number with a unit."""
    return next((want for want in map(unwrap, union.types) if want.kind in QUANTITIES), None)


_SCALARS: dict[str, tuple[type[mi.Type], ...]] = {
    "text": (mi.StrType,),
    "bool": (mi.BoolType,),
    "int": (mi.IntType, mi.FloatType),
    "float": (mi.FloatType,),
}
