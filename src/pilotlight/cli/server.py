"""The server, put together: controller, worker, gateway, telemetry."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from pilotlight import __version__
from pilotlight.cli import runtime
from pilotlight.cli.declare import Known, declare, refined
from pilotlight.clock import SystemClock
from pilotlight.controller.live import LiveEffects
from pilotlight.controller.loop import Controller
from pilotlight.engines.registry import ENGINES
from pilotlight.errors import ConfigError, Problem, ServerError
from pilotlight.fleet.actions import Action
from pilotlight.fleet.events import Configured, Event, ShutDown, Sized
from pilotlight.fleet.fleet import NEVER
from pilotlight.fleet.records import RequestRecord, StartRecord
from pilotlight.gateway.admin import Admin
from pilotlight.gateway.desk import Desk
from pilotlight.gateway.front import Directory, Front
from pilotlight.gateway.kitchen import Kitchen, Patience
from pilotlight.gateway.stages import stages
from pilotlight.gateway.upstream import Upstream
from pilotlight.http.handler import server_log
from pilotlight.http.keys import LOCAL, KeyRing
from pilotlight.spec.diff import RESTART, Changes, changes
from pilotlight.spec.model import Config
from pilotlight.substrate.inventory import Inventory
from pilotlight.substrate.local import LocalSubstrate
from pilotlight.telemetry.cold_rate import ColdRate
from pilotlight.telemetry.otel import from_env
from pilotlight.telemetry.prometheus import Metrics
from pilotlight.telemetry.request_log import RequestLog
from pilotlight.telemetry.rotate import RotatingFile
from pilotlight.telemetry.traces import Traces
from pilotlight.weights.cache import WeightCache
from pilotlight.worker.context import Settings
from pilotlight.worker.report import StartReport
from pilotlight.worker.supervisor import Worker

log = logging.getLogger("pilotlight")

SWEEP_FIRST = 0.3
"""Seconds that the door stays shut while what an earlier server left behind is looked for."""


def cache_dir(config: Config) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(config.cache_dir or f"{base}/pilotlight").expanduser()


def state_dir(config: Config) -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(config.state_dir or f"{base}/pilotlight").expanduser()


class Server:
    """Everything between a configuration and an open port. `read` reads the configuration anew for a reload."""

    def __init__(
        self,
        config: Config,
        config_dir: Path,
        env: Mapping[str, str],
        read: Callable[[], Config] | None = None,
        insecure: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self.config = config
        self._config_dir = config_dir
        self._env = env
        self._read = read
        self._insecure = insecure
        self._refuse_open_door(config)
        self._token = secrets.token_urlsafe(24)
        self._announced: Path | None = None
        self._reload_due = False
        self.url = ""
        self.port = 0

        self.clock = clock = SystemClock()
        self.state = state_dir(config)
        self._cold_rate = ColdRate(config.objective.wait, config.objective.window)
        self.metrics = Metrics(clock, lambda: self.controller.fleet, self._cold_rate)
        self.traces = Traces()
        self._requests = RequestLog(
            RotatingFile(self.state / "requests.jsonl", config.log_max_size),
            clock,
            lambda r: {row.stage: round(row.seconds, 6) for row in stages(r)},
        )
        self._otel = from_env(env, stages)
        self.substrate = LocalSubstrate(self.state)
        self.weights = WeightCache(cache_dir(config))
        self._inventory = Inventory(env)
        self._known: Known = {}
        self._engine_env = _for_engines(env, config)
        self.worker = Worker(
            self._post,
            clock,
            self.substrate,
            self.weights,
            ENGINES,
            Settings(config_dir, self.state / "logs", config.log_max_size, self._engine_env),
        )
        effects = LiveEffects(self.worker, lambda name: self._models[name], self._start_record, self.metrics)
        self.controller = Controller(clock, effects, _say if log.isEnabledFor(logging.DEBUG) else None)
        self._desk = effects.requests = Desk(clock, self.controller.post)
        self._patience = patience
        self._models = dict(config.models)
        self._runner: web.AppRunner | None = None
        self._refining: asyncio.Task[None] | None = None

    # -- up ----------------------------------------------------------------------------------------------------------

    async def start(self, config_file: str | None = None) -> None:
        """Opens the port. Raises ServerError when it cannot be had, ConfigError when a GPU is not there."""
        config = self.config
        self._open_state()
        self._sweeping = asyncio.create_task(self._sweep())
        await asyncio.wait((self._sweeping,), timeout=SWEEP_FIRST)
        declared = self._declared(config)
        self._upstream = Upstream()
        kitchen = Kitchen(
            clock=self.clock,
            desk=self._desk,
            upstream=self._upstream,
            url_of=self.worker.url,
            ready_at=self._ready_at,
            is_up=self._is_up,
            report=self._start_record,
            log_tail=self.worker.log_tail,
            progress=self._progress,
            told=self._told(),
            patience=self._patience,
        )
        self.front = Front(
            kitchen,
            self._keys(config),
            Directory(config.models),
            int(time.time()),
            local_only=not self._insecure and _is_loopback(config.host),
        )
        self.admin = Admin(
            front=self.front,
            clock=self.clock,
            fleet=lambda: self.controller.fleet,
            post=self.controller.post,
            pid_of=lambda r: report.pid if (report := self._report(r)) else None,
            progress=lambda r: report.doing if (report := self._report(r)) else "",
            metrics=self.metrics,
            traces=self.traces,
            reload=self.reload,
            version=__version__,
        )
        app = web.Application(client_max_size=config.client_max_size)
        app.add_routes([*self.front.routes(), *self.admin.routes()])
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=server_log(),
            handler_cancellation=True,
            keepalive_timeout=75.0,
            shutdown_timeout=2.0,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, config.host, config.port, backlog=4096, reuse_address=True)
        try:
            await site.start()
        except (OSError, ValueError) as e:  # ValueError: a host that is no name
            fault = getattr(e, "strerror", None) or e
            text = (
                f"cannot listen on {config.host}:{config.port}: {fault}; choose another with --port or --host"
            )
            raise ServerError(text) from None
        self.port = self._runner.addresses[0][1]
        address = f"[{config.host}]" if ":" in config.host else config.host
        self.url = f"http://{address}:{self.port}"
        self._announce(config_file)
        self._apply(declared)
        if self._reload_due:
            self.reload_and_log()

    async def _sweep(self) -> None:
        """Ends what an earlier server left behind: usually nothing, and else no reason to keep the door shut."""
        left = await self.substrate.sweep()
        if left:
            log.warning("%d processes that an earlier server left behind were ended", left)

    def _declared(self, config: Config) -> Configured:
        host = self._inventory.host(config)
        return declare(config, ENGINES, self.weights, host, self.clock.now(), self._known)

    def _apply(self, declared: Configured) -> None:
        """Hands the declaration to the kernel, and better estimates of memory as they come."""
        self.controller.post(declared)
        if self._refining is not None:
            self._refining.cancel()
        self._refining = asyncio.get_running_loop().create_task(self._refine(self.config))

    async def _refine(self, config: Config) -> None:
        estimates = refined(config, ENGINES, self.weights, self._known)
        while (found := await asyncio.to_thread(next, estimates, None)) is not None:
            name, need = found
            self.controller.post(Sized(self.clock.now(), name, need))

    def _open_state(self) -> None:
        """Without its folder no engine could log, and none would start."""
        fault = "permission denied or read-only"
        try:
            # Engines may log what they are asked: nobody else is to read it.
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.state / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as e:
            fault = e.strerror or str(e)
        if not os.access(self.state / "logs", os.W_OK | os.X_OK):
            text = f"the state folder {self.state} cannot be written ({fault}); set state_dir to one that can"
            raise ServerError(text)

    def _announce(self, config_file: str | None) -> None:
        local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.config.host)  # noqa: S104
        running = runtime.Running(
            pid=os.getpid(),
            started=runtime.began(os.getpid()) or 0.0,
            url=f"http://{local}:{self.port}" if local else self.url,
            port=self.port,
            token=self._token,
            state_dir=str(self.state),
            config=config_file,
        )
        try:
            self._announced = runtime.announce(running)
        except OSError as e:
            log.warning("`pilotlight ps` will not find this server without --url: %s", e)

    def _keys(self, config: Config, before: KeyRing | None = None) -> KeyRing:
        names = Directory(config.models).names
        keys = KeyRing(config.api_keys, self._env, names, self.clock, before)
        keys.add(LOCAL, self._token, admin=True)
        return keys

    def _refuse_open_door(self, config: Config) -> None:
        if config.api_keys or self._insecure or _is_loopback(config.host):
            return
        raise ServerError(
            f"host {config.host} can be reached from other machines and there are no api_keys; "
            "set api_keys, listen on 127.0.0.1, or give --insecure if that is what you want"
        )

    def _post(self, event: Event) -> None:
        self.controller.post(event)

    # -- what the gateway asks ---------------------------------------------------------------------------------------

    def _ready_at(self, replica: str) -> float | None:
        r = self.controller.fleet.replicas.get(replica)
        return None if r is None or r.ready_at == NEVER else r.ready_at

    def _is_up(self, deployment: str) -> bool:
        d = self.controller.fleet.deployments.get(deployment)
        return d is not None and any(r.ready_at != NEVER for r in d.replicas.values())

    def _report(self, replica: str) -> StartReport | None:
        try:
            return self.worker.report(replica)
        except KeyError:
            return None

    def _start_record(self, replica: str) -> StartRecord | None:
        r = self._report(replica)
        if r is None:
            return None
        reason = "" if r.ready_at is not None else r.doing
        return StartRecord(r.replica, r.deployment, r.ordered_at, r.ready_at, r.spans, reason=reason)

    def _progress(self, deployment: str) -> str:
        """What a held request is told."""
        d = self.controller.fleet.deployments.get(deployment)
        now = self.clock.now()
        for r in d.replicas.values() if d is not None else ():
            if r.ready_at == NEVER:
                report = self._report(r.id)
                doing = report.doing if report is not None else "starting"
                return f"{deployment} is starting: {doing}, {now - r.ordered_at:.1f} s so far"
        return f"{deployment} is waited for"

    def _told(self) -> list[Callable[[RequestRecord], None]]:
        told = [self.metrics.told, self._requests.told, self.traces.told, self._count_cold]
        return [*told, self._otel.told] if self._otel is not None else told

    def _count_cold(self, record: RequestRecord) -> None:
        if record.outcome == "refused":  # it was not served, and waited for nothing
            return
        self._cold_rate.add(record.model, self.clock.now(), record.start_wait)

    # -- reload ------------------------------------------------------------------------------------------------------

    def reload(self) -> list[str]:
        """Applies the file as it is now and says what changed.

        Raises ConfigError, and changes nothing, if it is wrong.
        """
        if self._read is None:
            return []
        new = self._read()
        old = self.config
        said = _said(changes(old, new))
        new = msgspec.structs.replace(new, **{name: getattr(old, name) for name in RESTART})
        try:
            self._refuse_open_door(new)
        except ServerError as e:
            raise ConfigError([Problem("the configuration", 0, "api_keys", str(e))]) from None
        declared = self._declared(new)
        self.config = new
        self._engine_env.clear()
        self._engine_env.update(_for_engines(self._env, new))
        self._models = dict(new.models)
        self.front.directory = Directory(new.models)
        self.front.keys = self._keys(new, self.front.keys)
        self._apply(declared)
        return said

    def reload_and_log(self) -> None:
        """What SIGHUP does; before the server is up, as soon as it is."""
        if not self.url:
            self._reload_due = True
            return
        try:
            said = self.reload()
        except ConfigError as e:
            log.error("the configuration was not reloaded:\n%s", e)
        else:
            log.info("the configuration was reloaded: %s", "; ".join(said) or "nothing changed")

    # -- down --------------------------------------------------------------------------------------------------------

    async def drain(self, hurry: asyncio.Event) -> None:
        """No new requests; returns when the running ones are done, or when `hurry` is set."""
        self.controller.post(ShutDown(self.clock.now()))
        while self.controller.fleet.replicas and not hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), 0.05)

    async def close(self, at_once: bool = False) -> None:
        """Ends whatever still runs, `at_once` without giving engines time.

        Also right for a server that did not start.
        """
        if self._announced is not None:
            self._announced.unlink(missing_ok=True)
        if at_once:
            await self.substrate.close()
        if self._refining is not None:
            self._refining.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            await self._upstream.close()
        await self.worker.close()
        await self.substrate.close()
        self._requests.close()
        if self._otel is not None:
            await asyncio.to_thread(self._otel.close)


def _say(event: Event, actions: Sequence[Action]) -> None:
    """Every decision, for who asked to see them."""
    log.debug("%r -> %s", event, "; ".join(map(repr, actions)) or "nothing")


def _for_engines(env: Mapping[str, str], config: Config) -> dict[str, str]:
    """The server's environment without the keys that open its own door."""
    secret = {"PILOTLIGHT_API_KEY", *(key.key_env for key in config.api_keys)}
    return {name: value for name, value in env.items() if name not in secret}


def _said(c: Changes) -> list[str]:
    """What a reload did, a line each."""
    keys = {name: ", ".join(fields) for name, fields in c.fields.items()}
    return [
        *(f"{name}: added" for name in c.added),
        *(f"{name}: removed" for name in c.removed),
        *(f"{name}: replicas are being replaced ({keys[name]} changed)" for name in c.replaced),
        *(f"{name}: {keys[name]} changed" for name in c.adjusted),
        *(f"{name} changed" for name in c.applied),
        *(f"{name} changed; it takes effect at the next start" for name in c.restart),
    ]


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
