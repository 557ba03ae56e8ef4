"""A trace as the loop asks for it, and what became of its requests.

Requests are numbers, as text, because the kernel's names of requests are text. Nothing is kept of a request but its
wait and how long it runs: 16 bytes.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import add
from typing import Any

import numpy as np

from pilotlight.fleet.classes import STANDARD
from pilotlight.fleet.events import Arrived, Finished
from pilotlight.fleet.provider import Remote
from pilotlight.sim.loop import APART, Entry, ends
from pilotlight.sim.service import service
from pilotlight.sim.trace import Floats, Trace
from pilotlight.sim.troubles import drawn
from pilotlight.spec.simulation import Simulation

BLOCK = 4096
"""Requests that are there as Python's numbers at once."""


class Replayed:
    """`deployments`: of each of the trace's models. `bursting`: those whose requests may go to providers, of which a
    share is hedged, drawn by the `seed`. `stand_ins`: of each of the trace's models, who may answer for it where a
    request allows that."""

    def __init__(
        self,
        trace: Trace,
        deployments: Sequence[str],
        given: Simulation,
        bursting: Collection[str] = (),
        seed: int = 0,
        stand_ins: Sequence[str | None] = (),
    ) -> None:
        self.wait: Floats = np.zeros(len(trace))
        """Seconds from arrival to a replica; what none has taken is for others to mark."""
        self.service = service(trace, given)
        """Seconds that each runs; where others slow it down, from its beginning on."""
        self._names = tuple(deployments)
        self._stand_ins = (*stand_ins, None)
        self._bursting = bursting
        self._hedged, self._seed = given.hedged, seed
        self._given = given
        self._prompts: Any = trace.prompt_tokens.data
        self._outputs: Any = trace.output_tokens.data
        # A view gives plain floats, which are as fast again to reckon with as numpy's.
        self._t: Any = trace.t.data
        self._model: Any = trace.model.data
        ranks, may = trace.ranks, trace.stand_in
        self._ranks: Any = None if ranks is None else ranks.data
        self._stands: Any = None if may is None else np.where(may, trace.model, -1).astype(np.int32).data
        """Whose of the stand-ins may answer it; the last is none."""
        self._service: Any = self.service.data
        self._wait: Any = self.wait.data

    def arrivals(self) -> Iterator[tuple[Arrived, float, Entry]]:
        """Each with the seconds that it runs, and its end, as the loop wants it."""
        if self._bursting:
            return ends(self._leaving())
        return chain.from_iterable(map(self._block, range(0, len(self._t), BLOCK)))

    def _block(self, begin: int) -> Iterator[tuple[Arrived, float, Entry]]:
        """A few at a time, and none of Python's own loops."""
        end = min(begin + BLOCK, len(self._t))
        t, service = self._t[begin:end].tolist(), self._service[begin:end].tolist()
        ids = [*map(str, range(begin, end))]
        names = map(self._names.__getitem__, self._model[begin:end].tolist())
        is_plain = self._ranks is None and self._stands is None
        terms = () if is_plain else (repeat(None), *self._terms(begin, end))
        came = map(Arrived, t, ids, names, *terms)
        over = [*map(add, t, service)]
        order = range((begin + 1) * APART, (end + 1) * APART, APART)
        return zip(came, service, zip(over, order, map(Finished, over, ids), strict=True), strict=True)

    def _terms(self, begin: int, end: int) -> tuple[Iterable[int], Iterable[str | None]]:
        """Their ranks, and who may stand in."""
        n = end - begin
        ranks = repeat(STANDARD, n) if self._ranks is None else self._ranks[begin:end].tolist()
        if self._stands is None:
            return ranks, repeat(None, n)
        return ranks, map(self._stand_ins.__getitem__, self._stands[begin:end].tolist())

    def _leaving(self) -> Iterator[tuple[Arrived, float]]:
        """The same; how long an answer becomes is not known when it is asked for."""
        allowed = [name in self._bursting for name in self._names]
        names, prompts = self._names, self._prompts
        columns = (self._t, self._model, self._service, *self._terms(0, len(self._t)))
        for i, (at, model, seconds, rank, other) in enumerate(zip(*columns, strict=True)):
            remote = Remote(prompts[i], hedge=self._is_hedged(i)) if allowed[model] else None
            yield Arrived(at, str(i), names[model], None, rank, other, remote), seconds

    def _is_hedged(self, i: int) -> bool:
        return self._hedged > 0.0 and drawn(self._seed, "hedged", str(i)) < self._hedged

    def size(self, request: str) -> tuple[str, int, int]:
        """Its deployment, and the tokens of its prompt and of its answer."""
        i = int(request)
        return self._names[self._model[i]], self._prompts[i], self._outputs[i]

    def answered(self, request: str, at: float) -> None:
        """A provider gives its first token then: as if it had waited for a replica until a little before."""
        i = int(request)
        self._wait[i] = at - self._t[i] - self.first_token(request)

    def waited(self, request: str, seconds: float) -> None:
        self._wait[int(request)] = seconds

    def lasts(self, request: str, others: int) -> float:
        """Seconds that it runs which begins beside so many others."""
        i, given = int(request), self._given
        tokens = given.per_token * self._outputs[i]
        seconds = self._service[i] = self.first_token(request) + tokens * (1 + given.slowdown * others)
        return seconds

    def first_token(self, request: str) -> float:
        """Seconds that a replica takes to its first token."""
        return self._given.first_token + self._given.per_prompt_token * self._prompts[int(request)]
