"""The server, put together: controller, worker, gateway, telemetry."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from pilotlight import __version__
from pilotlight.cli import runtime
from pilotlight.cli.billing import Billing
from pilotlight.cli.changed import said
from pilotlight.cli.declare import Known, declare, refined
from pilotlight.cli.forecast import Forecast, StartBook
from pilotlight.cli.recording import Recording
from pilotlight.cli.reports import Reports
from pilotlight.cli.state import StateFolder, cache_dir, state_dir
from pilotlight.clock import SystemClock
from pilotlight.coldstart.techniques import SNAPSHOT
from pilotlight.controller.live import LiveEffects
from pilotlight.controller.loop import Controller
from pilotlight.controller.wall import WallClock
from pilotlight.engines.registry import engines
from pilotlight.errors import ConfigError, Problem, ServerError
from pilotlight.fleet import view
from pilotlight.fleet.actions import Action
from pilotlight.fleet.events import Configured, Event, ShutDown, Sized, SpendKnown, Spent
from pilotlight.gateway.admin import Admin
from pilotlight.gateway.desk import Desk
from pilotlight.gateway.front import Directory, Front
from pilotlight.gateway.kitchen import Kitchen, Patience
from pilotlight.gateway.remote import Remotes
from pilotlight.gateway.upstream import Upstream
from pilotlight.http.door import Door
from pilotlight.http.keys import LOCAL, KeyRing
from pilotlight.http.listen import listen
from pilotlight.http.local import is_loopback
from pilotlight.http.routes import Routes
from pilotlight.policy import routing
from pilotlight.spec.diff import RESTART, changes
from pilotlight.spec.model import Config
from pilotlight.substrate.inventory import Inventory
from pilotlight.substrate.local import LocalSubstrate
from pilotlight.telemetry.bill_store import Earlier
from pilotlight.telemetry.start_times import StartTimes
from pilotlight.weights.cache import WeightCache
from pilotlight.worker import scratch
from pilotlight.worker.settings import Settings
from pilotlight.worker.supervisor import Worker

log = logging.getLogger("pilotlight")

SWEEP_FIRST = 0.3
"""Seconds that the door stays shut while what an earlier server left behind is looked for."""


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
        self._folder = StateFolder(self.state)
        self._recording = Recording(config, self.state, env, clock, lambda: self.controller.fleet)
        self.metrics = self._recording.metrics
        self.traces = self._recording.traces
        self._billing = billing = Billing(config, self.state, clock, lambda: self.controller.fleet)
        self.metrics.registry.register(billing.metrics)
        self._recording.paid, self._recording.answered = billing.paid, billing.answered
        self.substrate = LocalSubstrate(self.state)
        self.weights = WeightCache(cache_dir(config))
        self._inventory = Inventory(env)
        self._known: Known = {}
        self._engine_env = _for_engines(env, config)
        self._engines = engines(config.engines, cache_dir(config))
        self.worker = Worker(
            self._post,
            clock,
            self.substrate,
            self.weights,
            self._engines,
            Settings(
                config_dir,
                self.state / "logs",
                config.log_max_size,
                self._engine_env,
                snapshot_dir=self.state / "snapshots",
            ),
            room=lambda: view.room(self.controller.fleet),
        )
        self._reports = Reports(self.worker, self.substrate)
        self.forecast = Forecast(
            clock, lambda: self.controller.fleet, self._reports.of, lambda: self.start_times.learned
        )
        self.start_times = StartTimes(self.state / "start_times.json", clock, self.forecast.of)
        book = StartBook(self.metrics, self.start_times)
        self._decisions = self._recording.decisions
        self._wall = WallClock(clock, self._post)
        effects = LiveEffects(
            self.worker,
            lambda name: self._models[name],
            self._reports.record,
            book,
            billing.beside(self._decisions.decided),
        )
        self.controller = Controller(clock, effects, _say if log.isEnabledFor(logging.DEBUG) else None)
        self._remotes = Remotes(clock, lease=billing.lease)
        self._desk = effects.requests = Desk(
            clock, self.controller.post, self._remotes.ping, self._recording.errand
        )
        self._patience = patience
        self._models = dict(config.models)
        self._runner: web.ServerRunner | None = None
        self._refining: asyncio.Task[None] | None = None

    # -- up ----------------------------------------------------------------------------------------------------------

    async def start(self, config_file: str | None = None, checked: Awaitable[None] | None = None) -> None:
        """Opens the port once `checked` has raised nothing.

        Raises ServerError when the port or the state folder cannot be had, ConfigError when a GPU is not there.
        """
        config = self.config
        self._folder.open()
        self.start_times.load()
        self._spent_before(self._billing.bill.open(self._spent_before))
        self._sweeping = asyncio.create_task(self._sweep())
        await asyncio.wait((self._sweeping,), timeout=SWEEP_FIRST)
        declared = self._declared(config)
        self._upstream = Upstream()
        kitchen = Kitchen(
            clock=self.clock,
            desk=self._desk,
            upstream=self._upstream,
            url_of=self.worker.url,
            ready_at=lambda replica: view.ready_at(self.controller.fleet, replica),
            woken=lambda replica: view.woken(self.controller.fleet, replica),
            seen=self._reports.seen,
            is_up=lambda name: view.is_up(self.controller.fleet, name),
            report=self._reports.record,
            log_tail=self.worker.log_tail,
            progress=self.forecast.words,
            told=[*self._recording.told(), self._billing.bill.told],
            began=self._billing.bill.began,
            share=self._billing.bill.share,
            patience=self._patience,
            remotes=self._remotes,
            has_room=lambda name: routing.has_room(self.controller.fleet, name),
        )
        self.front = Front(
            kitchen,
            self._keys(config),
            Directory(config.models),
            int(time.time()),
            local_only=not self._insecure and is_loopback(config.host),
        )
        self.admin = Admin(
            front=self.front,
            clock=self.clock,
            fleet=lambda: self.controller.fleet,
            post=self.controller.post,
            pid_of=self._reports.pid,
            progress=self._reports.doing,
            left=self.forecast.left,
            primed=self._reports.primed,
            metrics=self.metrics,
            traces=self.traces,
            decisions=self._decisions.of,
            cost=self._billing.answer,
            prices=self._billing.prices,
            reload=self.reload,
            version=__version__,
        )
        if checked is not None:
            await checked
        door = Door(Routes([*self.front.routes(), *self.admin.routes()]), config.client_max_size)
        self._runner, self.port = await listen(door, config.host, config.port)
        address = f"[{config.host}]" if ":" in config.host else config.host
        self.url = f"http://{address}:{self.port}"
        self._announce(config_file)
        self._apply(declared)
        self._wall.start()
        if self._reload_due:
            self.reload_and_log()

    def _spent_before(self, spent: Earlier | None) -> None:
        """At providers, by earlier servers; None while that cannot be read."""
        now = self.clock.now()
        if spent is None and self.config.providers:
            log.warning("providers with a budget are not asked until it can be read what was spent there")
        for name, hours in (spent or {}).items():
            self._post(Spent(now, name, hours))
        self._post(SpendKnown(now, known=spent is not None))

    async def _sweep(self) -> None:
        """Ends what an earlier server left behind: usually nothing, and else no reason to keep the door shut."""
        scratch.sweep(self.state / "logs" / scratch.NOTES)  # at once: no start has one of its own yet
        left = await self.substrate.sweep()
        if left:
            log.warning("%d processes that an earlier server left behind were ended", left)

    def _declared(self, config: Config) -> Configured:
        host = self._inventory.host(config)
        now, unix = self.clock.now(), self._wall.unix
        return declare(config, self._engines, self.weights, host, now, self._known, self.forecast.usual, unix)

    def _apply(self, declared: Configured) -> None:
        """Hands the declaration to the kernel, and better estimates of memory as they come."""
        self._remotes.configure(self.config.providers, declared.providers, self._env)
        self.controller.post(declared)
        self.worker.snapshots.keep(
            [name for name, model in self.config.models.items() if SNAPSHOT.name in (model.techniques or ())]
        )
        pools = {engine: settings.warm_pool for engine, settings in self.config.engines.items()}
        models = self.config.models.values()
        self.worker.prime([*models, *(m.small() for m in models if m.warmer is not None)], pools)
        if self._refining is not None:
            self._refining.cancel()
        self._refining = asyncio.get_running_loop().create_task(self._refine(self.config))

    async def _refine(self, config: Config) -> None:
        estimates = refined(config, self._engines, self.weights, self._known)
        while (found := await asyncio.to_thread(next, estimates, None)) is not None:
            name, need, small = found
            self.controller.post(Sized(self.clock.now(), name, need, small))

    def _announce(self, config_file: str | None) -> None:
        try:
            self._announced = runtime.announce(
                runtime.this_one(
                    self.config.host, self.port, self.url, self._token, str(self.state), config_file
                )
            )
        except OSError as e:
            log.warning("`pilotlight ps` will not find this server without --url: %s", e)

    def _keys(self, config: Config, before: KeyRing | None = None) -> KeyRing:
        names = Directory(config.models).names
        keys = KeyRing(config.api_keys, self._env, names, self.clock, before)
        keys.add(LOCAL, self._token, admin=True)
        return keys

    def _refuse_open_door(self, config: Config) -> None:
        if config.api_keys or self._insecure or is_loopback(config.host):
            return
        raise ServerError(
            f"host {config.host} can be reached from other machines and there are no api_keys; "
            "set api_keys, listen on 127.0.0.1, or give --insecure if that is what you want"
        )

    def _post(self, event: Event) -> None:
        self.controller.post(event)

    # -- reload ------------------------------------------------------------------------------------------------------

    def reload(self) -> list[str]:
        """Applies the file as it is now and says what changed.

        Raises ConfigError, and changes nothing, if it is wrong.
        """
        if self._read is None:
            return []
        new = self._read()
        old = self.config
        what = said(changes(old, new))
        new = msgspec.structs.replace(new, **{name: getattr(old, name) for name in RESTART})
        try:
            self._refuse_open_door(new)
        except ServerError as e:
            raise ConfigError([Problem("the configuration", 0, "api_keys", str(e))]) from None
        declared = self._declared(new)
        self.config = new
        before = dict(self._engine_env)
        self._engine_env.clear()
        self._engine_env.update(_for_engines(self._env, new))
        if self._engine_env != before:
            self.worker.renew()
        self._engines.update(engines(new.engines, cache_dir(new)))
        self._models = dict(new.models)
        self._decisions.keep(new.models)
        self._billing.declare(new)
        self.front.directory = Directory(new.models)
        self.front.keys = self._keys(new, self.front.keys)
        self._apply(declared)
        return what

    def reload_and_log(self) -> None:
        """What SIGHUP does; before the server is up, as soon as it is."""
        if not self.url:
            self._reload_due = True
            return
        try:
            what = self.reload()
        except ConfigError as e:
            log.error("the configuration was not reloaded:\n%s", e)
        else:
            log.info("the configuration was reloaded: %s", "; ".join(what) or "nothing changed")

    # -- down --------------------------------------------------------------------------------------------------------

    async def drain(self, hurry: asyncio.Event) -> None:
        """No new requests; returns when the running ones are done, or when `hurry` is set."""
        self.controller.post(ShutDown(self.clock.now()))
        self._remotes.call_off_pings()
        while self._busy() and not hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), 0.05)

    def _busy(self) -> bool:
        fleet = self.controller.fleet
        return bool(fleet.replicas or fleet.sent)

    async def close(self, at_once: bool = False) -> None:
        """Ends whatever still runs, `at_once` without giving engines time.

        Also right for a server that did not start.
        """
        if self._announced is not None:
            self._announced.unlink(missing_ok=True)
        if at_once:
            await self.substrate.close()
        self._wall.stop()
        if self._refining is not None:
            self._refining.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            await self._remotes.close()
            await self._upstream.close()
        await self.worker.close()
        await self.substrate.close()
        await self.start_times.close()
        await self._billing.bill.close()
        self._folder.close()
        await self._recording.close()


def _say(event: Event, actions: Sequence[Action]) -> None:
    """Every decision, for who asked to see them."""
    log.debug("%r -> %s", event, "; ".join(map(repr, actions)) or "nothing")


def _for_engines(env: Mapping[str, str], config: Config) -> dict[str, str]:
    """The server's environment without the keys that open its own door, and those that open others'."""
    secret = {"PILOTLIGHT_API_KEY", *(key.key_env for key in config.api_keys)}
    secret |= {said.key_env for said in config.providers.values() if said.key_env is not None}
    return {name: value for name, value in env.items() if name not in secret}
