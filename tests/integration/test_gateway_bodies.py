"""Bodies that do not come whole: they are bounded in bytes and in time."""

import contextlib
import json
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.kit import Server, StandIn, until
from integration.test_gateway_raw import Wire

LIMITS = """
import pilotlight.gateway.client_body as body
import pilotlight.gateway.kitchen as kitchen
body.STALLED = {stalled}
body.LONGEST = {longest}
kitchen.MAX_HELD_BYTES = 1_000_000
"""
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
WHOLE = json.dumps({"model": "m", "messages": []}).encode()


@contextlib.contextmanager
def served(tmp_path: Path, stalled: float, longest: float) -> Iterator[Server]:
    m = StandIn(tmp_path, "m")
    first = LIMITS.format(stalled=stalled, longest=longest)
    with Server(tmp_path / "server", {"models": {"m": m.model}}, first=first) as server:
        yield server


def begun(server: Server, size: int, sent: int) -> Wire:
    wire = Wire(server)
    wire.send(HEAD.format(size=size).encode() + b"x" * sent)
    return wire


def test_those_that_come_are_bounded_together(tmp_path: Path):
    with served(tmp_path, 600, 600) as server:
        wires = [begun(server, 500_000, 400_000) for _ in range(4)]
        until(lambda: len(answered(wires)) == 2)
        refused = answered(wires)
        for wire in refused:
            status, _, body = wire.answer()
            assert (status, json.loads(body)["error"]["code"]) == (429, "too_many_pending_requests")
        for wire in wires:
            if wire not in refused:
                wire.send(b"x" * 100_000)
                status, _, body = wire.answer()
                assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
        for wire in wires:
            wire.socket.close()
        fine = Wire(server)
        fine.send(HEAD.format(size=len(WHOLE)).encode() + WHOLE)
        assert fine.status() == 200, "what came counts no more"
        until(lambda: [r["in_flight"] for r in server.running("m")] == [0])


def answered(wires: list[Wire]) -> list[Wire]:
    """Those that something has been said to by now."""
    readable, _, _ = select.select([wire.socket for wire in wires], [], [], 0)
    return [wire for wire in wires if wire.socket in readable]


@pytest.mark.parametrize(("stalled", "longest"), [(0.3, 600), (600, 0.3)])
def test_one_that_stops_coming_is_told_so(tmp_path: Path, stalled: float, longest: float):
    with served(tmp_path, stalled, longest) as server:
        wire = begun(server, 500_000, 10)
        status, _, body = wire.answer()
        assert (status, json.loads(body)["error"]["code"]) == (408, "request_timeout")
