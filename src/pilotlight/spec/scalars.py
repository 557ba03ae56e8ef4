"""A scalar of YAML as a value of its key's type: variables filled in, units read, paths made whole."""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import inspect as mi

from pilotlight.spec import cron
from pilotlight.spec.sources import is_repository
from pilotlight.spec.tree import Scalar
from pilotlight.spec.types import TECHNIQUES
from pilotlight.spec.variables import LATER, fill
from pilotlight.spec.wants import QUANTITIES, Want, unwrap
from pilotlight.spec.wording import instead, range_fault, short, text_fault, wrong
from pilotlight.spec.written import Where
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


class Bad:
    """In place of a value that could not be read."""


BAD = Bad()


class Scalars:
    """Those of one file. In place of a value that cannot be read there is `BAD`, after `note` was told why not; `line`
    is that of its key. `base`: what paths are relative to."""

    def __init__(
        self,
        base: Path,
        env: Mapping[str, str],
        engines: tuple[str, ...],
        simulated: bool,
        note: Callable[[Where, int, str], None],
    ) -> None:
        self._base = base
        self._env = env
        self._engines = engines
        self._simulated = simulated
        self._note = note

    def read(self, want: Want, node: Scalar, at: Where, line: int) -> Any:
        """Where a text, a number or a truth value may stand."""
        if want.kind in QUANTITIES:
            return self._quantity(want, node, at, line)
        if isinstance(want.type, mi.StrType | mi.LiteralType):
            return self._text(want, node, at, line)
        if isinstance(want.type, mi.BoolType):
            return node.text.lower() == "true" if node.kind == "bool" else self._wrong(want, node, at, line)
        return self._number(want, node, at, line)

    def word_or_quantity(self, type_: mi.UnionType, amount: Want, node: Scalar, at: Where, line: int) -> Any:
        """Where either may stand, such as `auto` or 30s."""
        text = self._filled(node, at, line, frozenset())
        if text is None:
            return BAD
        words = [want for want in map(unwrap, type_.types) if isinstance(want.type, mi.StrType)]
        if any(self.fault(want, text) is None for want in words):
            return text
        forms = "".join(f", or {want.extra['form']}" for want in words if "form" in want.extra)
        return self._quantity(amount, node, at, line, forms)

    def is_other_word(self, want: Want, node: Scalar) -> bool:
        """Whether a word such as `auto` is wanted, and this is another one: then all that is allowed is said."""
        fixed = isinstance(want.type, mi.StrType) and want.type.pattern and "$" not in node.text
        return bool(fixed) and self.fault(want, node.text) is not None

    def fault(self, want: Want, text: str) -> str | None:
        """What is wrong with it; None where it can stand there."""
        if want.kind == "engine":
            return None if text in self._engines else "is not an engine" + instead(text, self._engines)
        if want.kind == "technique":
            return None if text in TECHNIQUES else "is not a technique" + instead(text, TECHNIQUES)
        return text_fault(want, text)

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
            return BAD
        try:
            value = _PARSERS[want.kind or ""](text)
        except ValueError as e:
            self._note(at, line, f"{e}{forms}")
            return BAD
        if value == FOREVER:
            if want.extra.get("never"):
                return value
            what = "-1 (for ever) is not allowed here" if text == "-1" else f"{short(node.text)} is below 0"
            self._note(at, line, f"{what}; write it like 250ms, 30s, 5m")
            return BAD
        return self._within(want, value, node, at, line)

    def _within(self, want: Want, value: float, node: Scalar, at: Where, line: int) -> Any:
        if fault := range_fault(want, value, node.text):
            self._note(at, line, fault)
            return BAD
        return value

    def _text(self, want: Want, node: Scalar, at: Where, line: int) -> Any:
        if node.kind != "text":
            return self._wrong(want, node, at, line)
        kind = want.kind
        if self._simulated and kind in _OF_RUNNING and fill(node.text, self._env, LATER)[1]:
            return node.text
        text = self._filled(node, at, line, LATER if kind in _LATER_KINDS else frozenset())
        if text is None:
            return BAD
        if kind == "cron":
            return self._cron(text, at, line)
        if fault := self.fault(want, text):
            if at[-1] == "key_env":  # it may be the key itself
                self._note(at, line, f"what it says {fault}: the name of the variable with the key")
            else:
                self._note(at, line, f"{node.text!r} {fault}")
            return BAD
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
            return BAD
        return text

    def _filled(self, node: Scalar, at: Where, line: int, later: frozenset[str]) -> str | None:
        text, faults = fill(node.text, self._env, later)
        if _UNFIT.search(text):
            faults.append("holds a character that no program takes (NUL or half of a pair)")
        for fault in faults:
            self._note(at, line, fault)
        return None if faults else text

    def _absolute(self, text: str) -> str:
        home = self._env.get("HOME")
        if home and (text == "~" or text.startswith("~/")):
            text = home + text[1:]
        return os.path.normpath(self._base / text)

    def _wrong(self, want: Want, node: Scalar, at: Where, line: int) -> Bad:
        self._note(at, line, wrong(want, node))
        return BAD
