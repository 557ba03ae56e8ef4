"""An engine for tests and simulations: no program behind it; a fake substrate plays its part."""

from collections.abc import Mapping
from pathlib import Path

from pilotlight.coldstart import plans
from pilotlight.engines.environment import environment
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.ports import Launch, Preload, WeightsInfo
from pilotlight.spec.model import Model


class FakeEngine:
    """`reports` chooses which of the two kinds of engine it stands for: one of ours, or a command."""

    name = "fake"

    def __init__(self, reports: bool = True, memory: int = 2**20) -> None:
        self.reports = reports
        self.memory = memory
        self.stamp = ""
        """What is installed."""

    def plan(self, model: Model) -> Plan:
        if self.reports:
            return plans.embedded(warm_up=bool(model.engine_args.get("warmup", False)))
        return plans.command(fetch=model.source is not None)

    def techniques(self, model: Model) -> tuple[str, ...]:
        return ("zygote", "warm_pool", "sleep") if self.reports else ()

    def need(self, model: Model, weights: WeightsInfo | None) -> Need:
        estimate = self.memory + (weights.size if weights else 0)
        memory = estimate if model.memory is None else model.memory
        return Need(memory, model.gpus, model.gpu_memory, estimated=model.memory is None)

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch:
        return Launch(
            argv=("fake-engine",),
            env=environment(model, port, devices),
            cwd=str(config_dir),
            url=f"http://127.0.0.1:{0 if self.reports else port}",
            health="/health",
            reports=self.reports,
            wants_weights=self.reports,
            preload=Preload(self.name, ("fake-engine",), (), "fake", (), self.stamp)
            if self.reports
            else None,
            streams=frozenset({0}) if self.reports else frozenset(),
            sleeps="channel" if self.reports else "",
        )

    def settings(self, model: Model, weights: WeightsInfo | None) -> Mapping[str, bool | int | float | str]:
        return dict(model.engine_args) if self.reports else {}
