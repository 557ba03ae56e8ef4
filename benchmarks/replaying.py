"""A trace replayed for real: each request sent at its moment whatever became of the others, and what came of it."""

import asyncio
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rounds import quantile

CHAT = "/v1/chat/completions"
LATE = 0.05
"""Seconds behind its moment at which a request is told of: the client, and not the server, was too slow."""

TOKENS_A_WORD = 4
"""Of four hexadecimal digits, with the demo models' vocabulary."""


Waits = tuple[float, float]
"""Seconds that a request waited for a start, and then for a free slot."""


@dataclass(frozen=True)
class Asked:
    """A row of a trace. `t` in seconds from its beginning."""

    t: float
    model: str
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Answered:
    """Seconds, as the client saw them. `late`: sent so long after its moment."""

    asked: Asked
    request_id: str
    start: str
    """What the server says: warm, cold or woken."""
    ttft: float
    duration: float
    late: float = 0.0


# ---- the trace -----------------------------------------------------------------------------------


def write_csv(path: Path, rows: Iterable[Asked]) -> None:
    lines = [f"{r.t!r},{r.model},{r.prompt_tokens},{r.output_tokens}" for r in rows]
    path.write_text("\n".join(["t,model,prompt_tokens,output_tokens", *lines, ""]))


def prompt(tokens: int, dice: random.Random) -> str:
    """Of about so many tokens, which no slot has seen: only the template's beginning can come from a cache."""
    return " ".join(f"{dice.getrandbits(16):x}" for _ in range(max(1, tokens // TOKENS_A_WORD)))


# ---- the client ----------------------------------------------------------------------------------


async def replay(
    url: str, key: str, rows: Sequence[Asked], at_the_end: Callable[[], object], seed: int
) -> list[Answered]:
    """Open loop. `at_the_end` is called, in a thread, at the moment of the last arrival."""
    import aiohttp

    dice = random.Random(seed)
    bodies = [_body(row, dice) for row in rows]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    limits = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(
        url, headers=headers, connector=aiohttp.TCPConnector(limit=0), timeout=limits
    ) as session:
        begin = time.monotonic() + 0.1
        async with asyncio.TaskGroup() as group:
            tasks = []
            for row, body in zip(rows, bodies, strict=True):
                await asyncio.sleep(max(0.0, begin + row.t - rows[0].t - time.monotonic()))
                tasks.append(group.create_task(_ask(session, row, body, begin + row.t - rows[0].t)))
            group.create_task(asyncio.to_thread(at_the_end))
    return [task.result() for task in tasks]


def _body(row: Asked, dice: random.Random) -> bytes:
    message = {"role": "user", "content": prompt(row.prompt_tokens, dice)}
    body = {
        "model": row.model,
        "messages": [message],
        "max_tokens": row.output_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    return json.dumps(body).encode()


async def _ask(session: object, row: Asked, body: bytes, due: float) -> Answered:
    """Raises RuntimeError when the answer is not one: a replay that failed in part says nothing."""
    sent, first = time.monotonic(), None
    async with session.post(CHAT, data=body) as answer:  # type: ignore[attr-defined]
        if answer.status != 200:
            raise RuntimeError(f"{row.model}: {answer.status} {(await answer.text())[:300]}")
        async for line in answer.content:
            if line.startswith(b'data: {"error"'):
                raise RuntimeError(f"{row.model}: {line[:300]!r}")
            if first is None and line.startswith(b"data: {"):
                first = time.monotonic()
        headers = answer.headers
    if first is None:
        raise RuntimeError(f"{row.model}: the answer had nothing in it")
    named = headers["x-pilotlight-request-id"], headers["x-pilotlight-start"]
    return Answered(row, *named, first - sent, time.monotonic() - sent, sent - due)


# ---- what is learned -----------------------------------------------------------------------------


def service_times(answers: Iterable[Answered]) -> tuple[float, float]:
    """Seconds to the first token, and for each token: of requests that no start held up, in the middle and on
    average. The first is a median because some of them queued, the second a mean because load adds up."""
    warm = [a for a in answers if a.start == "warm"]
    tokens = sum(a.asked.output_tokens for a in warm)
    if not tokens:
        raise ValueError("no warm request to learn from")
    return statistics.median(a.ttft for a in warm), sum(a.duration - a.ttft for a in warm) / tokens


# ---- what is compared ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """Of one replay, or of the simulation."""

    cold_rate: float
    """Share of the requests whose first token took longer than objective.wait."""
    held_rate: float
    """Share of those that waited that long for a replica: for its start, or for a free slot."""
    replica_seconds: float
    """From the first arrival to the last, from order to end of each replica."""
    ttft_p50: float
    ttft_p99: float
    starts: int


def figures(
    answers: Sequence[Answered], waits: Mapping[str, Waits], wait: float, seconds: float, starts: int
) -> Figures:
    """`waits`: of each request, from the request log."""
    ttft = [a.ttft for a in answers]
    return Figures(
        cold_rate=statistics.fmean(x > wait for x in ttft),
        held_rate=statistics.fmean(sum(waits[a.request_id]) > wait for a in answers),
        replica_seconds=seconds,
        ttft_p50=quantile(ttft, 0.5),
        ttft_p99=quantile(ttft, 0.99),
        starts=starts,
    )


def logged(log: Iterable[str]) -> dict[str, Waits]:
    """Of each request in lines of the request log."""
    rows = (json.loads(line) for line in log)
    return {row["request_id"]: (row["start_wait"], row["queue"]) for row in rows}


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels, 0 without any."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = re.findall(rf"^{re.escape(name)}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for has, value in found if all(w in has for w in wanted))


@dataclass(frozen=True)
class Row:
    """A line of the comparison. `limit` is absolute for a rate and relative for all else; None: for information."""

    name: str
    predicted: float
    measured: list[float]
    limit: float | None = None
    is_rate: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.measured)

    @property
    def difference(self) -> float:
        apart = self.predicted - self.median
        return apart if self.is_rate else apart / self.median if self.median else 0.0

    @property
    def holds(self) -> bool | None:
        return None if self.limit is None else abs(self.difference) <= self.limit


def compared(predicted: Figures, measured: Sequence[Figures]) -> list[Row]:
    def row(name: str, field: str, limit: float | None = None, is_rate: bool = False) -> Row:
        return Row(name, getattr(predicted, field), [getattr(m, field) for m in measured], limit, is_rate)

    return [
        row("cold rate: TTFT above objective.wait", "cold_rate", 0.01, is_rate=True),
        row("held that long before a replica took it", "held_rate", is_rate=True),
        row("replica-seconds", "replica_seconds", 0.05),
        row("TTFT p50, ms", "ttft_p50", 0.20),
        row("TTFT p99, ms", "ttft_p99"),
        row("starts", "starts"),
    ]
