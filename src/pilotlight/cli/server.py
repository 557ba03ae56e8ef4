"""The server, put together: controller, worker, gateway, telemetry."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from pilotlight import __version__
from pilotlight.cli.billing import Billing
from pilotlight.cli.changed import said
from pilotlight.cli.declaring import Declaring
from pilotlight.cli.entrance import Entrance
from pilotlight.cli.forecast import Forecast, StartBook
from pilotlight.cli.recording import Recording
from pilotlight.cli.reports import Reports
from pilotlight.cli.state import StateFolder, cache_dir, state_dir
from pilotlight.clock import SystemClock
from pilotlight.controller.live import LiveEffects
from pilotlight.controller.loop import Controller
from pilotlight.controller.wall import WallClock
from pilotlight.errors import ConfigError, Problem, ServerError
from pilotlight.fleet import view
from pilotlight.fleet.actions import Action
from pilotlight.fleet.events import Configured, Event, ShutDown
from pilotlight.gateway.admin import Admin
from pilotlight.gateway.desk import Desk
from pilotlight.gateway.front import Directory, Front
from pilotlight.gateway.kitchen import Kitchen, Patience
from pilotlight.gateway.remote import Remotes
from pilotlight.gateway.upstream import Upstream
from pilotlight.http.routes import Routes
from pilotlight.policy import routing
from pilotlight.spec.diff import RESTART, changes
from pilotlight.spec.model import Config
from pilotlight.substrate.local import LocalSubstrate
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
        self._env = env
        self._read = read
        self._reload_due = False
        self.clock = clock = SystemClock()
        self.entrance = Entrance(env, clock, insecure)
        self.entrance.check(config)
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
        self._wall = WallClock(clock, self._post)
        self._declaring = Declaring(config, env, self.weights, clock, self._wall)
        self.worker = self._worker(config_dir)
        self._reports = Reports(self.worker, self.substrate)
        self.forecast = Forecast(
            clock, lambda: self.controller.fleet, self._reports.of, lambda: self.start_times.learned
        )
        self.start_times = StartTimes(self.state / "start_times.json", clock, self.forecast.of)
        book = StartBook(self.metrics, self.start_times)
        self._decisions = self._recording.decisions
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

    def _worker(self, config_dir: Path) -> Worker:
        settings = Settings(
            config_dir,
            self.state / "logs",
            self.config.log_max_size,
            self._declaring.engine_env,
            snapshot_dir=self.state / "snapshots",
        )
        return Worker(
            self._post,
            self.clock,
            self.substrate,
            self.weights,
            self._declaring.engines,
            settings,
            room=lambda devices: view.room(self.controller.fleet, devices),
        )

    # -- up ----------------------------------------------------------------------------------------------------------

    async def start(self, config_file: str | None = None, checked: Awaitable[None] | None = None) -> None:
        """Opens the port once `checked` has raised nothing.

        Raises ServerError when the port or the state folder cannot be had, ConfigError when a GPU is not there.
        """
        config = self.config
        self._folder.open()
        self.start_times.load()
        self._billing.open(self._post)
        self._sweeping = asyncio.create_task(self._sweep())
        await asyncio.wait((self._sweeping,), timeout=SWEEP_FIRST)
        declared = self._declaring.declared(config, self.forecast.usual)
        self._upstream = Upstream()
        self.front = Front(
            self._kitchen(),
            self.entrance.keys(config),
            Directory(config.models),
            int(time.time()),
            local_only=self.entrance.is_local(config),
        )
        if checked is not None:
            await checked
        routes = Routes([*self.front.routes(), *self._admin().routes()])
        await self.entrance.open(routes, config, self.state, config_file)
        self._apply(declared)
        self._wall.start()
        if self._reload_due:
            self.reload_and_log()

    def _kitchen(self) -> Kitchen:
        return Kitchen(
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

    def _admin(self) -> Admin:
        return Admin(
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

    async def _sweep(self) -> None:
        """Ends what an earlier server left behind: usually nothing, and else no reason to keep the door shut."""
        scratch.sweep(self.state / "logs" / scratch.NOTES)  # at once: no start has one of its own yet
        left = await self.substrate.sweep()
        if left:
            log.warning("%d processes that an earlier server left behind were ended", left)

    def _apply(self, declared: Configured) -> None:
        """Hands the declaration to who sends requests on, to the kernel and to the worker."""
        self._remotes.configure(self.config.providers, declared.providers, self._env)
        self.controller.post(declared)
        self._declaring.prepare(self.config, self.worker)
        self._declaring.refine(self.config, self.controller.post)

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
            self.entrance.check(new)
        except ServerError as e:
            raise ConfigError([Problem("the configuration", 0, "api_keys", str(e))]) from None
        declared = self._declaring.declared(new, self.forecast.usual)
        self.config = new
        if self._declaring.renew(new):
            self.worker.renew()
        self._models = dict(new.models)
        self._decisions.keep(new.models)
        self._billing.declare(new)
        self.front.directory = Directory(new.models)
        self.front.keys = self.entrance.keys(new, self.front.keys)
        self._apply(declared)
        return what

    def reload_and_log(self) -> None:
        """What SIGHUP does; before the server is up, as soon as it is."""
        if not self.entrance.url:
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
        self.entrance.withdraw()
        if at_once:
            await self.substrate.close()
        self._wall.stop()
        self._declaring.close()
        if self.entrance.url:
            await self.entrance.close()
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
