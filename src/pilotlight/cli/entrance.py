"""The server's open port: whom it lets in, where it listens, and how the command line finds it."""

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from pilotlight.cli import runtime
from pilotlight.clock import Clock
from pilotlight.errors import ServerError
from pilotlight.gateway.front import Directory
from pilotlight.http.door import Door
from pilotlight.http.keys import LOCAL, KeyRing
from pilotlight.http.listen import listen
from pilotlight.http.local import is_loopback
from pilotlight.http.routes import Routes
from pilotlight.spec.model import Config

log = logging.getLogger("pilotlight")


class Entrance:
    """One per server. `insecure`: also where anybody could come in."""

    def __init__(self, env: Mapping[str, str], clock: Clock, insecure: bool) -> None:
        self._env = env
        self._clock = clock
        self._insecure = insecure
        self._token = secrets.token_urlsafe(24)
        self._announced: Path | None = None
        self._runner: web.ServerRunner | None = None
        self.url = ""
        """Empty until the port is open."""
        self.port = 0

    def check(self, config: Config) -> None:
        """Raises ServerError where other machines could come in without a key."""
        if config.api_keys or self._insecure or is_loopback(config.host):
            return
        raise ServerError(
            f"host {config.host} can be reached from other machines and there are no api_keys; "
            "set api_keys, listen on 127.0.0.1, or give --insecure if that is what you want"
        )

    def is_local(self, config: Config) -> bool:
        """Whether only this machine's programs are to be let in while there are no keys."""
        return not self._insecure and is_loopback(config.host)

    def keys(self, config: Config, before: KeyRing | None = None) -> KeyRing:
        """Those of the configuration, and the command line's own."""
        names = Directory(config.models).names
        keys = KeyRing(config.api_keys, self._env, names, self._clock, before)
        keys.add(LOCAL, self._token, admin=True)
        return keys

    async def open(self, routes: Routes, config: Config, state: Path, config_file: str | None) -> None:
        """Raises ServerError when the port cannot be had."""
        door = Door(routes, config.client_max_size)
        self._runner, self.port = await listen(door, config.host, config.port)
        address = f"[{config.host}]" if ":" in config.host else config.host
        self.url = f"http://{address}:{self.port}"
        try:
            self._announced = runtime.announce(
                runtime.this_one(config.host, self.port, self.url, self._token, str(state), config_file)
            )
        except OSError as e:
            log.warning("`pilotlight ps` will not find this server without --url: %s", e)

    def withdraw(self) -> None:
        """The command line finds it no more."""
        if self._announced is not None:
            self._announced.unlink(missing_ok=True)

    async def close(self) -> None:
        """Also right for one that was never opened."""
        if self._runner is not None:
            await self._runner.cleanup()
