"""A provider that flaps under load: what its breaker does is shown while it does it, and nobody is left without one
clear word."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path
from typing import Any

from fault import provider_kit as kit
from fault.provider_ground import of, up
from fault.provider_kit import Provider, Script, Seen, Wire, provider, well
from integration.kit import Client, StandIn, events, eventually

CLIENTS = 12
ILL = (kit.answers(500), kit.cuts_in_the_middle, kit.answers(200, b"<html>", type="text/html"))


class Flapping:
    """A provider whose mood the test sets, and clients that never stop asking. The spare one is too small for them all,
    so that however late this one has been they ask it whenever they may."""

    def __init__(self) -> None:
        self.mood: Script = well(after=0.02)
        self.answers: list[tuple[bool, int, Any]] = []
        self.states: list[str] = []
        """Of its breaker, as anybody could see them, without repetitions."""
        self.far: Provider
        self.client: Client
        self._over = False

    async def script(self, wire: Wire, seen: Seen) -> None:
        await self.mood(wire, seen)

    async def ask(self, stream: bool) -> None:
        while not self._over:
            status, _, body = await self.client.answer("chat", stream=stream)
            self.answers.append((stream, status, body))

    async def watch(self) -> None:
        while not self._over:
            state = (await asyncio.to_thread(of, self.client))["breaker"]
            if self.states[-1:] != [state]:
                self.states.append(state)

    @contextlib.asynccontextmanager
    async def loaded(self) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self.ask(i % 2 == 0)) for i in range(CLIENTS)]
        tasks.append(asyncio.ensure_future(self.watch()))
        try:
            yield
            self._over = True
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def becomes(self, state: str) -> dict[str, Any]:
        """What `pilotlight providers --json` says of it once it is so, with nobody there but who tries it."""
        at_it = 1 if state == "half-open" else 0

        def so() -> bool:
            row = of(self.client)
            return row["breaker"] == state and (state == "closed" or row["in_flight"] == at_it)

        await eventually(so)
        row = json.loads(await self.says("--json"))["providers"][0]
        assert row["breaker"] == state
        return row

    async def says(self, *more: str) -> str:
        server = self.client.server
        command = [sys.executable, "-m", "pilotlight.cli.main", "providers", "--port", str(server.port)]
        done = await asyncio.to_thread(
            subprocess.run, [*command, *more], env=server.env, capture_output=True, text=True, check=True
        )
        return done.stdout

    async def more(self) -> None:
        """As many answers as there are clients."""
        there = len(self.answers)
        await eventually(lambda: len(self.answers) >= there + CLIENTS)

    async def falls_ill(self) -> None:
        turns = cycle(ILL)

        async def ill(wire: Wire, seen: Seen) -> None:
            await next(turns)(wire, seen)

        self.mood = ill
        row = await self.becomes("open")
        assert row["pause_left_s"] > 0
        assert row["last_reason"]

    async def is_tried(self, then: Script) -> None:
        """By one request, which has `then`, while others go past it."""
        go, tried = asyncio.Event(), len(self.far.seen)

        async def waits(wire: Wire, seen: Seen) -> None:
            await go.wait()
            await then(wire, seen)

        self.mood = waits
        await self.becomes("half-open")
        await self.more()
        assert len(self.far.seen) == tried + 1
        self.mood = then
        go.set()


def is_one_clear_word(stream: bool, status: int, body: Any) -> bool:
    """A whole answer, or one error that names the provider."""
    if not stream and status == 200:
        return body["choices"][0]["message"]["content"] == "from afar"
    if not stream:
        error = body["error"]
        return status == 502 and error["code"] == "provider_failed" and "provider far" in error["message"]
    *texts, last = events(body)
    if any(e == "[DONE]" or "error" in e for e in texts):
        return False
    return last == "[DONE]" or last["error"]["code"] == "provider_failed"


async def test_a_provider_that_flaps_under_load_is_seen_open_half_open_and_closed(tmp_path: Path):
    it = Flapping()
    async with provider(it.script) as far, provider(well(after=0.05)) as spare:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": ["far", "spare"]})
        providers = {"far": far.declared(), "spare": spare.declared(first_token="1s", max_requests=4)}
        config = {"models": {"chat": model.model}, "providers": providers}
        async with up(tmp_path / "s", config) as it.client:
            it.far = far
            async with it.loaded():
                await it.more()
                await it.becomes("closed")

                await it.falls_ill()
                assert "open for" in await it.says()
                await it.is_tried(kit.answers(500))  # after its pause, which nobody shortens
                row = await it.becomes("open")
                assert row["pause_left_s"] > 5, "twice as long as the first one"

                for _ in range(3):
                    await asyncio.to_thread(it.client.server.post, "/reload")  # somebody may have mended it
                    await it.is_tried(well(after=0.02))
                    await it.more()
                    await it.becomes("closed")
                    await it.falls_ill()

                await asyncio.to_thread(it.client.server.post, "/reload")
                await it.is_tried(well())
                await it.becomes("closed")
                it.mood = kit.answers(429, b"{}", "Retry-After: 600")
                row = await it.becomes("paused")
                assert 300 < row["pause_left_s"] <= 600
                it.mood = well()
                await asyncio.to_thread(it.client.server.post, "/reload")
                assert (await it.becomes("paused"))["pause_left_s"] > 300, "that is the provider's own word"
                providers["far"]["max_requests"] = 50  # somebody has changed something of it
                it.client.server.write(config)
                await asyncio.to_thread(it.client.server.post, "/reload")
                await it.more()
                await it.becomes("closed")

            assert {"closed", "open", "half-open", "paused"} <= set(it.states)
            assert all(is_one_clear_word(*answer) for answer in it.answers)
            assert any(status == 502 for _, status, _ in it.answers)
            await eventually(lambda: of(it.client)["in_flight"] == 0)
            assert of(it.client)["requests"] == len(far.seen)
            it.client.server.at_rest()
