"""A tree of YAML as a Config: each value against its type, every fault noted, nothing raised.

What a type allows is read off the structs of model.py, so this file knows no key by name.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as mi

from pilotlight.errors import Problem
from pilotlight.spec import cron
from pilotlight.spec.model import Config
from pilotlight.spec.sources import is_repository
from pilotlight.spec.tree import Items, Node, Scalar, Table, dotted
from pilotlight.spec.types import TECHNIQUES
from pilotlight.spec.variables import LATER, fill
from pilotlight.spec.wants import (
    QUANTITIES,
    Want,
    config_type,
    group_of,
    member,
    quantity,
    required,
    struct_type,
    unwrap,
)
from pilotlight.spec.wording import instead, range_fault, short, text_fault, unknown, wrong
from pilotlight.spec.written import Where, Written
from pilotlight.units import FOREVER, parse_duration, parse_fraction, parse_rate, parse_size

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_LATER_KINDS = frozenset({"template", "command"})
_OF_RUNNING = frozenset({"template", "command", "source", "path"})
"""Kinds of text that only matter to a replica that is started."""

_PARSERS: Mapping[str, Callable[[str], float]] = {
    "duration": parse_duration,
    "size": parse_size,
    "percent": parse_fraction,
    "rate": parse_rate,
}


class _Bad:
    """In place of a value that could not be read."""


_BAD = _Bad()


class Reader:
    """One reading of one file. One that is `simulated` needs no models and may hold variables that are not set."""

    def __init__(
        self, file: str, env: Mapping[str, str], engines: tuple[str, ...], simulated: bool = False
    ) -> None:
        self._file = file
        self._env = env
        self._engines = engines
        self._simulated = simulated
        self._base = Path(file).absolute().parent
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

    # -- by type ---------------------------------------------------------------------------------------------

    def _value(self, type_: mi.Type, node: Node, at: Where, line: int) -> Any:
        """The value, or `_BAD` after noting why not. `line` is that of its key."""
        self.written.lines[at] = line
        want = unwrap(type_)
        if isinstance(node, Scalar):
            self.written.texts[at] = node.text
            if node.kind == "null" and want.none:
                return None
        value = self._typed(want, node, at, line)
        if value is _BAD:
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
            return self._scalar(want, node, at, line)
        return self._wrong(want, node, at, line)

    def _union(self, want: Want, type_: mi.UnionType, node: Node, at: Where, line: int) -> Any:
        amount, one = quantity(type_), member(type_, node)
        if isinstance(node, Scalar) and amount and not (node.plain and node.kind in ("null", "bool")):
            return self._word_or_quantity(type_, amount, node, at, line)
        if one is None or (isinstance(node, Scalar) and self._is_other_word(unwrap(one), node)):
            return self._wrong(want, node, at, line)
        return self._typed(unwrap(one), node, at, line)

    def _is_other_word(self, want: Want, node: Scalar) -> bool:
        """Whether a word such as `auto` is wanted, and this is another one: then all that is allowed is said."""
        fixed = isinstance(want.type, mi.StrType) and want.type.pattern and "$" not in node.text
        return bool(fixed) and self._fault(want, node.text) is not None

    def _word_or_quantity(self, type_: mi.UnionType, amount: Want, node: Scalar, at: Where, line: int) -> Any:
        text = self._filled(node, at, line, frozenset())
        if text is None:
            return _BAD
        words = [want for want in map(unwrap, type_.types) if isinstance(want.type, mi.StrType)]
        if any(self._fault(want, text) is None for want in words):
            return text
        forms = "".join(f", or {want.extra['form']}" for want in words if "form" in want.extra)
        return self._quantity(amount, node, at, line, forms)

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
        values = {name: v for name, v in values.items() if v is not _BAD}
        whole = all(f.name in values for f in type_.fields if f.required)
        return type_.cls(**values) if whole else _BAD

    def _dict(self, type_: mi.DictType, node: Table, at: Where, line: int) -> Any:
        key_want = unwrap(type_.key_type)
        values: dict[str, Any] = {}
        for key, entry in node.entries.items():
            where = (*at, key)
            if fault := self._fault(key_want, key):
                self._note(where, entry.line, f"the name {key!r} {fault}")
            value = self._value(type_.value_type, entry.value, where, entry.line)
            if value is _BAD:
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
        good = {where: v for where, v in read.items() if v is not _BAD}
        self.written.items[at] = list(good)
        if len(good) < len(read):
            self.written.bad.add(at)
        return tuple(good.values())

    def _row(self, type_: mi.TupleType, node: Items, at: Where, line: int) -> Any:
        wanted = len(type_.item_types)
        if len(node.values) != wanted:
            self._note(at, line, f"has {len(node.values)} entries; it needs {wanted}")
            return _BAD
        pairs = enumerate(zip(type_.item_types, node.values, strict=True))
        values = [self._value(item, v, (*at, i), v.line) for i, (item, v) in pairs]
        return _BAD if any(v is _BAD for v in values) else tuple(values)

    # -- scalars ---------------------------------------------------------------------------------------------

    def _scalar(self, want: Want, node: Scalar, at: Where, line: int) -> Any:
        if want.kind in QUANTITIES:
            return self._quantity(want, node, at, line)
        if isinstance(want.type, mi.StrType | mi.LiteralType):
            return self._text(want, node, at, line)
        if isinstance(want.type, mi.BoolType):
            return node.text.lower() == "true" if node.kind == "bool" else self._wrong(want, node, at, line)
        return self._number(want, node, at, line)

    def _number(self, want: Want, node: Scalar, at: Where, line: int) -> Any:
        whole = isinstance(want.type, mi.IntType)
        if node.kind != "int" and (whole or node.kind != "float"):
            return self._wrong(want, node, at, line)
        # A long run of digits is out of any range, and int() would refuse to look at it.
        value = math.inf if len(node.text) > 30 and whole else int(node.text) if whole else float(node.text)
        return self._within(want, value, node, at, line)

    def _quantity(self, want: Want, node: Scalar, at: Where, line: int, forms: str = "") -> Any:
        """`forms`: what else may be written, said of a value that is no quantity."""
        if node.plain and node.kind in ("null", "bool"):
            return self._wrong(want, node, at, line)
        text = self._filled(node, at, line, frozenset())
        if text is None:
            return _BAD
        try:
            value = _PARSERS[want.kind or ""](text)
        except ValueError as e:
            self._note(at, line, f"{e}{forms}")
            return _BAD
        if value == FOREVER:
            if want.extra.get("never"):
                return value
            what = "-1 (for ever) is not allowed here" if text == "-1" else f"{short(node.text)} is below 0"
            self._note(at, line, f"{what}; write it like 250ms, 30s, 5m")
            return _BAD
        return self._within(want, value, node, at, line)

    def _within(self, want: Want, value: float, node: Scalar, at: Where, line: int) -> Any:
        if fault := range_fault(want, value, node.text):
            self._note(at, line, fault)
            return _BAD
        return value

    def _text(self, want: Want, node: Scalar, at: Where, line: int) -> Any:
        if node.kind != "text":
            return self._wrong(want, node, at, line)
        kind = want.kind
        if self._simulated and kind in _OF_RUNNING and fill(node.text, self._env, LATER)[1]:
            return node.text
        text = self._filled(node, at, line, LATER if kind in _LATER_KINDS else frozenset())
        if text is None:
            return _BAD
        if kind == "cron":
            return self._cron(text, at, line)
        if fault := self._fault(want, text):
            if at[-1] == "key_env":  # it may be the key itself
                self._note(at, line, f"what it says {fault}: the name of the variable with the key")
            else:
                self._note(at, line, f"{node.text!r} {fault}")
            return _BAD
        if kind == "command":
            return text.replace("\\\n", " ").strip()
        if kind == "path" or (kind == "source" and not _URL.match(text)):
            where = self._absolute(text)
            return text if kind == "source" and is_repository(text, Path(where)) else where
        return text

    def _cron(self, text: str, at: Where, line: int) -> Any:
        try:
            cron.parse(text)
        except ValueError as e:
            self._note(at, line, str(e))
            return _BAD
        return text

    def _filled(self, node: Scalar, at: Where, line: int, later: frozenset[str]) -> str | None:
        text, faults = fill(node.text, self._env, later)
        if _UNFIT.search(text):
            faults.append("holds a character that no program takes (NUL or half of a pair)")
        for fault in faults:
            self._note(at, line, fault)
        return None if faults else text

    def _fault(self, want: Want, text: str) -> str | None:
        if want.kind == "engine":
            return None if text in self._engines else "is not an engine" + instead(text, self._engines)
        if want.kind == "technique":
            return None if text in TECHNIQUES else "is not a technique" + instead(text, TECHNIQUES)
        return text_fault(want, text)

    def _absolute(self, text: str) -> str:
        home = self._env.get("HOME")
        if home and (text == "~" or text.startswith("~/")):
            text = home + text[1:]
        return os.path.normpath(self._base / text)

    # -- faults ----------------------------------------------------------------------------------------------

    def _wrong(self, want: Want, node: Node, at: Where, line: int) -> _Bad:
        self._note(at, line, wrong(want, node))
        return _BAD

    def _note(self, at: Where, line: int, message: str) -> None:
        self.problems.append(Problem(self._file, line, dotted(self.written.shown(at)), message))
