"""What may not leave the house does not, whatever goes wrong at once: raw listeners keep every byte that reaches them,
and what was forbidden to leave bears a mark that is looked for there."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fault import provider_kit as kit
from fault.provider_ground import kill, of, up
from fault.provider_kit import Provider, Seen, Wire, provider, well
from integration.kit import Client, StandIn, eventually

STAYS, GOES = "mark-of-what-stays", "mark-of-what-goes"
KEYS = {"IN_KEY": "sk-in-0123456789", "OUT_KEY": "sk-out-0123456789"}
PATHS = ("chat/completions", "completions", "embeddings", "responses", "messages", "rerank")
FIRST, LAST = "0.01ms", "1s"
"""What they promise: those that fail are asked before those that answer."""


class House:
    """A server beside every kind of bad provider, and a storm of requests of which most may not leave."""

    def __init__(self, folder: Path, all_stay: bool) -> None:
        self.folder, self.all_stay = folder, all_stay
        self.dice = random.Random(7)
        self.at: dict[str, Provider] = {}
        self.thief: Provider
        never: dict[str, Any] = {"leave_house": False, "max_pending_requests": 20}
        self.models = [
            StandIn(folder, "stays", gated=True, stand_in="free", **never),
            StandIn(folder, "fails", **never),
            StandIn(folder, "dies", **never),
            StandIn(folder, "free", gated=True, **(never if all_stay else {})),
        ]
        self.models[1].fail.touch()

    @contextlib.asynccontextmanager
    async def providers(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            self.thief = await stack.enter_async_context(provider(well()))
            moved = f"Location: {self.thief.url}/chat/completions"
            scripts = {
                "fails": kit.answers(500),
                "full": kit.answers(429, b"{}", "Retry-After: 0.1"),
                "denies": kit.answers(401),
                "moved": kit.answers(307, b"", moved),
                "hangs_up": kit.hangs_up,
                "hangs": kit.hangs,
                "other": well(model="gpt-2"),
                "cuts": kit.cuts_in_the_middle,
                "poor": well(),
                "pinged": well(),
                "slow": well(after=0.3),
                "lies": well(usage={"prompt_tokens": 10**9, "completion_tokens": -1}),
            }
            for name, script in scripts.items():
                self.at[name] = await stack.enter_async_context(provider(script))
            yield

    def config(self, turn: int = 0) -> dict[str, Any]:
        """Another one each turn, of which what may leave is the same."""
        limits = {"first_byte_timeout": "200ms", "max_duration": "5s", "headers": {"x-turn": str(turn)}}
        declared = {name: p.declared(first_token=FIRST, **limits) for name, p in self.at.items()}
        for name in ("slow", "lies", "pinged"):
            declared[name]["first_token"] = LAST
        declared["slow"]["first_byte_timeout"] = "5s"
        declared["poor"] |= {"price": {"request_usd": 1.0}, "budget": {"day_usd": 1.0}}
        declared["nobody"] = {**declared["fails"], "base_url": "http://127.0.0.1:9/v1"}
        declared["gone"] = {**declared["fails"], "base_url": "https://provider.invalid/v1"}
        if not self.all_stay:
            keep = {"model": "free", "requests": 2, "every": "200ms"}
            declared["pinged"] |= {"keep_warm": keep, "idle_timeout": "1s"}
        names = [*declared]
        self.dice.shuffle(names)
        return {
            "models": {m.name: m.model for m in self.models},
            "defaults": {"burst": {"provider": names}},
            "providers": declared,
            "memory": f"{8 + turn}GiB",
            "api_keys": [
                {"name": "in", "key_env": "IN_KEY", "leave_house": False},
                {"name": "out", "key_env": "OUT_KEY"},
            ],
        }

    def up(self, turn: int) -> Any:
        return up(self.folder / "s", self.config(turn), env=KEYS)

    async def ask(self, client: Client, i: int) -> None:
        dice = self.dice
        name = ("stays", "fails", "dies", "free")[i % 4]
        headers = {"x-pilotlight-hedge": "allow", "x-pilotlight-stand-in": "allow"}
        headers["x-pilotlight-class"] = dice.choice(["standard", "batch"])
        key, mark = "OUT_KEY", STAYS
        how = dice.choice(["key", "deny", "goes", "goes"]) if name == "free" else dice.choice(["", "allow"])
        if how == "key":
            key = "IN_KEY"
        elif how == "deny":
            headers["x-pilotlight-leave-house"] = "deny"
        elif how == "goes" and not self.all_stay:
            mark = GOES
        if how in ("key", "allow"):
            headers["x-pilotlight-leave-house"] = "allow"
        headers["Authorization"] = f"Bearer {KEYS[key]}"
        do = {"die": dice.choice(["now", "middle", "head"])} if name == "dies" and i % 8 else None
        body: dict[str, Any] = {"prompt": mark, "input": mark, "user": mark, "query": mark}
        body["messages"] = [{"role": "user", "content": mark}]
        path = f"/v1/{dice.choice(PATHS)}"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(0.1, 2.0)):
                await client.answer(name, path=path, stream=bool(i % 2), do=do, headers=headers, **body)

    @contextlib.asynccontextmanager
    async def storm(self, client: Client) -> AsyncIterator[None]:
        """What is done in it is done in its middle."""
        tasks = [asyncio.ensure_future(self.ask(client, i)) for i in range(60)]
        await asyncio.sleep(self.dice.uniform(0.05, 0.3))
        yield
        await asyncio.gather(*tasks, return_exceptions=True)

    async def everything_happens(self) -> None:
        async with self.up(0) as client:
            if not self.all_stay:
                await self.reaches(client, "poor")
                await eventually(lambda: of(client, "poor")["left"]["day"] < 1, "its budget is not used up")
                client.server.write(self.config())
                await asyncio.to_thread(client.server.post, "/reload")
            for turn in range(1, 4):
                async with self.storm(client):
                    client.server.write(self.config(turn))
                    await asyncio.to_thread(client.server.post, "/reload")
            async with self.storm(client):
                await kill(client)
        async with self.up(4) as client, self.storm(client):
            await asyncio.to_thread(client.server.process.terminate)

    async def reaches(self, client: Client, name: str) -> None:
        """That the way there is open, for what may go it."""
        it, config = self.at[name], self.config()
        if GOES.encode() in it.wire:
            return
        config["defaults"]["burst"]["provider"] = name
        config["providers"][name]["first_token"] = FIRST
        client.server.write(config)
        await asyncio.to_thread(client.server.post, "/reload")
        headers = {"Authorization": f"Bearer {KEYS['OUT_KEY']}"}
        asked = asyncio.ensure_future(client.answer("free", user=GOES, headers=headers))
        await eventually(lambda: GOES.encode() in it.wire, f"{name} is never asked")
        asked.cancel()

    def nothing_has_left(self) -> None:
        for name, it in self.at.items():
            wire = bytes(it.wire)
            assert STAYS.encode() not in wire, f"{name} was told"
            assert not any(key.encode() in wire for key in KEYS.values()), f"{name} has a client's key"
            assert not any(b'"%b"' % m.name.encode() in wire for m in self.models[:3]), name
        assert (self.thief.connections, self.thief.wire) == (0, b"")


async def test_not_a_byte_of_what_may_not_leave_leaves_under_every_failure_at_once(tmp_path: Path):
    """Models that never may, a key that may not, requests that do not want to: beside others that do."""
    house = House(tmp_path, all_stay=False)
    async with house.providers():
        await house.everything_happens()
        async with house.up(5) as client:
            async with house.storm(client):
                pass
            await eventually(lambda: of(client, "pinged")["pings"] > 0)
            for name in house.at:
                await house.reaches(client, name)
            assert of(client, "poor")["left"]["day"] < 1
        house.nothing_has_left()


async def test_where_nothing_may_leave_nobody_is_even_connected_to(tmp_path: Path):
    house = House(tmp_path, all_stay=True)
    async with house.providers():
        await house.everything_happens()
        async with house.up(5) as client:
            async with house.storm(client):
                pass
            assert all(
                row["requests"] == row["pings"] == 0 for row in client.server.get("/providers")["providers"]
            )
        assert {name: (it.connections, it.bytes_in) for name, it in house.at.items() if it.connections} == {}
        house.nothing_has_left()


async def test_a_key_that_may_not_leave_does_not(tmp_path: Path):
    async with provider(well()) as far:
        model = StandIn(tmp_path, "chat", gated=True, burst={"provider": "far"})
        config = {
            "models": {"chat": model.model},
            "providers": {"far": far.declared()},
            "api_keys": [
                {"name": "in", "key_env": "IN_KEY", "leave_house": False},
                {"name": "out", "key_env": "OUT_KEY"},
            ],
        }
        async with up(tmp_path / "s", config, env=KEYS) as client:
            stays = {"Authorization": f"Bearer {KEYS['IN_KEY']}", "x-pilotlight-leave-house": "allow"}
            inside = asyncio.ensure_future(client.answer("chat", headers=stays))
            await eventually(lambda: client.server.held("chat") == 1)
            _, headers, _ = await client.answer(
                "chat", headers={"Authorization": f"Bearer {KEYS['OUT_KEY']}"}
            )
            assert headers["x-pilotlight-served-by"] == "far"
            model.open()
            status, headers, _ = await inside
            assert (status, headers["x-pilotlight-start"]) == (200, "cold")
            assert len(far.seen) == 1
            assert not any(secret.encode() in far.wire for secret in KEYS.values())


async def test_a_reload_that_forbids_a_key_to_leave_holds_for_what_waits(tmp_path: Path):
    go = asyncio.Event()

    async def answers(wire: Wire, seen: Seen) -> None:
        await go.wait()
        await well()(wire, seen)

    async with provider(answers) as busy, provider(well()) as after:
        model = StandIn(tmp_path, "chat", gated=True)
        keys: list[dict[str, Any]] = [
            {"name": "in", "key_env": "IN_KEY"},
            {"name": "out", "key_env": "OUT_KEY"},
        ]
        config: dict[str, Any] = {
            "models": {"chat": {**model.model, "burst": {"provider": "busy"}}},
            "providers": {"busy": busy.declared(max_requests=1)},
            "api_keys": keys,
        }
        by = {name: {"Authorization": f"Bearer {key}"} for name, key in KEYS.items()}
        async with up(tmp_path / "s", config, env=KEYS) as client:
            there = asyncio.ensure_future(client.answer("chat", user=GOES, headers=by["IN_KEY"]))
            await eventually(lambda: busy.seen)
            hedged = {**by["IN_KEY"], "x-pilotlight-hedge": "allow"}
            held = [
                asyncio.ensure_future(client.answer("chat", user=STAYS, headers=headers))
                for headers in (by["IN_KEY"], hedged)
            ]
            await eventually(lambda: client.server.held("chat") == 2)
            free = asyncio.ensure_future(client.answer("chat", user=GOES, headers=by["OUT_KEY"]))
            await eventually(lambda: client.server.held("chat") == 3)
            keys[0]["leave_house"] = False
            config["providers"]["after"] = after.declared()
            config["models"]["chat"]["burst"] = {"provider": ["busy", "after"]}
            client.server.write(config)
            await asyncio.to_thread(client.server.post, "/reload")
            _, headers, _ = await free
            assert headers["x-pilotlight-served-by"] == "after"
            go.set()
            _, headers, _ = await there
            assert headers["x-pilotlight-served-by"] == "busy", "it had left before"
            await eventually(lambda: client.server.held("chat") == 2)
            assert of(client, "after")["failures"] == of(client, "busy")["failures"] == 0
            kept = client.server.metric("pilotlight_provider_requests_total", outcome="kept")
            assert kept is not None and kept >= 2, "the kernel had sent them"
            model.open()
            for status, headers, _ in await asyncio.gather(*held):
                assert (status, headers["x-pilotlight-start"]) == (200, "cold")
            assert STAYS.encode() not in busy.wire + after.wire
            assert len(busy.seen) == len(after.seen) == after.connections == 1


async def test_a_reload_that_forbids_a_model_to_leave_holds_for_what_waits(
    tmp_path: Path,
):
    go = asyncio.Event()

    async def answers(wire: Wire, seen: Seen) -> None:
        await go.wait()
        await well()(wire, seen)

    async def fails(wire: Wire, seen: Seen) -> None:
        await go.wait()
        await kit.answers(500)(wire, seen)

    async with provider(answers) as busy, provider(fails) as ill, provider(well()) as after:
        waits = StandIn(tmp_path, "waits", gated=True, burst={"provider": "busy"})
        over = StandIn(tmp_path, "over", gated=True, burst={"provider": ["ill", "later"]})
        declared = {"busy": busy.declared(max_requests=1), "ill": ill.declared(), "later": after.declared()}
        config = {"models": {m.name: m.model for m in (waits, over)}, "providers": declared}
        async with up(tmp_path / "s", config) as client:
            there = asyncio.ensure_future(client.answer("waits", user=GOES))
            failing = asyncio.ensure_future(client.answer("over", user=GOES))
            await eventually(lambda: busy.seen and ill.seen)
            held = asyncio.ensure_future(client.answer("waits", user=STAYS))
            await eventually(lambda: client.server.held("waits") == 1)
            client.server.write({**config, "defaults": {"leave_house": False}})
            await asyncio.to_thread(client.server.post, "/reload")
            go.set()
            _, headers, _ = await there
            assert headers["x-pilotlight-served-by"] == "busy", "it had left before"
            await eventually(lambda: client.server.held("over") == 1)
            assert client.server.held("waits") == 1
            waits.open()
            over.open()
            for status, headers, _ in await asyncio.gather(held, failing):
                assert (status, headers["x-pilotlight-start"]) == (200, "cold")
            assert STAYS.encode() not in busy.wire
            assert after.connections == 0
