"""pilotlight's own request log: one JSON object a line, written when a request is over (telemetry/request_log.py)."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pilotlight.sim.traces.gather import Block, Gather
from pilotlight.sim.traces.json_rows import decoded
from pilotlight.sim.traces.lines import Lines

NO_MODEL = "-"
"""What the log has for a model where a request was refused before its model was known."""


class Row(msgspec.Struct):
    """What a replay needs. Any, so that a bad field is a bad field and not a bad line."""

    t: Any = None
    model: Any = None
    prompt_tokens: Any = 0
    output_tokens: Any = 0
    session: Any = None
    key: Any = None
    request_class: Any = None
    stand_in: Any = None


def is_request_log(first: dict[str, Any]) -> bool:
    return "t" in first and "model" in first


def request_log_blocks(lines: Iterable[Lines], gather: Gather) -> Iterator[Block]:
    """A request that was not answered has no tokens in the log; it was asked all the same, so it counts, with 0."""
    refused = 0
    for numbers, rows in decoded(lines, Row, gather):
        kept = [(n, row) for n, row in zip(numbers, rows, strict=True) if row.model != NO_MODEL]
        refused += len(rows) - len(kept)
        some = [row for _, row in kept]
        yield Block(
            [n for n, _ in kept],
            [row.t for row in some],
            [row.prompt_tokens or 0 for row in some],
            [row.output_tokens or 0 for row in some],
            [row.model for row in some],
            [row.session for row in some],
            [row.key for row in some],
            [row.request_class for row in some],
            [row.stand_in for row in some],
        )
    if refused:
        gather.notes.append(
            f"{gather.path}: left out {refused:,} that were refused before their model was known"
        )
