"""Rows that are JSON objects, one a line."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from pilotlight.sim.traces.gather import Gather
from pilotlight.sim.traces.lines import Lines

T = TypeVar("T")

NOT_DECODED = (msgspec.DecodeError, RecursionError, ValueError)


def decoded(lines: Iterable[Lines], row: type[T], gather: Gather) -> Iterator[tuple[list[int], list[T]]]:
    """Line numbers and rows. A line that is no object is a fault, unless the file ends in it: then it is being written,
    or its writer was killed."""
    decode = msgspec.json.Decoder(row).decode
    for block in lines:
        try:
            yield block.numbers, [decode(text) for text in block.texts]
        except NOT_DECODED:
            yield _one_by_one(block, row, gather)


def first_object(texts: Iterable[str]) -> dict[str, Any] | None:
    """The first line that is an object. A log that was cut at its head begins in the middle of a line."""
    for text in texts:
        try:
            found = msgspec.json.decode(text)
        except NOT_DECODED:
            continue
        if isinstance(found, dict):
            return found
    return None


def _one_by_one(block: Lines, row: type[T], gather: Gather) -> tuple[list[int], list[T]]:
    decode = msgspec.json.Decoder(row).decode
    numbers: list[int] = []
    rows: list[T] = []
    for i, (n, text) in enumerate(zip(block.numbers, block.texts, strict=True)):
        try:
            rows.append(decode(text))
            numbers.append(n)
        except NOT_DECODED as e:
            if block.cut_off and i == len(block.texts) - 1:
                gather.notes.append(f"{gather.path}:{n}: the last line is cut off; left out")
            else:
                gather.rows += 1
                gather.fault(n, f"is no JSON object ({str(e).partition(chr(10))[0][:80]})")
    return numbers, rows
