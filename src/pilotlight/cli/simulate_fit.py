"""`pilotlight simulate --fit FILE`: how long requests run, as a request log has it."""

import sys
from pathlib import Path

from msgspec.structs import replace

from pilotlight.sim.fit import Fitted, fitted, written
from pilotlight.sim.fit_log import Ran, read_ran
from pilotlight.sim.result import Result
from pilotlight.spec.model import Config
from pilotlight.units import format_fraction


def applied(
    path: Path, configs: list[tuple[str, Config]], *, aside: bool = False
) -> list[tuple[str, Config]]:
    """The configs with what was fitted, which is told: on standard error where it is to be `aside`."""
    ran, out = read_ran(path), sys.stderr if aside else sys.stdout
    found: list[tuple[str, Config]] = []
    told: dict[str, str] = {}
    for name, config in configs:
        fit = fitted(ran, config.simulation)
        told.setdefault(_told(ran, fit), name)
        found.append((name, replace(config, simulation=fit.simulation)))
    for text, name in told.items():
        print(f"{name}: {text}" if len(told) > 1 else text, file=out)
    return found


def noted(result: Result, path: Path, config: Config) -> Result:
    """With a note of what it was simulated with."""
    each = ", ".join(f"{key} {text}" for key, text in written(config.simulation).items())
    return replace(result, notes=(*result.notes, f"requests run as fitted to {path.name}: {each}"))


def _told(ran: Ran, fit: Fitted) -> str:
    models = f", of {ran.models} models together" if ran.models > 1 else ""
    middle, nine, together = (
        format_fraction(round(part, 3)) for part in (fit.middle, fit.nine, abs(fit.sum))
    )
    lines = [
        f"fitted to {len(ran):,} of {ran.of:,} requests of {ran.source}{models}; half of them are simulated within "
        f"{middle} of what they took, nine of ten within {nine}, all together {together} too "
        f"{'short' if fit.sum < 0 else 'long'}:",
        "simulation:",
    ]
    for key, text in written(fit.simulation).items():
        why = f"  # as declared: {fit.kept[key]}" if key in fit.kept else ""
        lines.append(f"  {key}: {text}{why}")
    return "\n".join([*lines, ""])
