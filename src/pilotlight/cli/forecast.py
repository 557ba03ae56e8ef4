"""How long starts take and what is left of one: what was learned, joined with what is running."""

from collections.abc import Callable

from pilotlight.clock import Clock
from pilotlight.coldstart.learned import Estimate, Learned, Row, Who
from pilotlight.coldstart.remaining import Left, to_go
from pilotlight.coldstart.sleep import WAKE
from pilotlight.coldstart.techniques import rewritten
from pilotlight.fleet.actions import Moved
from pilotlight.fleet.fleet import Fleet, Replica
from pilotlight.fleet.plan import Plan, Stage
from pilotlight.fleet.records import StartRecord
from pilotlight.fleet.states import COMING, State
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Model
from pilotlight.telemetry.prometheus import Metrics
from pilotlight.telemetry.start_times import StartTimes
from pilotlight.worker.report import StartReport


class Forecast:
    def __init__(
        self,
        clock: Clock,
        fleet: Callable[[], Fleet],
        report: Callable[[str], StartReport | None],
        learned: Callable[[], Learned],
    ) -> None:
        self._clock = clock
        self._fleet = fleet
        self._report = report
        self._learned = learned

    def of(self, record: StartRecord) -> tuple[Who, str, Plan] | None:
        """Whose start it was, where, and by which plan; None for a deployment that is gone."""
        d = self._fleet().deployments.get(record.deployment)
        r = self._fleet().replicas.get(record.replica)
        report = self._report(record.replica)
        if d is None or r is None or report is None:
            return None
        plan = WAKE if record.kind == "wake" else rewritten(d.spec.plan, record.techniques)
        return Who(r.deployment, r.fingerprint, report.engine), r.host, plan

    def usual(self, name: str, model: Model, host: str, kind: str = "start") -> Row | None:
        """What is known of this model's usual start; None when none was ever seen."""
        return self._learned().latest(Who(name, fingerprint(model), model.engine), host, kind)

    def left(self, replica: str) -> Left | None:
        """Of a start or a wake under way; None when nothing is known of such."""
        r, report = self._fleet().replicas.get(replica), self._report(replica)
        if r is None or report is None or r.state not in COMING:
            return None
        now = self._clock.now()
        if r.state is not State.STARTING:
            estimate = self._estimate(r, report, WAKE, "wake")
            return None if estimate is None else to_go(estimate, now - r.since, {})
        d = self._fleet().deployments[r.deployment]
        estimate = self._estimate(r, report, rewritten(d.spec.plan, report.techniques), "start")
        if estimate is None:
            return None
        done = {span.stage: span.end - r.ordered_at for span in report.spans}
        return to_go(estimate, now - r.ordered_at, done)

    def _estimate(self, r: Replica, report: StartReport, plan: Plan, kind: str) -> Estimate | None:
        who = Who(r.deployment, r.fingerprint, report.engine)
        return self._learned().estimate(who, r.host, plan, kind)

    def words(self, deployment: str) -> str:
        """What a held request is told."""
        d = self._fleet().deployments.get(deployment)
        for r in d.every if d is not None else ():
            if r.state in COMING:
                report = self._report(r.id)
                doing = report.doing if report is not None else r.state.value
                since = r.ordered_at if r.state is State.STARTING else r.since
                so_far = f"{deployment} is {r.state.value}: {doing}, {self._clock.now() - since:.1f} s so far"
                return so_far + said(self.left(r.id))
        return f"{deployment} is waited for"


def said(left: Left | None) -> str:
    """A promise that is kept, or none."""
    if left is None:
        return ""
    seconds = f"{left.seconds:.0f} s" if left.seconds >= 1 else "1 s"
    if left.late == Stage.FETCH:
        return f", about {seconds} to go after the download"
    return f", {left.late} takes longer than usual" if left.late else f", about {seconds} to go"


class StartBook:
    """Tells the metrics, and learns from, what the loop's effects have come to."""

    def __init__(self, metrics: Metrics, times: StartTimes) -> None:
        self._metrics = metrics
        self._times = times

    def moved(self, action: Moved) -> None:
        self._metrics.moved(action)

    def started(self, report: StartRecord) -> None:
        self._metrics.started(report)
        self._times.told(report)

    def died(self, deployment: str) -> None:
        self._metrics.died(deployment)
