"""From raw columns, block by block, to a Trace: checks every row, keeps what is good, and says what is not."""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pilotlight.errors import TraceError
from pilotlight.sim.columns import Array, Column, column, pieces, taken
from pilotlight.sim.sorting import by_time, first_late
from pilotlight.sim.trace import NO_SESSION, Floats, Ints, Trace
from pilotlight.sim.traces.values import (
    ABSOLUTE,
    class_of,
    good_times,
    good_tokens,
    key_of,
    may_stand_in,
    name_of,
    numbers,
    time_fault,
    times,
    tokens_fault,
)

KEPT_FAULTS = 20
KINDS = (np.float64, np.int32, np.int32, np.int32, np.int64, np.int64, np.int32, np.int8)
"""Of time, model, tokens of prompt and answer, line, session, asker, stand-in."""
LINE = 4
MOST_MODELS = 100_000
"""Above it the column is no model's name but something of each request [G]."""


class Block(msgspec.Struct):
    """Some rows as columns of one length, values as the format has them: text, numbers, None, or worse."""

    lines: Sequence[int]
    """Where each row stands in the file, from 1."""
    t: Sequence[Any] | Floats
    prompt_tokens: Sequence[Any] | Floats
    output_tokens: Sequence[Any] | Floats
    model: Sequence[Any] | None = None
    """None: all are for the model that is called like the file."""
    session: Sequence[Any] | None = None
    key: Sequence[Any] | None = None
    request_class: Sequence[Any] | None = None
    stand_in: Sequence[Any] | None = None
    """Whether one may answer: `allow`, or nothing."""


class Gather:
    """Takes the blocks of one file; those of a long one go to files of its own (columns.py)."""

    def __init__(self, path: Path, *, scale: float = 1.0) -> None:
        self.path = path
        self.rows = 0
        self.skipped = 0
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._scale = scale
        self._stem = stem(path)
        self._codes: dict[str, int] = {}
        self._askers: dict[tuple[str, str], int] = {}
        self._columns = [Column(kind) for kind in KINDS]

    def fault(self, line: int, what: str) -> None:
        """`line` holds no good row."""
        self.skipped += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(f"{self.path}:{line}: {what}")

    def add(self, block: Block) -> None:
        """Raises TraceError when there are more models than can be."""
        self.rows += len(block.lines)
        t = times(block.t) * self._scale
        prompt, output = numbers(block.prompt_tokens), numbers(block.output_tokens)
        model = self._models(block)
        asker, may = self._askers_of(block), _stand_ins(block)
        good = good_times(t) & good_tokens(prompt) & good_tokens(output) & (model >= 0)
        for codes in (asker, may):
            if len(codes):
                good &= codes >= 0
        for i in np.flatnonzero(~good).tolist():
            self.fault(int(block.lines[i]), self._what(block, i, float(t[i])))
        lines = np.asarray(block.lines, np.int64)[good]
        session = _sessions(block)[good] if block.session is not None else np.zeros(0, np.int64)
        asker, may = (codes[good] if len(codes) else codes for codes in (asker, may))
        whole = (prompt[good].astype(np.int32), output[good].astype(np.int32))
        values = (t[good], model[good], *whole, lines, session, asker, may)
        for to, some in zip(self._columns, values, strict=True):
            to.add(some)

    def trace(self, *, strict: bool, ordered: bool = True) -> Trace:
        """All that was added. `ordered`: the format promises rows in order of time, so it is said when they are not.

        Raises TraceError when no row is good, or, where it is to be strict, when one is bad.
        """
        found = self._of_one_clock([c.array() for c in self._columns])
        self._refuse(strict, len(found[0]))
        late = first_late(found[0])
        if late is not None:
            if ordered:
                line = found[LINE][late]
                self.notes.append(f"{self.path}: not in order of time, first at line {line}; sorted")
            found = by_time(found)
        t, model, prompt, output, _, session, asker, may = found
        epoch = float(t[0]) if t[0] >= ABSOLUTE else None
        if epoch is not None:
            for rows in pieces(len(t), t):
                t[rows] -= epoch
        allows = any(may[rows].any() for rows in pieces(len(may), may))
        return Trace(
            self._stem, self._asked_for(model), t, model, prompt, output,
            _numbered(session), epoch=epoch, faults=self.faults, skipped=self.skipped, notes=self.notes,
            asker=asker if len(asker) else None, askers=list(self._askers),
            stand_in=may.view(np.bool_) if allows else None,
        )  # fmt: skip

    # -- rows ------------------------------------------------------------------------------------------------

    def _models(self, block: Block) -> Ints:
        """The index of each row's model; -1 where the name is none."""
        if block.model is None:
            return np.full(len(block.lines), self._code(self._stem), np.int32)
        codes = self._codes
        try:
            return np.array([codes[name] for name in block.model], np.int32)
        except (KeyError, TypeError):  # one that is new, has spaces around it, is no text, or cannot be a key
            return np.array([self._code(name) for name in block.model], np.int32)

    def _code(self, raw: Any) -> int:
        try:
            code = self._codes.setdefault(name_of(raw), len(self._codes))
        except ValueError:
            return -1
        if code >= MOST_MODELS:
            raise TraceError(
                f"{self.path}: more than {MOST_MODELS:,} models; is `model` a model's name in it?"
            )
        return code

    def _askers_of(self, block: Block) -> Ints:
        """The index of each row's key and class; -1 where the class is none. Empty where the format has neither."""
        if block.key is None and block.request_class is None:
            return np.zeros(0, np.int32)
        nothing = repeat(None, len(block.lines))
        pairs = zip(block.key or nothing, block.request_class or nothing, strict=True)
        return np.array([self._asker(key, of) for key, of in pairs], np.int32)

    def _asker(self, key: Any, of: Any) -> int:
        try:
            return self._askers.setdefault((key_of(key), class_of(of)), len(self._askers))
        except ValueError:
            return -1

    def _what(self, block: Block, i: int, t: float) -> str:
        """What is wrong with row `i`, the first thing that is."""
        if len(self.faults) >= KEPT_FAULTS:
            return ""
        raw = _at(block.t, i) if self._scale == 1.0 or math.isnan(t) else t
        if fault := time_fault(raw):
            return f"the time {fault}"
        if fault := _fault(name_of, block.model, i):
            return f"the model's name {fault}"
        for what, tokens in (("prompt", block.prompt_tokens), ("output", block.output_tokens)):
            if fault := tokens_fault(_at(tokens, i)):
                return f"the number of {what} tokens {fault}"
        if fault := _fault(class_of, block.request_class, i):
            return f"the class {fault}"
        if fault := _fault(may_stand_in, block.stand_in, i):
            return f"the stand-in {fault}"
        raise AssertionError(f"row {i} has no fault")

    # -- the whole -------------------------------------------------------------------------------------------

    def _asked_for(self, model: Ints) -> list[str]:
        """The models that a good row asks for; `model` is made indexes of those."""
        names = list(self._codes)
        is_used = np.zeros(len(names), np.bool_)
        for rows in pieces(len(model), model):
            is_used[model[rows]] = True
        if is_used.all():
            return names
        to = np.cumsum(is_used, dtype=np.int32) - 1
        for rows in pieces(len(model), model):
            model[rows] = to[model[rows]]
        return [names[i] for i in np.flatnonzero(is_used).tolist()]

    def _of_one_clock(self, found: list[Array]) -> list[Array]:
        """The rows whose time counts from where most of the file's times do.

        One Unix time among times that count from 0 would make a trace of fifty years, most of it silence.
        """
        t, lines = found[0], found[LINE]
        n = sum(int(np.count_nonzero(t[rows] >= ABSOLUTE)) for rows in pieces(len(t), t))
        if n in (0, len(t)):
            return found
        few = 2 * n < len(t)
        has, most = ("Unix time", "do not") if few else ("no Unix time", "do")
        for rows in pieces(len(t), t, lines):
            for i in (rows.start + np.flatnonzero((t[rows] >= ABSOLUTE) == few)).tolist():
                self.fault(int(lines[i]), f"the time has {has} ({t[i]:.15g}), most rows {most}")
        return taken(found, lambda rows: (t[rows] >= ABSOLUTE) != few)

    def _refuse(self, strict: bool, good: int) -> None:
        if not self.rows:
            raise TraceError(f"{self.path}: holds no requests")
        if strict and self.skipped:
            rows = "1 bad row" if self.skipped == 1 else f"{self.skipped:,} bad rows"
            raise TraceError(f"{self.path}: {rows}, and strict reading allows none", self.faults)
        if not good:
            raise TraceError(f"{self.path}: none of its {self.rows:,} rows can be used", self.faults)


def stem(path: Path) -> str:
    """The file's name without .gz and its last ending."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    name = Path(name).stem.strip()
    return name if name.isprintable() and 0 < len(name) <= 256 else "trace"


def _at(column: Sequence[Any] | Floats, i: int) -> Any:
    value = column[i]
    return value.item() if isinstance(value, np.generic) else value


def _fault(read: Callable[[Any], Any], column: Sequence[Any] | None, i: int) -> str:
    """What is wrong with a value; empty when nothing is."""
    try:
        if column is not None:
            read(_at(column, i))
    except ValueError as e:
        return str(e)
    return ""


def _stand_ins(block: Block) -> npt.NDArray[np.int8]:
    """1 where one may answer, 0 where none may, -1 where neither is said. Empty where the format does not say."""
    return np.array([_code_of(raw) for raw in block.stand_in or ()], np.int8)


def _code_of(raw: Any) -> int:
    try:
        return int(may_stand_in(raw))
    except ValueError:
        return -1


def _sessions(block: Block) -> npt.NDArray[np.int64]:
    assert block.session is not None
    return np.fromiter((_session(s) for s in block.session), np.int64, len(block.lines))


def _session(raw: Any) -> int:
    """62 bits that stand for it, so that a trace in which each request has its own needs no table of texts."""
    text = str(raw).strip() if isinstance(raw, str | int | float | tuple) else ""
    if not text:
        return NO_SESSION
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big") >> 2


def _numbered(session: npt.NDArray[np.int64]) -> Ints | None:
    """Small numbers in the place of the large ones; None when no request has a session."""
    known = np.zeros(0, np.int64)
    for rows in pieces(len(session), session):
        known = np.union1d(known, session[rows][session[rows] != NO_SESSION])
    if not len(known):
        return None
    each = (session[rows] for rows in pieces(len(session), session))
    return column(np.int32, (np.where(s == NO_SESSION, NO_SESSION, known.searchsorted(s)) for s in each))
