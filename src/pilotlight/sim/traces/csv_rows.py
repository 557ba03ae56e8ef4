"""Tables as text: one row a line, a first line with the names of the columns."""

import csv
from collections.abc import Iterable, Iterator

from pilotlight.sim.traces.gather import Block
from pilotlight.sim.traces.layout import Columns
from pilotlight.sim.traces.lines import Lines

SEPARATORS = ",;\t"


def header(line: str) -> tuple[list[str], str]:
    """The names in a first line, and what stands between them."""
    separator = max(SEPARATORS, key=line.count)
    return _fields(line, separator), separator


def csv_blocks(lines: Iterable[Lines], at: Columns, separator: str) -> Iterator[Block]:
    """The rows after the header, which is the first line."""
    is_first = True
    for block in lines:
        numbers, texts = block.numbers, block.texts
        if is_first and texts:
            is_first = False
            numbers, texts = numbers[1:], texts[1:]
        if texts:
            yield _block(numbers, [_fields(text, separator) for text in texts], at)


def _fields(line: str, separator: str) -> list[str]:
    """A line is a row: an unpaired quote spoils its own row and not those after it."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:  # a field of more than 128 KiB, or a lone carriage return
        return []


def _block(numbers: list[int], rows: list[list[str]], at: Columns) -> Block:
    def column(i: int) -> list[str]:
        try:
            return [row[i] for row in rows]
        except IndexError:
            return [row[i] if i < len(row) else "" for row in rows]

    def maybe(i: int | None) -> list[str] | None:
        return None if i is None else column(i)

    return Block(
        numbers,
        column(at.t),
        column(at.prompt_tokens),
        column(at.output_tokens),
        maybe(at.model),
        maybe(at.session),
        request_class=maybe(at.request_class),
        stand_in=maybe(at.stand_in),
    )
