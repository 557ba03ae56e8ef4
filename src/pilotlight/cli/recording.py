"""What the server records of itself, put together: metrics, logs, traces, decisions, the cold rate."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from pilotlight.clock import Clock
from pilotlight.fleet.events import Answered, Charged, Declined, Event
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.records import RequestRecord
from pilotlight.gateway.errand import Errand
from pilotlight.spec.model import Config
from pilotlight.telemetry.cold_rate import ColdRate
from pilotlight.telemetry.decisions import Decisions
from pilotlight.telemetry.otel import from_env
from pilotlight.telemetry.prometheus import Metrics
from pilotlight.telemetry.providers import ProviderCounts
from pilotlight.telemetry.request_log import RequestLog
from pilotlight.telemetry.rotate import RotatingFile
from pilotlight.telemetry.stages import stages
from pilotlight.telemetry.traces import Traces

Paid = Callable[[Errand, float], None]


class Recording:
    """One per server. `fleet` is asked when somebody wants to know."""

    def __init__(
        self, config: Config, state: Path, env: Mapping[str, str], clock: Clock, fleet: Callable[[], Fleet]
    ) -> None:
        self._clock = clock
        self.cold_rate = ColdRate(config.objective.wait, config.objective.window)
        self.metrics = Metrics(clock, fleet, self.cold_rate)
        self.providers = ProviderCounts(clock, fleet)
        self.metrics.registry.register(self.providers)
        self.traces = Traces()
        self.requests = RequestLog(
            RotatingFile(state / "requests.jsonl", config.log_max_size),
            clock,
            lambda r: {row.stage: round(row.seconds, 6) for row in stages(r)},
        )
        self.decisions = Decisions(clock, fleet)
        self._otel = from_env(env, stages)
        self.paid: Paid = lambda errand, usd: None
        """Who keeps the bill: told of every errand that is over, and what it has cost."""
        self.answered: Callable[[Errand], None] = lambda errand: None
        """The same, of each whose answer has begun."""

    def told(self) -> list[Callable[[RequestRecord], None]]:
        """Whoever hears of every request that is over."""
        told = [
            self.metrics.told,
            self.requests.told,
            self.traces.told,
            self.decisions.told,
            self._count_cold,
        ]
        return [*told, self._otel.told] if self._otel is not None else told

    def _count_cold(self, record: RequestRecord) -> None:
        if record.outcome == "refused":  # it was not served, and waited for nothing
            return
        if record.request_class == "batch":  # it has asked to wait
            return
        self.cold_rate.add(record.model, self._clock.now(), record.start_wait)

    def errand(self, errand: Errand, event: Event) -> None:
        """What is heard of a request, or a ping, at a provider."""
        self.providers.told(event, errand.deployment, errand.sent_at, ping=errand.is_ping, lied=errand.lied)
        if isinstance(event, Answered):
            self.answered(errand)
        elif isinstance(event, Charged | Declined):
            self.paid(errand, event.usd)

    async def close(self) -> None:
        self.requests.close()
        if self._otel is not None:
            await asyncio.to_thread(self._otel.close)
