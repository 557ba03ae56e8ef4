"""Mooncake's traces: JSON lines, milliseconds from the start, and hashes of the prompt's blocks. No model.

Source: github.com/kvcache-ai/Mooncake, FAST25-release/traces/*.jsonl.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pilotlight.sim.traces.gather import Block, Gather
from pilotlight.sim.traces.json_rows import decoded
from pilotlight.sim.traces.lines import Lines

MILLISECOND = 0.001
SAME_BLOCKS = 3
"""Requests whose first blocks (of 512 tokens) are the same count as one session: fewer may be a system prompt [G]."""


class Row(msgspec.Struct):
    timestamp: Any = None
    input_length: Any = None
    output_length: Any = None
    hash_ids: Any = None


def is_mooncake(first: dict[str, Any]) -> bool:
    return "timestamp" in first and "input_length" in first


def mooncake_blocks(lines: Iterable[Lines], gather: Gather) -> Iterator[Block]:
    for numbers, rows in decoded(lines, Row, gather):
        yield Block(
            numbers,
            [row.timestamp for row in rows],
            [row.input_length for row in rows],
            [row.output_length for row in rows],
            session=[_session(row.hash_ids) for row in rows],
        )


def _session(hashes: Any) -> str | None:
    if not isinstance(hashes, list) or len(hashes) < SAME_BLOCKS:
        return None
    first = hashes[:SAME_BLOCKS]
    return " ".join(map(str, first)) if all(isinstance(h, int) and abs(h) < 2**63 for h in first) else None
