"""A trace as the loop asks for it, and what became of its requests.

Requests are numbers, as text, because the kernel's names of requests are text. Nothing is kept of a request but its
wait and how long it runs: 16 bytes, of a long trace in files (columns.py).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import add
from typing import Any

import numpy as np

from pilotlight.fleet.classes import STANDARD
from pilotlight.fleet.events import Arrived, Finished
from pilotlight.fleet.provider import Remote
from pilotlight.sim.columns import Array, zeros
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
        self.wait: Floats = zeros(len(trace), np.float64)
        """Seconds from arrival to a replica; nan of what none has taken, once that is said."""
        self.service = service(trace, given)
        """Seconds that each runs; where others slow it down, from its beginning on."""
        self._trace = trace
        self._is_plain = trace.ranks_in(slice(0)) is None and trace.stand_in is None
        self._names = tuple(deployments)
        self._stand_ins = (*stand_ins, None)
        """Of whom nobody stands in for, the last."""
        self._bursting = bursting
        self._hedged, self._seed = given.hedged, seed
        self._given = given
        self._prompts: Any = trace.prompt_tokens.data
        self._outputs: Any = trace.output_tokens.data
        # A view gives plain floats, which are as fast again to reckon with as numpy's.
        self._t: Any = trace.t.data
        self._model: Any = trace.model.data
        self._service: Any = self.service.data
        self._wait: Any = self.wait.data

    def arrivals(self, *written: Array) -> Iterator[tuple[Arrived, float, Entry]]:
        """Each with the seconds that it runs, and its end, as the loop wants it. `written`: columns of the requests
        that others write meanwhile, whose memory is given back as that of the trace is."""
        if self._bursting:
            return ends(chain.from_iterable(map(self._leaving, self._blocks(*written))))
        return chain.from_iterable(map(self._block, self._blocks(*written)))

    def _blocks(self, *written: Array) -> Iterator[slice]:
        for rows in self._trace.pieces(self.wait, self.service, *written):
            for begin in range(rows.start, rows.stop, BLOCK):
                yield slice(begin, min(begin + BLOCK, rows.stop))

    def _block(self, rows: slice) -> Iterator[tuple[Arrived, float, Entry]]:
        """A few at a time, and none of Python's own loops."""
        begin, end = rows.start, rows.stop
        t, service = self._t[rows].tolist(), self._service[rows].tolist()
        ids = [*map(str, range(begin, end))]
        names = map(self._names.__getitem__, self._model[rows].tolist())
        terms = () if self._is_plain else (repeat(None), *self._terms(rows))
        came = map(Arrived, t, ids, names, *terms)
        over = [*map(add, t, service)]
        order = range((begin + 1) * APART, (end + 1) * APART, APART)
        return zip(came, service, zip(over, order, map(Finished, over, ids), strict=True), strict=True)

    def _terms(self, rows: slice) -> tuple[Iterable[int], Iterable[str | None]]:
        """Their ranks, and who may stand in."""
        n = rows.stop - rows.start
        ranks, may = self._trace.ranks_in(rows), self._trace.stand_in
        of = repeat(STANDARD, n) if ranks is None else ranks.tolist()
        if may is None:
            return of, repeat(None, n)
        others = np.where(may[rows], self._trace.model[rows], -1)
        return of, map(self._stand_ins.__getitem__, others.tolist())

    def _leaving(self, rows: slice) -> Iterator[tuple[Arrived, float]]:
        """The same; how long an answer becomes is not known when it is asked for."""
        allowed = [name in self._bursting for name in self._names]
        names, prompts = self._names, self._prompts
        columns = (self._t[rows], self._model[rows], self._service[rows], *self._terms(rows))
        for i, (at, model, seconds, rank, other) in enumerate(zip(*columns, strict=True), rows.start):
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

    def never_ran(self, requests: Iterable[str]) -> None:
        """Their wait is nan."""
        which = np.array(sorted(map(int, requests)), np.int64)
        for rows in self._trace.pieces(self.wait):
            begin, end = np.searchsorted(which, (rows.start, rows.stop))
            self.wait[which[begin:end]] = np.nan

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
