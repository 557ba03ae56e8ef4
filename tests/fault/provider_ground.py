"""Servers that have providers, as fault tests stand them up. However a test ends, what it started is gone."""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fault.provider_kit import KEY, KEY_ENV, Provider, Script, provider, well
from integration.kit import Client, Server, StandIn, client_of, eventually


@contextlib.asynccontextmanager
async def up(
    folder: Path,
    config: dict[str, Any],
    *,
    env: dict[str, str] | None = None,
    patience: tuple[float, float, float] = (60, 60, 60),
    first: str = "",
) -> AsyncIterator[Client]:
    """A server that ends well, unless the test has killed it. `first`: Python that its process runs first."""
    running = Server(folder, config, env={**KEY_ENV, **(env or {})}, patience=patience, first=first)
    await asyncio.to_thread(running.__enter__)
    try:
        async with client_of(running) as client:
            yield client
    finally:
        if running.process.poll() is None:
            await asyncio.to_thread(running.__exit__, *sys.exc_info())


async def kill(client: Client) -> None:
    client.server.process.kill()
    await asyncio.to_thread(client.server.process.wait)
    client.server.no_traceback()


def of(client: Client, name: str = "far") -> dict[str, Any]:
    return next(p for p in client.server.get("/providers")["providers"] if p["id"] == name)


PRICE = {"request_usd": 1.0}
FEE = 1.0


class Ground(Client):
    """A cold model `chat` that may burst to `far`, then to `spare`."""

    far: Provider
    spare: Provider
    model: StandIn

    def of(self, name: str = "far") -> dict[str, Any]:
        return of(self, name)

    def ended(self, outcome: str, provider: str = "far") -> float:
        return (
            self.server.metric("pilotlight_provider_requests_total", provider=provider, outcome=outcome) or 0
        )


@contextlib.asynccontextmanager
async def ground(
    folder: Path,
    script: Script,
    *,
    declared: dict[str, Any] | None = None,
    spare: bool = True,
    other_script: Script | None = None,
    tls: ssl.SSLContext | None = None,
    env: dict[str, str] | None = None,
    patience: tuple[float, float, float] = (60, 60, 60),
    objective: str = "400ms",
    **model: Any,
) -> AsyncIterator[Ground]:
    async with provider(script, tls) as far, provider(other_script or well()) as other:
        stand_in = StandIn(folder, "chat", gated=True)
        model = {"burst": {"provider": ["far", "spare"] if spare else "far"}, **model}
        config = {
            "models": {"chat": {**stand_in.model, **model}},
            "providers": {
                "far": far.declared(**{"price": PRICE, **(declared or {})}),
                "spare": other.declared(first_token="1s"),
            },
            "objective": {"wait": objective},
        }
        async with up(folder / "server", config, env=env, patience=patience) as client:
            it = Ground(client.server, client.session)
            it.far, it.spare, it.model = far, other, stand_in
            yield it
            await eventually(lambda: it.of()["in_flight"] == 0 and it.of()["reserved_usd"] == 0)
            assert KEY not in client.server.log()
