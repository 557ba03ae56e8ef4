"""The control plane: one function, the same live and simulated."""

from collections.abc import Callable
from typing import Any

from pilotlight.fleet import events as ev
from pilotlight.fleet.actions import Action, WakeAt
from pilotlight.fleet.fleet import Fleet
from pilotlight.policy import configure, remote, replicas, requests, rest

HANDLERS: dict[type, Callable[[Fleet, Any, list[Action]], None]] = {
    ev.Arrived: requests.arrived,
    ev.Finished: requests.finished,
    ev.Bounced: requests.bounced,
    ev.Answered: remote.answered,
    ev.Declined: remote.declined,
    ev.Charged: remote.charged,
    ev.Spent: remote.spent,
    ev.SpendKnown: remote.spend_known,
    ev.Progressed: replicas.progressed,
    ev.Ready: replicas.ready,
    ev.StartFailed: replicas.start_failed,
    ev.Failing: replicas.failing,
    ev.Died: replicas.died,
    ev.Slept: rest.slept,
    ev.SleepFailed: rest.sleep_failed,
    ev.SleepAsked: rest.sleep_asked,
    ev.Overhead: rest.overhead,
    ev.Recovered: replicas.recovered,
    ev.Stopped: replicas.stopped,
    ev.Measured: replicas.measured,
    ev.Sized: replicas.sized,
    ev.Configured: configure.configured,
    ev.ClockSet: configure.clock_set,
    ev.WarmAsked: configure.warm_asked,
    ev.StopAsked: configure.stop_asked,
    ev.ShutDown: configure.shut_down,
    ev.Tick: configure.tick,
}


def step(fleet: Fleet, event: ev.Event) -> tuple[Fleet, list[Action]]:
    """Applies the event and decides. Reads no clock, does no IO; may update `fleet` in place.

    Events about replicas or requests that are not known (any more) do nothing.
    """
    out: list[Action] = []
    HANDLERS[type(event)](fleet, event, out)
    timers = fleet.timers
    if timers and timers[0][0] < fleet.wake_at:
        wake(fleet, out)
    return fleet, out


def wake(fleet: Fleet, out: list[Action]) -> None:
    """Asks for a Tick at the next deadline. Who calls a handler by himself asks as `step` does whether it is to be."""
    fleet.wake_at = fleet.timers[0][0]
    out.append(WakeAt(fleet.wake_at, "the next deadline"))
