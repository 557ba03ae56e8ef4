"""How the answer changes when on-demand capacity costs more or less, and when a start takes longer or shorter."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from pilotlight.advise.candidates import Candidate, Tier
from pilotlight.advise.played import Played, best
from pilotlight.advise.playing import Job, Play, portable
from pilotlight.advise.pools import PART
from pilotlight.fleet.declared import MONTH
from pilotlight.sim.result import Result
from pilotlight.spec.model import Config, Rates

FACTORS = (0.5, 2.0)
BETWEEN = {0.5: 0.7, 2.0: 1.4}
"""Tried too where the answer is another one at the end."""
PRICE, START, PROVIDER = "price on demand", "start time", "price of the provider"
ELSEWHERE = (Tier.PROVIDER, Tier.BURST)
MOST_FINALISTS = 4

Priced = Callable[[Played, Result, Config, float], Played]
"""A finalist with another result, with the config that it was played with, and what is paid by use so many times as
dear."""


class Outcome(msgspec.Struct, frozen=True):
    id: str
    cold_rate: float
    month_usd: float
    holds: bool


class Change(msgspec.Struct, frozen=True):
    what: str
    factor: float
    best: str
    """Of the finalists."""
    outcomes: tuple[Outcome, ...]


class Flip(msgspec.Struct, frozen=True):
    """Where another one becomes the best."""

    what: str
    after: float
    """The last factor at which the answer is still the same."""
    by: float
    """The first at which it is not."""
    to: str


def finalists(
    found: Sequence[Played], first: Played, second: Played | None, most: int = MOST_FINALISTS
) -> list[Played]:
    """The recommended, the runner-up, and the best of each other tier, as far as it may come near."""
    chosen = [first, *([second] if second is not None else [])]
    others = [p for p in found if p.candidate.tier not in {c.candidate.tier for c in chosen}]
    by_tier = [
        best([p for p in others if p.candidate.tier is t])
        for t in dict.fromkeys(p.candidate.tier for p in others)
    ]
    by_tier.sort(key=lambda p: (not p.holds, p.month_usd))
    return [*chosen, *by_tier][:most]


def sensitivity(chosen: Sequence[Played], play: Play, priced: Priced, names: Sequence[str]) -> list[Change]:
    """Of the finalists, the first of which is the answer."""
    work = _Work(chosen, play, priced, names)
    axes = [PRICE, START, *([PROVIDER] if any(_leaves(p.candidate) for p in chosen) else [])]
    ends = [(what, f) for what in axes for f in FACTORS]
    found = work.changes(ends)
    answer = chosen[0].id
    more = [(c.what, BETWEEN[c.factor]) for c in found if c.best != answer]
    return sorted([*found, *work.changes(more)], key=lambda c: (c.what, c.factor))


def flips(changes: Iterable[Change], answer: str) -> list[Flip]:
    """On each side of each axis the nearest."""
    known = list(changes)
    found: list[Flip] = []
    for what in dict.fromkeys(c.what for c in known):
        for more in (True, False):
            mine = sorted(
                (c for c in known if c.what == what and (c.factor > 1) is more),
                key=lambda c: abs(c.factor - 1),
            )
            last = 1.0
            for c in mine:
                if c.best != answer:
                    found.append(Flip(what, last, c.factor, c.best))
                    break
                last = c.factor
    return found


class _Work:
    def __init__(self, chosen: Sequence[Played], play: Play, priced: Priced, names: Sequence[str]) -> None:
        self._chosen = chosen
        self._play = play
        self._priced = priced
        self._names = names

    def changes(self, wanted: Sequence[tuple[str, float]]) -> list[Change]:
        slots = [(p, what, factor) for what, factor in wanted for p in self._chosen]
        jobs = {i: job for i, slot in enumerate(slots) if (job := self._job(*slot)) is not None}
        results = dict(zip(jobs, self._play(list(jobs.values())), strict=True)) if jobs else {}
        found = [self._with(slot, jobs.get(i), results.get(i)) for i, slot in enumerate(slots)]
        n = len(self._chosen)
        return [_change(what, f, found[i * n : (i + 1) * n]) for i, (what, f) in enumerate(wanted)]

    def _job(self, p: Played, what: str, factor: float) -> Job | None:
        """None where the replay would be the same: prices decide nothing in it, or nothing is started in it. A pool,
        which takes long to play when it is short of room, is played on the busiest part of the traffic."""
        c = p.candidate
        assert c.starts is not None
        config, starts, trace, same = c.config, c.starts, c.trace, True
        if what == START:
            starts, same = portable(starts, self._names, factor), c.fixed
            trace = PART if c.tier is Tier.POOL else trace
        elif what == PRICE:
            config, same = dearer(config, factor), not c.learns
        else:
            config, same = charging(config, factor), not _leaves(c)
        return None if same else Job(f"{c.id}, {what} x{factor:g}", config, starts, trace)

    def _with(self, slot: tuple[Played, str, float], job: Job | None, result: Result | None) -> Played:
        p, what, factor = slot
        price = factor if what == PRICE else 1.0
        config = job.config if job is not None else p.candidate.config
        return self._priced(p, result or p.result, config, price)


def _leaves(c: Candidate) -> bool:
    """Providers may be asked in it."""
    return c.tier in ELSEWHERE or (c.tier is Tier.TODAY and bool(c.config.providers))


def dearer(config: Config, factor: float) -> Config:
    """On demand never costs less than dedicated."""
    premium = max(1.0, config.prices.serverless_premium * factor)
    return msgspec.structs.replace(
        config, prices=msgspec.structs.replace(config.prices, serverless_premium=premium)
    )


def charging(config: Config, factor: float) -> Config:
    """With providers that charge so many times as much."""
    found = {
        name: msgspec.structs.replace(
            p, price=Rates(**{key: factor * value for key, value in msgspec.structs.asdict(p.price).items()})
        )
        for name, p in config.providers.items()
    }
    return msgspec.structs.replace(config, providers=found)


def usd(result: Result, config: Config) -> float:
    """For the counted part: the simulator's bill with the prices of this config in the place of those that were
    simulated, which are other ones only where nothing was decided by them."""
    if config.simulation.kinds:
        return result.cost_usd  # the pool's own, whatever capacity costs on demand
    hour = config.prices.gpu_month_usd / MONTH * 3600
    dedicated = result.dedicated_gpu_hours
    beyond = result.gpu_hours - dedicated
    elsewhere = result.burst_usd + result.ping_usd
    return hour * (dedicated + beyond * config.prices.serverless_premium) + elsewhere


def _change(what: str, factor: float, found: Sequence[Played]) -> Change:
    outcomes = tuple(Outcome(p.id, p.cold_rate, p.month_usd, p.holds) for p in found)
    return Change(what, factor, best(found).id, outcomes)
