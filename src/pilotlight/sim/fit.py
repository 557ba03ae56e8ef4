"""The four numbers of a simulated request, by robust least squares from what requests of a real server took.

A request runs F + p * prompt + d * output * (1 + s * beside) seconds, of which F + p * prompt go by to its first token.
With e = d * s that is linear in (F, d, p, e). A stream gives two equations, to its first token and from there; another
answer gives one. Squares are weighed as if a variance grew with the mean, and large residuals by Huber's weights.

What cannot be told stays what was declared: a column that nearly follows from the others, or a number whose standard
error is too large. What comes out below zero is zero.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pilotlight.sim.fit_log import Ran
from pilotlight.sim.trace import Floats
from pilotlight.spec.simulation import MOST_SLOWDOWN, Simulation
from pilotlight.units import format_fraction, parse_duration, parse_fraction

FEWEST = 20
"""Requests to which anything is fitted [G]."""
FEWEST_APART = 10
"""Requests that must have begun beside fewer others than as many others have [G]."""
OWN = 0.1
"""Share of a column that must not follow from the others [G]: prompts of 90 to 110 tokens tell nothing of a prompt."""
EXACT, ROUGH = 0.05, 0.25
"""A number is told when its standard error is at most such a share of a mean request, or of its part of one [G]."""
HUBER = 5.0
"""Standard deviations beyond which a residual counts less [G]. With 1.345, as for noise that is normal, what an engine
was held up by now and then would count for little, though it is load: without any limit the sums would be equal."""
ROUNDS = 50

KEYS = ("first_token", "per_token", "per_prompt_token", "slowdown")
FIRST, TOKEN, PROMPT, SLOWER = range(4)
ORDER = (SLOWER, PROMPT, FIRST, TOKEN)
"""In which they are given up."""

ALIKE = {
    FIRST: "answers differ too little in length, and few are streams",
    TOKEN: "answers say nothing of it",
    PROMPT: "prompts differ too little in length",
    SLOWER: "nearly all began beside as many others",
}
NOISE = "requests are too few for how much they vary"


class Fitted(msgspec.Struct, frozen=True):
    simulation: Simulation
    """As declared, but for what was fitted."""
    kept: dict[str, str]
    """Keys that are as declared, and why."""
    middle: float
    """Half of the requests are simulated within such a share of what they took, and nine of ten within the next."""
    nine: float
    sum: float
    """What all together are simulated too long, as a share of what they took; below 0 where too short."""


def fitted(ran: Ran, declared: Simulation) -> Fitted:
    """Numbers are those that `written` writes, so that a copy of these simulates the same."""
    work = _Work(ran, declared)
    values, kept = work.found()
    texts = written(msgspec.structs.replace(declared, **dict(zip(KEYS, values, strict=True))))
    read = {
        k: (parse_fraction if k == "slowdown" else parse_duration)(texts[k]) for k in KEYS if k not in kept
    }
    simulation = msgspec.structs.replace(declared, **read)
    off = _seconds(ran, simulation) - ran.seconds
    middle, nine = (float(np.quantile(np.abs(off) / ran.seconds, q)) for q in (0.5, 0.9))
    return Fitted(simulation, kept, middle, nine, float(off.sum() / ran.seconds.sum()))


def written(given: Simulation) -> dict[str, str]:
    """As a config has them."""
    found = {key: _milliseconds(getattr(given, key)) for key in KEYS[:SLOWER]}
    return {**found, "slowdown": format_fraction(given.slowdown)}


def _milliseconds(seconds: float) -> str:
    """Four digits, without an exponent."""
    return f"{float(f'{1000 * seconds:.4g}'):.9f}".rstrip("0").rstrip(".") + "ms"


def _seconds(ran: Ran, given: Simulation) -> Floats:
    slowed = 1 + given.slowdown * ran.beside
    return given.first_token + given.per_prompt_token * ran.prompt + given.per_token * ran.output * slowed


class _Work:
    def __init__(self, ran: Ran, declared: Simulation) -> None:
        self.ran, self.declared = ran, declared
        stream = ~np.isnan(ran.first)
        one, none = np.ones(len(ran)), np.zeros(len(ran))
        first = np.stack([one, none, ran.prompt, none], 1)
        rest = np.stack([none, ran.output, none, ran.output * ran.beside], 1)
        self.a = np.concatenate([first[stream], rest[stream], (first + rest)[~stream]])
        self.y = np.concatenate([ran.first[stream], (ran.seconds - ran.first)[stream], ran.seconds[~stream]])
        self.kind = np.repeat(np.arange(3), [stream.sum(), stream.sum(), (~stream).sum()])
        means = float(ran.output.mean()), float(ran.prompt.mean())
        self.typical = np.array([1.0, means[0], means[1], means[0]])
        """What each is multiplied with in a mean request; the slow-down by one other."""
        self.fixed: dict[int, float] = {}
        self.kept: dict[str, str] = {}

    def found(self) -> tuple[list[float], dict[str, str]]:
        """The four numbers, and those that are as declared, and why."""
        if len(self.ran) < FEWEST:
            for i in ORDER:
                self._keep(i, f"it takes {FEWEST} requests or more")
        elif not self._apart():
            self._keep(SLOWER, ALIKE[SLOWER])
        while self._gives_up_one():
            pass
        return self._solved()[0], self.kept

    def _gives_up_one(self) -> bool:
        """Whether another number is no longer free."""
        own, free = self._own(), [i for i in ORDER if i not in self.fixed]
        for i in free:
            if own[i] < OWN:
                return self._keep(i, ALIKE[i])
        values, errors = self._solved()
        unit = float(np.mean(self.ran.seconds))
        for i in free:
            each = self.typical[i] * (values[TOKEN] if i == SLOWER else 1.0)
            if errors[i] * each > max(EXACT * unit, ROUGH * abs(values[i]) * each):
                return self._keep(i, NOISE)
            if values[i] < 0:
                return self._keep(i, ALIKE[i]) if i == TOKEN else self._fix(i, 0.0)
            if i == SLOWER and values[i] > MOST_SLOWDOWN:
                return self._fix(i, MOST_SLOWDOWN)
        return False

    def _keep(self, i: int, why: str) -> bool:
        self.kept[KEYS[i]] = why
        return self._fix(i, getattr(self.declared, KEYS[i]))

    def _fix(self, i: int, value: float) -> bool:
        self.fixed[i] = value
        return True

    def _apart(self) -> bool:
        beside = np.sort(self.ran.beside)
        return bool(beside[FEWEST_APART - 1] < beside[-FEWEST_APART])

    def _system(self) -> tuple[list[int], npt.NDArray[Any], Floats]:
        """What is free, its columns, and the right side."""
        a, y = self.a.copy(), self.y.copy()
        if SLOWER in self.fixed:
            a[:, TOKEN] += self.fixed[SLOWER] * a[:, SLOWER]
        for i in (FIRST, TOKEN, PROMPT):
            if i in self.fixed:
                y -= self.fixed[i] * a[:, i]
        free = [i for i in range(4) if i not in self.fixed]
        return free, a[:, free], y

    def _own(self) -> dict[int, float]:
        """The share of each free column that does not follow from the others."""
        free, a, _ = self._system()
        a = a / np.sqrt(np.maximum(self.y, 1e-3 * self.y.mean()))[:, None]
        size = np.linalg.norm(a, axis=0)
        found = {}
        for k, i in enumerate(free):
            rest = np.delete(a / np.where(size > 0, size, 1.0), k, 1)
            left = a[:, k] - rest @ np.linalg.lstsq(rest, a[:, k], rcond=None)[0]
            found[i] = float(np.linalg.norm(left) / size[k]) if size[k] > 0 else 0.0
        return found

    def _solved(self) -> tuple[list[float], list[float]]:
        """The four numbers and their standard errors; 0 of what is not free."""
        free, a, y = self._system()
        x, errors = np.zeros(4), np.zeros(4)
        if free:
            x[free], errors[free] = _robust(a, y, self.y, self.kind)
        for i, value in self.fixed.items():
            x[i] = value
        if SLOWER in free:
            d = x[TOKEN]
            x[SLOWER], errors[SLOWER] = (x[SLOWER] / d, errors[SLOWER] / d) if d > 0 else (0.0, np.inf)
        return x.tolist(), errors.tolist()


def _robust(a: npt.NDArray[Any], y: Floats, whole: Floats, kind: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """The numbers and their standard errors. `whole`: what was measured, of which `y` are those parts that the numbers
    are to explain; `kind`: of each equation, for each kind has noise of its own."""
    least = 1e-3 * float(whole.mean())
    size = np.linalg.norm(a, axis=0)
    a = a / size
    x, mean, weight = np.zeros(a.shape[1]), np.maximum(whole, least), np.ones(len(y))
    noise = np.ones(len(y))
    for _ in range(ROUNDS):
        w = weight / (mean * noise**2)
        before, x = x, np.linalg.solve(a.T @ (a * w[:, None]), a.T @ (y * w))
        mean = np.maximum(a @ x + (whole - y), least)
        off = (y - a @ x) / np.sqrt(mean)
        for k in np.unique(kind):
            of = kind == k
            middle = 1.4826 * float(np.median(np.abs(off[of])))
            noise[of] = max(middle, 1e-3 * float(np.sqrt(mean[of].mean())))
        weight = np.minimum(1.0, HUBER * noise / np.maximum(np.abs(off), 1e-12))
        if np.allclose(x, before, rtol=1e-6, atol=0.0):
            break
    w = weight / (mean * noise**2)
    errors = np.sqrt(np.diag(np.linalg.inv(a.T @ (a * w[:, None]))))
    return x / size, errors / size
