"""A provider that takes half a minute to its first token, as one does that scales to zero: in its real time, and with
the limits and the patience that a server has by itself."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from fault.provider_ground import of, up
from fault.provider_kit import Seen, Wire, provider, well
from integration.kit import Client, StandIn, comments, events, eventually

COLD = 30.0
"""Seconds."""
AS_SERVED = (2.0, 45.0, 5.0)


async def shown(client: Client) -> str:
    command = [sys.executable, "-m", "pilotlight.cli.main", "providers", "--port", str(client.server.port)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=client.server.env, capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_one_that_takes_30_seconds_to_wake_is_waited_for_and_known_from_then_on(tmp_path: Path):
    asleep = True

    async def wakes(wire: Wire, seen: Seen) -> None:
        nonlocal asleep
        await well(after=COLD if asleep else 0.0)(wire, seen)
        asleep = False

    async with provider(wakes) as far, provider(well()) as spare:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": ["far", "spare"]})
        config = {
            "models": {"chat": model.model},
            "providers": {
                # nobody has said that it is ever cold
                "far": far.declared(idle_timeout="5s"),
                "spare": spare.declared(first_token="1s"),
            },
            "objective": {"wait": "2s"},
        }
        async with up(tmp_path / "s", config, patience=AS_SERVED) as client:
            stream = asyncio.ensure_future(client.answer("chat", stream=True))
            await eventually(lambda: len(far.seen) == 1)
            whole = asyncio.ensure_future(client.answer("chat"))
            await eventually(lambda: len(far.seen) == 2)

            _, headers, text = await stream
            assert (headers["x-pilotlight-start"], len(events(text))) == ("burst", 4)
            *signs, cost = comments(text)
            assert len(signs) >= 4, "one after 2 s, and then every 5"
            assert text.index("data: ") > text.index(signs[-1])
            assert "x-pilotlight-served-by=far" in cost
            status, headers, body = await whole
            assert (status, headers["x-pilotlight-served-by"]) == (200, "far")
            assert body["choices"][0]["message"]["content"] == "from afar"
            _, headers, _ = await client.answer("chat", stream=True)
            assert headers["x-pilotlight-served-by"] == "far", "it is warm now"
            assert (len(far.seen), far.gone, len(spare.seen)) == (3, 0, 0), "nobody lost patience"

            known = of(client)
            assert (known["breaker"], known["failures"], known["cold_rate"]) == ("closed", 0, 0.5)
            assert COLD - 1 < known["cold_start_s"] < COLD + 5
            assert known["first_token_s"] < 2
            (row,) = [line for line in (await shown(client)).splitlines() if "50.0 %" in line]
            assert row.startswith("far ") and " 30 s " in row
            assert client.server.metric("pilotlight_cold_rate", model="chat") == pytest.approx(1 / 3)

            await eventually(lambda: of(client)["promise_s"] > COLD - 1)
            _, headers, _ = await client.answer("chat", stream=True)
            assert headers["x-pilotlight-served-by"] == "spare", "the other one may have gone cold again"


async def test_a_cold_start_shows_in_whole_answers_too(tmp_path: Path):
    late = 0.0

    async def answers(wire: Wire, seen: Seen) -> None:
        await well(after=late)(wire, seen)

    async with provider(answers) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        config = {"models": {"chat": model.model}, "providers": {"far": far.declared(first_token="100ms")}}
        async with up(tmp_path / "s", config) as client:
            for seconds in (0.0, 4.0, 0.0):
                late = seconds
                _, headers, _ = await client.answer("chat")
                assert headers["x-pilotlight-served-by"] == "far"
            known = of(client)
            assert known["cold_rate"] == 0.5, "of those after the first, which told how long tokens take"
            assert 3 < known["cold_start_s"] < 10
            assert known["first_token_s"] < 2
