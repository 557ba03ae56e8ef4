"""What is tried where inference is here: every tier, with a few ways to set each."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from pilotlight.advise.draft import Draft, Tree, duration, percent
from pilotlight.advise.hosts import tried
from pilotlight.advise.leaving import Leaving
from pilotlight.advise.sizing import Sizes
from pilotlight.sim.starts import StartTimes
from pilotlight.spec.model import Config

FEW_LEVELS = (0.0005, 0.005, 0.05)
"""Shares of the time: a dedicated fleet may do without the replicas that are needed for less of it [G]."""
TTLS = (60.0, 600.0, 3600.0)
"""Seconds that serverless replicas idle [G]; between two of them the search goes on."""
SHORT = 60.0
"""Seconds that a replica above a base idles [G]."""
WAKE = 1.5
"""Seconds of a wake in a pool [G], where nothing else is said."""


class Tier(StrEnum):
    """From what is simplest to run on."""

    TODAY = "today's"
    FUNCTION = "function"
    CONTAINER = "container"
    DEDICATED = "dedicated GPU"
    MANAGED = "managed instance"
    SERVERLESS = "serverless GPU"
    PROVIDER = "provider"
    HYBRID = "hybrid"
    BURST = "hybrid with a provider"
    POOL = "pool of GPUs"


ORDER = tuple(Tier)


class Candidate(msgspec.Struct, frozen=True):
    id: str
    tier: Tier
    words: str
    """What it is, after "a" or "the"."""
    text: str
    """Of its config."""
    config: Config
    learns: bool = False
    """What it does depends on what capacity costs."""
    fixed: bool = False
    """It has all its replicas from the beginning, whatever a start takes."""
    starts: StartTimes | None = None
    """Where they are not those of the others."""
    tariff: str | None = None
    """By what it is paid; None for by the GPU, as the simulator bills."""
    trace: str = ""
    """On which form of the traffic it is played: its own, or one of those that fitting.py names."""
    setting: float = 0.0
    """What was chosen for it: a ttl, a share of the time, a number of GPUs."""


class Maker:
    """Makes candidates from drafts."""

    def __init__(self, draft: Draft, sizes: Sizes, band: tuple[float, float]) -> None:
        self._band = band
        self._draft = draft
        self.sizes = sizes
        self._most = {m: max(2, 2 * n) for m, n in sizes.peak.items()}
        self._shared: Tree = {"max_pending_requests": max(512, sizes.pending)}

    def make(
        self,
        id: str,
        tier: Tier,
        words: str,
        shared: Tree,
        own: Mapping[str, Tree] | None = None,
        top: Tree | None = None,
        **more: Any,
    ) -> Candidate:
        """`own`: over what holds for every model."""
        most = {"max_replicas": max(self._most.values(), default=2)}
        each = {m: {"max_replicas": n} for m, n in self._most.items()}
        for name, keys in (own or {}).items():
            each[name] = {**each.get(name, {}), **keys}
        everywhere = {**self._shared, **most, **shared}
        each = {m: {k: v for k, v in keys.items() if everywhere.get(k) != v} for m, keys in each.items()}
        text = self._draft.written(everywhere, each, top or {})
        return Candidate(id, tier, words, text, self._draft.parsed(text), **more)

    def dedicated(self, share: float) -> Candidate:
        """As many as are needed for more than that share of the time; 0 is for the peak."""
        n = self.sizes.above(share) if share else self.sizes.peak
        own = {m: {"min_replicas": max(1, k), "max_replicas": max(1, k)} for m, k in n.items()}
        total = sum(max(1, k) for k in n.values())
        why = "enough for the peak" if not share else f"enough for {100 - share * 100:.5g} % of the time"
        return self.make(
            f"dedicated-{'peak' if not share else f'{share * 100:g}%'}", Tier.DEDICATED,
            f"{gpus(total)} always on, {why}", {"ttl": 0, "base": 0}, own, fixed=True, setting=share,
        )  # fmt: skip

    def serverless(self, ttl: float | str) -> Candidate:
        learns = isinstance(ttl, str)
        idle = "for as long as it pays" if learns else f"for {duration(ttl)}"
        return self.make(
            f"serverless-{ttl if learns else duration(ttl)}", Tier.SERVERLESS,
            f"scale to zero; a replica idles {idle}",
            {"ttl": ttl if learns else duration(ttl), "base": 0}, learns=learns,
            setting=0.0 if learns else ttl,
        )  # fmt: skip

    def hybrid(
        self, base: Mapping[str, int] | str, ttl: float | str, within: float = 1.0, **keys: Any
    ) -> Candidate:
        """`within`: the share of the band that the policies are asked for."""
        name, size, own, others = _of_base(base)
        idle = ttl if isinstance(ttl, str) else duration(ttl)
        names = [name, str(idle), *keys, *([f"within-{within:g}"] if within < 1 else [])]
        words = (
            f"{size}, the rest on demand, whose idle time is {'learned' if isinstance(ttl, str) else idle}"
        )
        words += "".join(f", {WORDS[k]}" for k in keys)
        words += ", asked for fewer cold requests than may be" if within < 1 else ""
        band: Tree = (
            {"objective": {"cold_rate": [percent(within * x) for x in self._band]}} if within < 1 else {}
        )
        shared = {"ttl": idle, **keys, "base": others}
        return self.make(
            f"hybrid-{'-'.join(names)}", Tier.HYBRID, words, shared, own, band,
            learns=isinstance(ttl, str) or isinstance(base, str),
            setting=ttl if isinstance(base, str) and not isinstance(ttl, str) and not keys else 0.0,
        )  # fmt: skip

    def burst(self, base: Mapping[str, int] | str, away: Leaving) -> Candidate:
        name, size, own, others = _of_base(base)
        words = f"{size}; what exceeds it goes to {' or '.join(away.names)}, or to a start"
        shared: Tree = {"ttl": duration(SHORT), "base": others}
        return self._away(f"burst-{name}", Tier.BURST, words, shared, own, away)

    def provider(self, away: Leaving) -> Candidate:
        """All requests that may go there, as long as it promises the earlier first token."""
        words = f"no GPU; requests go to {' or '.join(away.names)}"
        if any(away.own.get(m, away.shared) is None for m in self.sizes.peak):
            words += ", but for those of models that may not: they scale to zero"
        return self._away("provider", Tier.PROVIDER, words, {"ttl": 0, "base": 0}, {}, away)

    def _away(
        self, id: str, tier: Tier, words: str, shared: Tree, own: Mapping[str, Tree], away: Leaving
    ) -> Candidate:
        """Who may leave is said where it was, so that nobody may who could not."""
        everywhere = shared if away.shared is None else {**shared, "burst": away.shared}
        top = {"providers": away.declared} if away.declared else {}
        return self.make(id, tier, words, everywhere, away.of(own), top, learns=True)

    def pool(self, n: int, wake: float) -> Candidate | None:
        """With so many GPUs, and more where hosts have several; None where the operator's hosts have none."""
        hosts = tried(self._draft.hosts, self._draft.kinds, n)
        if hosts is None:
            return None
        top: Tree = {"simulation": {"hosts": hosts.written, "wake_time": duration(wake)}}
        own = {m: {"max_replicas": k} for m, k in self.sizes.peak.items()}
        return self.make(
            f"pool-{hosts.gpus}", Tier.POOL,
            f"{gpus(hosts.gpus)}{hosts.on} that all models share; who needs room puts others to sleep",
            {"ttl": -1, "base": 0}, own, top, setting=float(hosts.gpus),
        )  # fmt: skip


WORDS = {"warmer": "and a warmer that stays", "predictive": "started ahead of what is forecast"}


def _of_base(base: Mapping[str, int] | str) -> tuple[str, str, dict[str, Tree], int | str]:
    """Its name, its words, its keys for each model, and what all others have."""
    if isinstance(base, str):
        return "auto", "a base that is learned", {}, base
    n = sum(base.values())
    return str(n), f"a base of {gpus(n)}", {m: {"base": k} for m, k in base.items()}, 0


def elsewhere(maker: Maker, away: Leaving, premium: float) -> Iterator[Candidate]:
    """With endpoints of others."""
    yield maker.provider(away)
    yield maker.burst("auto", away)
    base = maker.sizes.above(1 / premium)
    first = {m: min(1, n) for m, n in maker.sizes.peak.items()}
    tried = [base] if base == first else [base, first]
    yield from (maker.burst(n, away) for n in tried if any(n.values()))


def gpus(n: int) -> str:
    return f"{n:,} GPU{'s' if n != 1 else ''}"


def here(maker: Maker, premium: float, days: float) -> Iterator[Candidate]:
    """What is tried first, but for pools (pools.py)."""
    sizes = maker.sizes
    shares = dict.fromkeys((0.0, *FEW_LEVELS))
    seen: set[tuple[int, ...]] = set()
    for share in shares:
        n = tuple(max(1, k) for k in (sizes.above(share) if share else sizes.peak).values())
        if n not in seen:
            seen.add(n)
            yield maker.dedicated(share)
    yield from (maker.serverless(ttl) for ttl in (*TTLS, "auto"))
    yield maker.hybrid("auto", "auto")
    yield maker.hybrid("auto", SHORT)
    yield maker.hybrid("auto", "auto", warmer={})
    base = sizes.above(1 / premium)
    if any(base.values()):
        yield maker.hybrid(base, SHORT)
        yield maker.hybrid(base, "auto")
    first = {m: min(1, n) for m, n in sizes.peak.items()}
    if first != base and any(n > 1 for n in sizes.peak.values()):
        yield maker.hybrid(first, SHORT)
    if days >= 2:
        yield maker.hybrid("auto", "auto", predictive=True)
