"""Where `pilotlight simulate` has its start times from."""

from pathlib import Path

from pilotlight.cli.state import cache_dir, state_dir
from pilotlight.coldstart.learned import ONCE, Learned, Who
from pilotlight.coldstart.sleep import WAKE
from pilotlight.coldstart.techniques import chosen, rewritten
from pilotlight.engines.registry import engines
from pilotlight.errors import PilotlightError
from pilotlight.sim.start_file import LONGEST, read_starts
from pilotlight.sim.starts import StartTimes, constant
from pilotlight.spec.diff import fingerprint
from pilotlight.spec.model import Config, Model
from pilotlight.telemetry.start_times import read_rows
from pilotlight.units import parse_duration

HOST = "local"
"""The host whose starts were learned."""


def given(text: str) -> StartTimes:
    """Of --start-time: a duration, or a file of seconds."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        if not Path(text).exists():
            raise PilotlightError(
                f"--start-time {text}: is neither a duration such as 40s nor a file that is there"
            ) from None
        return read_starts(Path(text))
    if not 0 < seconds <= LONGEST:
        raise PilotlightError(f"--start-time {text}: a start takes more than 0 s and at most a day")
    return constant(seconds)


def of(config: Config, declared: bool) -> StartTimes:
    """What the config says, else what was learned on this machine; without a config of ones own, the default."""
    if config.simulation.start_time is not None:
        return constant(config.simulation.start_time)
    path = state_dir(config) / "start_times.json"
    try:
        learned = Learned(read_rows(path)) if declared else None
    except (OSError, ValueError):
        learned = None
    if learned is None or not len(learned):
        return StartTimes()
    known = _Known(config, learned)
    return StartTimes(learned=known.starts, wakes=known.wakes, source="learned")


class _Known:
    def __init__(self, config: Config, learned: Learned) -> None:
        self._config = config
        self._learned = learned
        self._engines = engines(config.engines, cache_dir(config))
        self._kept: dict[str, float | None] = {}

    def starts(self, name: str) -> float | None:
        """By the steps of its plan, where what these take is known; else what it usually takes."""
        if name not in self._kept:
            self._kept[name] = self._start(name)
        return self._kept[name]

    def _start(self, name: str) -> float | None:
        model = self._model(name)
        who = _who(name, model)
        engine = self._engines.get(model.engine)
        if engine is not None:
            names = chosen(engine.techniques(model), model.techniques)
            plan = rewritten(engine.plan(model), [t for t in names if t != "sleep" and t not in ONCE])
            estimate = self._learned.estimate(who, HOST, plan)
            if estimate is not None:
                return estimate.seconds
        return self._learned.usual(who, HOST)

    def wakes(self, name: str) -> float | None:
        who = _who(name, self._model(name))
        estimate = self._learned.estimate(who, HOST, WAKE, "wake")
        return self._learned.usual(who, HOST, "wake") if estimate is None else estimate.seconds

    def _model(self, name: str) -> Model:
        return self._config.models.get(name, self._config.default_model)


def _who(name: str, model: Model) -> Who:
    return Who(name, fingerprint(model), model.engine)
