"""A tree of YAML as a Config: each value against its type, every fault noted, nothing raised.

What a type allows is read off the structs of model.py, so this file knows no key by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as mi

from pilotlight.errors import Problem
from pilotlight.spec.model import Config
from pilotlight.spec.scalars import BAD, Bad, Scalars
from pilotlight.spec.tree import Items, Node, Scalar, Table, dotted
from pilotlight.spec.wants import Want, config_type, group_of, member, quantity, required, struct_type, unwrap
from pilotlight.spec.wording import unknown, wrong
from pilotlight.spec.written import Where, Written


class Reader:
    """One reading of one file. One that is `simulated` needs no models and may hold variables that are not set."""

    def __init__(
        self, file: str, env: Mapping[str, str], engines: tuple[str, ...], simulated: bool = False
    ) -> None:
        self._file = file
        self._simulated = simulated
        self._scalars = Scalars(Path(file).absolute().parent, env, engines, simulated, self._note)
        self.problems: list[Problem] = []
        self.written = Written({}, set(), {}, {}, {})

    def config(self, root: Node | None) -> Config:
        """Best effort: where a value cannot be read its default stands, and a problem is noted."""
        if root is None or (isinstance(root, Scalar) and root.kind == "null"):
            self._note((), 0, "is empty; it needs at least `models`")
            return Config()
        value = self._value(config_type(), root, (), root.line)
        return value if isinstance(value, Config) else Config()

    def of(self, struct: type[msgspec.Struct], root: Node | None) -> Any:
        """Like `config`, for a file of another kind: None where not even a struct could be made of it."""
        if root is None or (isinstance(root, Scalar) and root.kind == "null"):
            return None
        value = self._value(struct_type(struct), root, (), root.line)
        return value if isinstance(value, struct) else None

    def _value(self, type_: mi.Type, node: Node, at: Where, line: int) -> Any:
        """The value, or `BAD` after noting why not. `line` is that of its key."""
        self.written.lines[at] = line
        want = unwrap(type_)
        if isinstance(node, Scalar):
            self.written.texts[at] = node.text
            if node.kind == "null" and want.none:
                return None
        value = self._typed(want, node, at, line)
        if value is BAD:
            self.written.bad.add(at)
        return value

    def _typed(self, want: Want, node: Node, at: Where, line: int) -> Any:
        type_ = want.type
        if isinstance(type_, mi.UnionType):
            return self._union(want, type_, node, at, line)
        if isinstance(node, Table):
            if isinstance(type_, mi.StructType):
                return self._struct(type_, node, at, line)
            if isinstance(type_, mi.DictType):
                return self._dict(type_, node, at, line)
        elif isinstance(node, Items):
            if isinstance(type_, mi.VarTupleType):
                return self._list(type_, node, at)
            if isinstance(type_, mi.TupleType):
                return self._row(type_, node, at, line)
        elif not isinstance(type_, mi.StructType | mi.DictType | mi.VarTupleType | mi.TupleType):
            return self._scalars.read(want, node, at, line)
        return self._wrong(want, node, at, line)

    def _union(self, want: Want, type_: mi.UnionType, node: Node, at: Where, line: int) -> Any:
        amount, one = quantity(type_), member(type_, node)
        if isinstance(node, Scalar) and amount and not (node.plain and node.kind in ("null", "bool")):
            return self._scalars.word_or_quantity(type_, amount, node, at, line)
        if one is None or (isinstance(node, Scalar) and self._scalars.is_other_word(unwrap(one), node)):
            return self._wrong(want, node, at, line)
        return self._typed(unwrap(one), node, at, line)

    def _struct(self, type_: mi.StructType, node: Table, at: Where, line: int) -> Any:
        fields = {f.encode_name: f for f in type_.fields}
        values: dict[str, Any] = {}
        for key, entry in node.entries.items():
            field = fields.get(key)
            if entry.path:
                self.written.paths[(*at, key)] = entry.path
            if field is not None:
                values[field.name] = self._value(field.type, entry.value, (*at, key), entry.line)
            elif at or not key.startswith("x-"):  # x- keys of the file itself are a place for anchors
                self._note((*at, key), entry.line, unknown(key, [*fields, *group_of(type_)]))
        needed = [n for n, f in fields.items() if (f.required if self._simulated else required(f))]
        missing = [n for n in needed if n not in node.entries]
        for name in missing:
            self._note(at, line, f"`{name}` is missing")
        values = {name: v for name, v in values.items() if v is not BAD}
        whole = all(f.name in values for f in type_.fields if f.required)
        return type_.cls(**values) if whole else BAD

    def _dict(self, type_: mi.DictType, node: Table, at: Where, line: int) -> Any:
        key_want = unwrap(type_.key_type)
        values: dict[str, Any] = {}
        for key, entry in node.entries.items():
            where = (*at, key)
            if fault := self._scalars.fault(key_want, key):
                self._note(where, entry.line, f"the name {key!r} {fault}")
            value = self._value(type_.value_type, entry.value, where, entry.line)
            if value is BAD:
                self.written.bad.add(at)
            else:
                values[key] = value
        if len(node.entries) < (type_.min_length or 0) and not self._simulated:
            self._note(at, line, f"needs at least {type_.min_length} entry")
        return values

    def _list(self, type_: mi.VarTupleType, node: Items, at: Where) -> Any:
        read = {
            (*at, i): self._value(type_.item_type, v, (*at, i), v.line) for i, v in enumerate(node.values)
        }
        good = {where: v for where, v in read.items() if v is not BAD}
        self.written.items[at] = list(good)
        if len(good) < len(read):
            self.written.bad.add(at)
        return tuple(good.values())

    def _row(self, type_: mi.TupleType, node: Items, at: Where, line: int) -> Any:
        wanted = len(type_.item_types)
        if len(node.values) != wanted:
            self._note(at, line, f"has {len(node.values)} entries; it needs {wanted}")
            return BAD
        pairs = enumerate(zip(type_.item_types, node.values, strict=True))
        values = [self._value(item, v, (*at, i), v.line) for i, (item, v) in pairs]
        return BAD if any(v is BAD for v in values) else tuple(values)

    def _wrong(self, want: Want, node: Node, at: Where, line: int) -> Bad:
        self._note(at, line, wrong(want, node))
        return BAD

    def _note(self, at: Where, line: int, message: str) -> None:
        self.problems.append(Problem(self._file, line, dotted(self.written.shown(at)), message))
