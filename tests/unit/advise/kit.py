"""Traffic by hand, and advice on it."""

from pathlib import Path
from typing import Any

import numpy as np

import pilotlight.cost
from pilotlight.advise.advice import Advice, PricesFrom
from pilotlight.advise.advise import Asked, advise
from pilotlight.advise.needs import Needs
from pilotlight.cost import book
from pilotlight.sim.defaults import default_config
from pilotlight.sim.starts import StartTimes, constant
from pilotlight.sim.trace import Trace
from pilotlight.spec.load import parse

PRICES = Path(pilotlight.cost.__file__).parent / "prices.yaml"
BOOK = book.parse(PRICES.read_text(), "prices")
HOUR, DAY = 3600.0, 86400.0


def traffic(t: Any, tokens: int = 120, session: Any = None, models: int = 1) -> Trace:
    """Requests at these seconds, by turns of each model."""
    times = np.sort(np.asarray(t, np.float64))
    n = len(times)
    out = np.full(n, tokens, np.int32)
    model = (np.arange(n) % models).astype(np.int32)
    names = [f"m{i}" for i in range(models)]
    sessions = None if session is None else np.asarray(session, np.int32)
    return Trace("by hand", names, times, model, np.full(n, 400, np.int32), out, sessions)


def advised(
    trace: Trace,
    needs: Needs | None = None,
    start: float | None = None,
    text: str | None = None,
    api: str | None = None,
) -> Advice:
    config = default_config() if text is None else parse(text, "today.yaml", {}, simulated=True)
    return advise(
        Asked(
            trace=trace,
            needs=needs or Needs(),
            config=config,
            text=text,
            file="today.yaml",
            env={},
            starts=StartTimes() if start is None else constant(start),
            book=BOOK,
            prices=PricesFrom(2500.0, 2.5, "2026-06-30", True),
            api=api,
        )
    )
