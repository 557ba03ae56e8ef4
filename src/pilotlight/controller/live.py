"""What the kernel orders, carried out on this machine and told to those who record."""

import logging
from collections.abc import Callable
from typing import Protocol

from pilotlight.fleet.actions import (
    Assign,
    Hold,
    Moved,
    Note,
    Ping,
    Probe,
    Refuse,
    Rented,
    Send,
    Sleep,
    Start,
    Stop,
    Trim,
    Wake,
)
from pilotlight.fleet.records import StartRecord
from pilotlight.fleet.states import COMING, FAILED, Cause, State
from pilotlight.spec.model import Model

log = logging.getLogger("pilotlight")

GRACE = 10.0
"""Seconds from SIGTERM to SIGKILL for a replica without requests [G]."""

UNWANTED = frozenset({*FAILED, Cause.DIED, Cause.SLEEP_FAILED})


class Requests(Protocol):
    def assign(self, action: Assign) -> None: ...
    def hold(self, action: Hold) -> None: ...
    def send(self, action: Send) -> None: ...
    def ping(self, action: Ping) -> None: ...
    def refuse(self, action: Refuse) -> None: ...


class Replicas(Protocol):
    def start(self, action: Start, model: Model) -> None: ...
    def stop(self, replica: str, grace: float) -> None: ...
    def probe(self, replica: str) -> None: ...
    def sleep(self, replica: str, level: int) -> None: ...
    def wake(self, replica: str) -> None: ...
    def trim(self, host: str) -> None: ...


class Told(Protocol):
    def moved(self, action: Moved) -> None: ...
    def started(self, report: StartRecord) -> None: ...
    def died(self, deployment: str) -> None: ...


class LiveEffects:
    """`requests` is set by whoever puts the parts together, for the desk needs the controller and it needs us."""

    requests: Requests

    def __init__(
        self,
        replicas: Replicas,
        model_of: Callable[[str], Model],
        record_of: Callable[[str], StartRecord | None],
        told: Told,
        decided: Callable[[Moved | Rented | Note], None] = lambda action: None,
    ) -> None:
        self._replicas = replicas
        self._model_of = model_of
        self._record_of = record_of
        self._told = told
        self._decided = decided

    def assign(self, action: Assign) -> None:
        self.requests.assign(action)

    def hold(self, action: Hold) -> None:
        self.requests.hold(action)

    def send(self, action: Send) -> None:
        self.requests.send(action)

    def ping(self, action: Ping) -> None:
        self.requests.ping(action)

    def refuse(self, action: Refuse) -> None:
        self.requests.refuse(action)

    def start(self, action: Start) -> None:
        model = self._model_of(action.deployment)
        self._replicas.start(action, model.small() if action.small else model)

    def stop(self, action: Stop) -> None:
        self._replicas.stop(action.replica, GRACE)

    def probe(self, action: Probe) -> None:
        self._replicas.probe(action.replica)

    def sleep(self, action: Sleep) -> None:
        self._replicas.sleep(action.replica, action.level)

    def wake(self, action: Wake) -> None:
        self._replicas.wake(action.replica)

    def trim(self, action: Trim) -> None:
        self._replicas.trim(action.host)

    def moved(self, action: Moved) -> None:
        self._told.moved(action)
        self._decided(action)
        if action.was in COMING:  # it is over, well or not
            kind = "wake" if action.was is State.WAKING else "start"
            record = self._record_of(action.replica)
            if record is not None and record.kind == kind:
                self._told.started(record)
        elif action.cause is Cause.DIED:
            self._told.died(action.deployment)
        level = logging.WARNING if action.cause in UNWANTED else logging.INFO
        log.log(level, "%s is %s: %s", action.replica, action.state.value.replace("_", " "), action.because)

    def rented(self, action: Rented) -> None:
        self._decided(action)
        log.info("%s: %d always up: %s", action.deployment, action.replicas, action.because)

    def note(self, action: Note) -> None:
        self._decided(action)
        log.warning("%s: %s", action.deployment, action.because)
