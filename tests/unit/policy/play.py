"""Plays events on a fleet and shows, in a few words each, what the kernel orders.

    p = Play(model(ttl=60))
    assert p.ask("r1") == ["hold r1", "start m-1"]
    assert p.ready("m-1") == ["r1 -> m-1"]
    assert p.done("r1") == []
    assert p.wait(60) == ["stop m-1"]

Time stands still between the calls; `wait` moves it and delivers the Ticks that were asked for. Changes of state and
wake-ups are left out of what is shown: `state` tells the one, `wait` uses the other.
"""

from typing import Any

import msgspec

from pilotlight.fleet import actions as ac
from pilotlight.fleet import events as ev
from pilotlight.fleet.deployment import Deployment, Device, Goal, Host, Need
from pilotlight.fleet.fleet import NEVER, Fleet
from pilotlight.fleet.plan import Stage
from pilotlight.fleet.provider import Provider
from pilotlight.fleet.states import Cause
from pilotlight.policy.step import step

GIB = 2**30


def model(name: str = "m", **fields: Any) -> Deployment:
    """A deployment; `memory`, `gpus` and `gpu_memory` in GiB, and `exclusive`, are what one replica needs."""
    memory, gpus, share = (fields.pop(k, d) for k, d in (("memory", 1), ("gpus", 0), ("gpu_memory", None)))
    names = ("estimated", "gpu_estimated", "exclusive")
    said = {"estimated": False} | {k: fields.pop(k) for k in names if k in fields}
    need = Need(int(memory * GIB), gpus, None if share is None else share * GIB, **said)
    fields.setdefault("ttl", NEVER)
    fields.setdefault("ttl_to_zero", fields["ttl"])
    return Deployment(id=name, need=need, **fields)


def sleepy(name: str = "m", **fields: Any):
    """A deployment whose replicas can sleep."""
    return model(name, techniques=("sleep",), **fields)


class Play:
    """`memory` and the members of `gpus` in GiB: what the one host has."""

    def __init__(
        self,
        *deployments: Deployment,
        memory: float = 64,
        gpus: tuple[int, ...] = (),
        providers: tuple[Provider, ...] = (),
    ) -> None:
        self.providers = providers
        self.fleet = Fleet()
        self.now = 100.0
        self.unix = 0.0
        self.goal = Goal()
        self.wake_at = NEVER
        self.refused: dict[str, ac.Refuse] = {}
        self.notes: list[str] = []
        self.causes: list[Cause | None] = []
        """Of all changes of state."""
        self.first = self.configure(*deployments, memory=memory, gpus=gpus)
        """What the first configuration ordered."""

    # -- events --------------------------------------------------------------------------------------------------

    def configure(
        self, *deployments: Deployment, memory: float | None = None, gpus: tuple[int, ...] = ()
    ) -> list[str]:
        """The declaration, whole; without `memory` the host stays as it is."""
        if memory is not None:
            self.host = Host(
                "local", int(memory * GIB), tuple(Device(i, n * GIB) for i, n in enumerate(gpus))
            )
        return self.play(
            ev.Configured(self.now, deployments, (self.host,), self.goal, self.unix, self.providers)
        )

    def ask(
        self, request: str, deployment: str = "m", keep_alive: float | None = None, **terms: Any
    ) -> list[str]:
        """`terms`: `rank`, `stand_in` and `remote` of the request."""
        return self.play(ev.Arrived(self.now, request, deployment, keep_alive, **terms))

    def ask_all(self, *requests: str, of: str = "m") -> list[str]:
        return [word for request in requests for word in self.ask(request, of)]

    def done(self, request: str, ok: bool = True) -> list[str]:
        return self.play(ev.Finished(self.now, request, ok))

    def leave(self, request: str) -> list[str]:
        """Its client goes away."""
        return self.done(request, ok=False)

    def bounce(self, request: str) -> list[str]:
        return self.play(ev.Bounced(self.now, request))

    def answered(self, request: str, provider: str = "p", whole: bool = False) -> list[str]:
        return self.play(ev.Answered(self.now, request, provider, whole))

    def charged(self, request: str, usd: float = 0.0, provider: str = "p", **how: Any) -> list[str]:
        """Its provider is done with it. `how`: `ok` and `reason`."""
        return self.play(ev.Charged(self.now, request, provider, usd, **how))

    def declined(self, request: str, kind: str = "unreachable", provider: str = "p", **how: Any) -> list[str]:
        """`how`: `retry_after` and `usd`."""
        return self.play(ev.Declined(self.now, request, provider, kind, "scripted", **how))

    def ready(self, replica: str, fetched: float = 0.0, techniques: tuple[str, ...] = ()) -> list[str]:
        return self.play(ev.Ready(self.now, replica, fetched, techniques))

    def progress(self, replica: str, stage: Stage) -> list[str]:
        """A step of its start begins."""
        return self.play(ev.Progressed(self.now, replica, stage))

    def fail(self, replica: str, reason: str = "exit 1") -> list[str]:
        return self.play(ev.StartFailed(self.now, replica, reason))

    def crash(self, replica: str, reason: str = "killed") -> list[str]:
        """Its process has ended; what it started is being cleared up until it `die`s."""
        return self.play(ev.Failing(self.now, replica, reason))

    def die(self, replica: str, reason: str = "killed") -> list[str]:
        return self.play(ev.Died(self.now, replica, reason))

    def recover(self, replica: str) -> list[str]:
        return self.play(ev.Recovered(self.now, replica))

    def gone(self, replica: str) -> list[str]:
        """A replica that was told to stop has."""
        return self.play(ev.Stopped(self.now, replica))

    def measure(self, replica: str, memory: float, gpu_memory: float | None = None) -> list[str]:
        gpu = None if gpu_memory is None else int(gpu_memory * GIB)
        return self.play(ev.Measured(self.now, replica, int(memory * GIB), gpu))

    def size(self, deployment: str, memory: float, small: bool = False) -> list[str]:
        d = self.fleet.deployments.get(deployment)
        need = Need() if d is None else d.spec.need
        need = msgspec.structs.replace(need, memory=int(memory * GIB))
        return self.play(ev.Sized(self.now, deployment, need, small))

    def warm(self, deployment: str = "m") -> list[str]:
        return self.play(ev.WarmAsked(self.now, deployment))

    def stop(self, deployment: str = "m") -> list[str]:
        return self.play(ev.StopAsked(self.now, deployment))

    def sleep(self, deployment: str = "m", level: int | None = None) -> list[str]:
        return self.play(ev.SleepAsked(self.now, deployment, level))

    def slept(self, replica: str, memory: float, gpu_memory: float | None = None) -> list[str]:
        gpu = None if gpu_memory is None else int(gpu_memory * GIB)
        return self.play(ev.Slept(self.now, replica, int(memory * GIB), gpu))

    def sleep_failed(self, replica: str, reason: str = "no") -> list[str]:
        return self.play(ev.SleepFailed(self.now, replica, reason))

    def overhead(self, memory: float) -> list[str]:
        """What zygotes and primed processes take, in GiB."""
        return self.play(ev.Overhead(self.now, "local", int(memory * GIB)))

    def shut_down(self) -> list[str]:
        return self.play(ev.ShutDown(self.now))

    def set_clock(self, unix: float) -> list[str]:
        """The wall clock says that it is this Unix second."""
        self.unix = unix - self.now
        return self.play(ev.ClockSet(self.now, self.unix))

    def wait(self, seconds: float) -> list[str]:
        """Lets time pass, with the Ticks that were asked for."""
        end, shown = self.now + seconds, []
        while self.wake_at <= end:
            self.now = max(self.now, self.wake_at)
            self.wake_at = NEVER
            shown += self.play(ev.Tick(self.now))
        self.now = end
        return shown

    def play(self, event: ev.Event) -> list[str]:
        self.fleet, actions = step(self.fleet, event)
        return [text for action in actions if (text := self._show(action))]

    # -- shortcuts -----------------------------------------------------------------------------------------------

    def up(self, deployment: str = "m", serve: bool = True) -> str:
        """A replica that is up and idle, and has served a request unless `serve` is False; its id."""
        before = set(self.fleet.replicas)
        self.play(ev.WarmAsked(self.now, deployment))
        (replica,) = set(self.fleet.replicas) - before
        self.ready(replica)
        if serve:
            self.ask("first", deployment)
            self.done("first")
        return replica

    # -- what is seen --------------------------------------------------------------------------------------------

    def state(self, replica: str) -> str:
        found = self.fleet.replicas.get(replica)
        return "gone" if found is None else found.state.value

    def states(self, deployment: str = "m") -> dict[str, str]:
        return {r.id: r.state.value for r in self.fleet.deployments[deployment].every}

    def held(self, deployment: str = "m") -> list[str]:
        return list(self.fleet.deployments[deployment].held)

    def taken(self) -> float:
        """GiB of host memory that are set aside."""
        return self.fleet.hosts["local"].memory / GIB

    def taken_on(self, device: int) -> float:
        """The same on a device."""
        return self.fleet.hosts["local"].devices.get(device, 0) / GIB

    def _show(self, action: ac.Action) -> str | None:
        match action:
            case ac.Assign():
                return f"{action.request} -> {action.replica}"
            case ac.Hold():
                return f"hold {action.request}"
            case ac.Send():
                return f"{'hedge' if action.hedged else 'send'} {action.request} to {action.provider}"
            case ac.Ping():
                return f"{action.request} to {action.provider}"
            case ac.Refuse():
                self.refused[action.request] = action
                return f"refuse {action.request} {action.status} {action.code}"
            case ac.Start():
                on = f" on {','.join(map(str, action.devices))}" if action.devices else ""
                return f"start {'small ' if action.small else ''}{action.replica}{on}"
            case ac.Trim():
                return f"trim {action.host}"
            case ac.Moved():
                self.causes.append(action.cause)
            case ac.Stop() | ac.Probe() | ac.Sleep() | ac.Wake():
                return f"{type(action).__name__.lower()} {action.replica}"
            case ac.Note():
                self.notes.append(action.because)
            case ac.WakeAt():
                self.wake_at = min(self.wake_at, action.at)
        return None


def asleep(p: Play, deployment: str = "m", memory: float = 0.1) -> str:
    """A replica that an operator has put to sleep; its id."""
    replica = p.up(deployment)
    assert p.sleep(deployment) == [f"sleep {replica}"]
    p.slept(replica, memory)
    return replica
