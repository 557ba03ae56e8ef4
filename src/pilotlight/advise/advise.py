"""The work: candidates are made, played, refined and played again; the best is taken, and tried with other prices."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pilotlight.advise import candidates, even, fitting, pools, refining, remote, sensitivity, terms, words
from pilotlight.advise.advice import Advice, PricesFrom, by_id, simulated_on
from pilotlight.advise.candidates import Candidate, Maker, Tier
from pilotlight.advise.draft import Draft, draft
from pilotlight.advise.leaving import Leaving, leaving, provider_of, why_nobody
from pilotlight.advise.needs import Inference, Needs
from pilotlight.advise.played import Played, chosen, judged, played
from pilotlight.advise.playing import Job, Play, Told, player, portable
from pilotlight.advise.shape import shape
from pilotlight.advise.sizing import sizes, slots
from pilotlight.cost.book import Book
from pilotlight.sim import declared
from pilotlight.sim.oracle import evaluated
from pilotlight.sim.result import Result
from pilotlight.sim.service import service
from pilotlight.sim.starts import StartTimes
from pilotlight.sim.trace import Trace
from pilotlight.spec.model import Config

ROUNDS = 3
"""Of refining, at most [G]."""
MOST_PLAYED = 5_000_000
"""Requests of all simulations together from which on no more is refined [G]: half a minute or so."""
AT_RATE = "x"
PROGRAM = "agent"
"""What a program that calls remote models is named where no config names it."""


class Asked(msgspec.Struct, frozen=True):
    trace: Trace
    needs: Needs
    config: Config
    """Today's, or the default."""
    text: str | None
    """Of today's; None where there is none."""
    file: str
    env: Mapping[str, str]
    starts: StartTimes
    book: Book
    prices: PricesFrom
    own: frozenset[tuple[str, str]] = frozenset()
    """Section and name of each of the book's entries that is the operator's."""
    wake: float | None = candidates.WAKE
    """Seconds of a wake in a pool; None where models cannot be put to sleep."""
    api: str | None = None
    """A model of the book's `tokens`: an endpoint that is paid by the token, to be tried too."""
    seed: int = 0


def advise(asked: Asked, told: Told | None = None) -> Advice:
    """Raises TraceError for a trace from which nothing follows."""
    fitting.enough(asked.trace)
    return _Work(asked).advice(told)


class _Work:
    def __init__(self, asked: Asked) -> None:
        needs = asked.needs
        trace = fitting.fitted(asked.trace, asked.config)
        self.remote = needs.inference is Inference.REMOTE
        if self.remote and asked.text is None:
            trace = fitting.together(trace, PROGRAM)
        if self.remote:
            trace = fitting.lengthened(trace, needs.cpu_seconds, asked.config.simulation.per_token)
        self.asked = asked
        self.needs = needs
        self.trace = trace
        others = terms.stand_ins(asked.config, trace)
        self.draft = draft(asked.text, asked.file, asked.config, trace.models, needs, asked.env, others)
        self.config = self.draft.parsed(self.draft.written({"max_replicas": 2}, {}, {}))
        self.names = [*self.config.models, *trace.models]
        self.starts = portable(asked.starts, self.names)
        self.seconds = service(trace, self.config.simulation)
        self.shape = shape(trace, self.seconds, slots(trace, self.config))
        self.maker = self._maker(self.draft, self.config)
        self.kind = remote.Kind(trace, needs, self.seconds, asked.starts, asked.starts.source != "default")
        self.simulations = 0
        self.more = {} if asked.api is None else {asked.api: provider_of(asked.book, asked.api)}
        self.away = None if self.remote else self._leaving()

    def _maker(self, of: Draft, config: Config) -> Maker:
        return Maker(of, sizes(self.trace, config, self.starts), self.needs.band)

    def advice(self, told: Told | None) -> Advice:
        with player(self._traces(), self.asked.seed, told) as play:
            found = self._search(self._counting(play))
            first, second = chosen(found)
            for p in (first, second):
                assert p is None or simulated_on(self.trace, p)
            changes = self._sensitivity(found, first, second, self._counting(play))
            level = self._even(found, self._counting(play))
        flips = sensitivity.flips(changes, first.id)
        today = next((p for p in found if p.candidate.tier is Tier.TODAY), None)
        advice = Advice(
            trace=self.trace.name,
            shape=self.shape,
            needs=self.needs,
            prices=self._prices(found),
            start_time=self.starts.mean("") if not self.remote else self.kind.start,
            start_time_from=self.starts.source,
            played=tuple(sorted(found, key=lambda p: p.month_usd)),
            recommended=first,
            runner_up=second,
            today=today,
            kept=self.draft.kept,
            awake=self.draft.awake,
            no_endpoint="" if self.away is not None else self._why_nobody(),
            even=level,
            changes=tuple(changes),
            flips=tuple(flips),
            why=(),
            warnings=(),
            simulations=self.simulations,
            config="",
        )
        return words.told(advice, self.trace, self.draft.own)

    # -- traffic ---------------------------------------------------------------------------------------------

    def _traces(self) -> dict[str, Trace]:
        found = {"": self.trace}
        if self.remote:
            found[fitting.PLATFORM] = plain = fitting.by_platform(self.trace)
            if self._by_session:
                found[fitting.SESSIONS] = fitting.by_session(plain)
        else:
            for factor in even.STRETCHES:
                found[f"{AT_RATE}{factor:g}"] = fitting.stretched(self.trace, factor, even.MOST)
            if len(self.trace.models) > 1:
                found[pools.PART] = fitting.busiest(self.trace, pools.MOST)
        return found

    @property
    def _by_session(self) -> bool:
        return self.needs.sessions and self.trace.session is not None

    # -- candidates ------------------------------------------------------------------------------------------

    def _first(self) -> Iterator[Candidate]:
        if self.asked.text is not None:
            yield self._today(self.asked.text)
        if not self.remote:
            days = self.trace.span / 86400
            premium = self.config.prices.serverless_premium
            yield from candidates.here(self.maker, premium, days)
            if self.away is not None:
                yield from candidates.elsewhere(self.maker, self.away, premium)
            return
        for c in remote.candidates(self._with_slots, self.kind):
            if c.tier is not Tier.FUNCTION or not self._by_session:
                yield msgspec.structs.replace(c, trace=fitting.PLATFORM) if c.tier in terms.PLATFORMS else c
            elif c.tariff != "provisioned":  # whose instances are nobody's in particular
                yield msgspec.structs.replace(c, trace=fitting.SESSIONS)

    def _leaving(self) -> Leaving | None:
        return leaving(self.asked.config, self.config, self.trace.models, self.draft.asked, self.more)

    def _why_nobody(self) -> str:
        return why_nobody(self.asked.config, self.config, self.trace.models, self.more)

    def _with_slots(self, n: int) -> Maker:
        keys = {"max_requests": n, "target_requests": n, "max_replicas": 2}
        return self._maker(self.draft, self.draft.parsed(self.draft.written(keys, {}, {})))

    def _today(self, text: str) -> Candidate:
        objective = msgspec.structs.replace(self.asked.config.objective, wait=self.needs.wait)
        config = self.draft.at_rest(msgspec.structs.replace(self.asked.config, objective=objective))
        tariff = "container" if self.remote else None
        return Candidate(
            "today", Tier.TODAY, "what is configured today", text, config, learns=True, tariff=tariff
        )

    def _pools(self, play: Play) -> list[Candidate]:
        wake = self.asked.wake
        if self.remote or wake is None or len(self.trace.models) < 2:
            return []
        found = pools.pool(self.maker, wake, self.starts, self.needs, play)
        return [] if found is None else [found]

    def _search(self, play: Play) -> list[Played]:
        made = [*self._pools(play), *self._first()]
        found = self._played(self._ready(iter(made)), play)
        for _ in range(ROUNDS):
            if self.remote or (self.simulations + 1) * len(self.trace) > MOST_PLAYED:
                break
            more = self._ready(refining.refined(self.maker, found, self.asked.wake))
            if not more:
                break
            found += self._played(more, play)
        return judged(found)

    def _ready(self, made: Iterator[Candidate]) -> list[Candidate]:
        def with_starts(c: Candidate) -> Candidate:
            return c if c.starts is not None else msgspec.structs.replace(c, starts=self.starts)

        return list({c.id: with_starts(c) for c in made}.values())

    # -- playing ---------------------------------------------------------------------------------------------

    def _counting(self, play: Play) -> Play:
        def counted(jobs: Sequence[Job]) -> list[Result]:
            self.simulations += len(jobs)
            return play(jobs)

        return counted

    def _played(self, made: Sequence[Candidate], play: Play) -> list[Played]:
        jobs = [Job(c.id, c.config, c.starts or self.starts, c.trace) for c in made]
        return [
            played(c, result, self._usd(c, result, c.config), self.needs)
            for c, result in zip(made, play(jobs), strict=True)
        ]

    def _usd(self, c: Candidate, result: Result, config: Config) -> float:
        """For the counted part of the trace."""
        if self.remote:
            return remote.usd(c, result, self.kind, self.asked.book)
        return sensitivity.usd(result, config)

    def _repriced(self, p: Played, result: Result, config: Config, price: float) -> Played:
        """With what is paid by use so many times as dear."""
        c = p.candidate
        if self.remote:
            by_use = price if c.tier is Tier.FUNCTION else 1.0
            return played(c, result, self._usd(c, result, config) * by_use, self.needs)
        if price != 1.0 and not c.learns:
            config = sensitivity.dearer(config, price)
        return played(c, result, self._usd(c, result, config), self.needs)

    def _sensitivity(
        self, found: Sequence[Played], first: Played, second: Played | None, play: Play
    ) -> list[sensitivity.Change]:
        finalists = sensitivity.finalists(found, first, second)
        return sensitivity.sensitivity(finalists, play, self._repriced, self.names)

    # -- break-even ------------------------------------------------------------------------------------------

    def _even(self, found: Sequence[Played], play: Play) -> even.Even | None:
        if self.remote:
            function, peak = by_id(found, "function"), by_id(found, "container-peak")
            machines = max(1, round(peak.result.replica_hours * 3600 / peak.counted))
            return even.of_cpus(self.shape.per_hour, function, peak, machines)
        first, second = chosen(found)
        rest = sensitivity.finalists(found, first, second, most=len(Tier))[1:]
        pair = even.pair(first, (p for p in rest if p.candidate.tier is not Tier.TODAY))
        return None if pair is None else even.of_two(pair, self._rate(), self._at_rates(pair.by_use, play))

    def _rate(self) -> even.Traffic:
        models = declared.models(self.config, self.trace.models)
        devices = max(1, *(models[m].gpus for m in self.trace.models))
        counted = self.trace.t >= evaluated(self.trace, self.config.simulation.warm_up)[0]
        tokens = (self.trace.prompt_tokens + self.trace.output_tokens)[counted]
        full = self.shape.per_hour / max(self.shape.busy, 1e-9) / devices
        return even.Traffic(self.shape.per_hour, full, float(tokens.mean()))

    def _at_rates(self, p: Played, play: Play) -> tuple[tuple[float, float], ...]:
        """Requests an hour and USD a month, of a part of the traffic that is stretched."""
        c = p.candidate
        jobs = [Job(c.id, c.config, self.starts, f"{AT_RATE}{f:g}") for f in even.STRETCHES]
        here = (self.shape.per_hour, p.month_usd)
        rest = (
            (
                r.requests / max(r.span_s, 1e-9) * 3600,
                played(c, r, self._usd(c, r, c.config), self.needs).month_usd,
            )
            for r in play(jobs)
            if r.requests > 1
        )
        return tuple(sorted((here, *rest)))

    def _prices(self, found: Sequence[Played]) -> PricesFrom:
        """Of CPUs nothing but the book's entries counts."""
        api, book, prices = self.asked.api, self.asked.book, self.asked.prices
        names = [("tokens", api)] if api is not None and self.away is not None else []
        if self.remote:
            names = remote.used(book, {p.candidate.tariff or "" for p in found})
        texts = {of: remote.entry(book, *of) for of in names}
        own = tuple(text for of, text in texts.items() if of in self.asked.own)
        prices = msgspec.structs.replace(prices, used=tuple(texts.values()), own=own)
        if self.remote:
            examples = len(own) < len(texts)
            date = (book.date or "no date") if examples else "the price book"
            prices = msgspec.structs.replace(prices, examples=examples, date=date, which=())
        return prices
