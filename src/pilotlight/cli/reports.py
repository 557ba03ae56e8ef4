"""What the worker says of replicas, for those who may ask for one that is gone."""

from typing import Any

from pilotlight.fleet.records import StartRecord
from pilotlight.substrate.local import LocalSubstrate
from pilotlight.worker.report import StartReport
from pilotlight.worker.supervisor import Worker


class Reports:
    """One per server."""

    def __init__(self, worker: Worker, substrate: LocalSubstrate) -> None:
        self._worker = worker
        self._substrate = substrate

    def of(self, replica: str) -> StartReport | None:
        """None once it is gone."""
        try:
            return self._worker.report(replica)
        except KeyError:
            return None

    def record(self, replica: str) -> StartRecord | None:
        r = self.of(replica)
        if r is None:
            return None
        reason = "" if r.ready_at is not None else r.doing
        return StartRecord(
            r.replica,
            r.deployment,
            r.ordered_at,
            r.ready_at,
            r.spans,
            r.techniques,
            reason,
            kind=r.kind,
            fell_back=r.fell_back,
        )

    def seen(self, replica: str) -> str:
        """What may explain that it was not ready in time."""
        return report.seen if (report := self.of(replica)) else ""

    def pid(self, replica: str) -> int | None:
        return report.pid if (report := self.of(replica)) else None

    def doing(self, replica: str) -> str:
        """The step of its start that goes on."""
        return report.doing if (report := self.of(replica)) else ""

    def primed(self) -> dict[str, Any]:
        """What is kept so that starts are shorter, by engine; snapshots by model."""
        zygotes = [{"engine": z.engine, "pid": z.pid, "ready": z.ready} for z in self._substrate.zygotes()]
        return {
            "zygotes": zygotes,
            "warm_pool": dict(self._worker.primed()),
            "snapshots": self._worker.snapshots.taken(),
        }
