"""What the kernel does when a provider answers, declines, or is done with a request."""

from math import isfinite

from msgspec.structs import replace

from pilotlight.fleet.actions import Action, Hold, Refuse
from pilotlight.fleet.classes import BATCH
from pilotlight.fleet.events import Answered, Charged, Declined, Finished, SpendKnown, Spent
from pilotlight.fleet.fleet import DeploymentState, Fleet, Held, Sent
from pilotlight.fleet.provider import Provider
from pilotlight.fleet.remotes import FOREVER, ProviderState
from pilotlight.policy import (
    breaker,
    budget,
    burst,
    classes,
    first_token,
    pings,
    rental,
    routing,
    scaling,
    stand_in,
)
from pilotlight.policy import demand as traffic
from pilotlight.policy.balance import balance
from pilotlight.policy.requests import finished

WEIGHT = 0.1
"""Of the latest request in how long one is taken to run [G]."""


def answered(fleet: Fleet, e: Answered, out: list[Action]) -> None:
    s = fleet.sent.get(e.request)
    if s is None or s.provider != e.provider or s.answered_at is not None:
        return
    p = fleet.providers[s.provider]
    if not e.whole:
        first_token.learn(p, s, e.at)
    elif e.tokens is not None:
        first_token.learn_whole(p, s, e.at, e.tokens)
    else:
        p.waking_since = FOREVER
    s.answered_at = e.at
    pings.used(p, e.at, p.in_flight)
    s.whole = e.whole
    was_open = p.breaker.opened
    breaker.answered(p.breaker, s.request)
    if s.held is not None and s.asked is not None and not s.over:
        _has_it(fleet, s, s.held, s.asked, e, out)
    if was_open:
        burst.release_all(fleet, e.at, out)


def _has_it(fleet: Fleet, s: Sent, h: Held, d: DeploymentState, e: Answered, out: list[Action]) -> None:
    """A hedged one waits no longer; one that a replica has as well is called off there."""
    counted = h.id in fleet.assigned  # it was seen then whether it had waited too long
    if not s.alone:
        if counted:
            finished(fleet, Finished(e.at, h.id, ok=False), out)
            s.over = False
        elif h.id in fleet.holding:
            burst.no_longer_held(fleet, d, h.id)
        rental.alone(fleet, d, s, e.at)
        followed(fleet, d, e.at)
        if d.spec.id in fleet.waiting:
            balance(fleet, d, e.at, out)
    if not e.whole and not counted and e.at - h.at > fleet.goal.wait and h.rank != BATCH:
        traffic.was_cold(fleet, d, h.at, e.at)


def declined(fleet: Fleet, e: Declined, out: list[Action]) -> None:
    s = _over(fleet, e.request, e.provider, e.usd, e.at)
    if s is None:
        return
    p = fleet.providers[s.provider]
    if s.idle:
        p.waking_since = FOREVER
    kept = e.kind == breaker.KEPT
    if kept:
        breaker.neither(p.breaker, s.request)
    else:
        breaker.failed(p.breaker, s.request, e.kind, e.at, e.retry_after)
        p.failures += 1
        p.last_reason = e.reason
    if s.held is not None and not s.over:
        tried = (*s.held.tried, s.provider)
        remote = None if kept else s.held.remote
        _elsewhere(fleet, s, replace(s.held, tried=tried, remote=remote), e, out)
    burst.release_all(fleet, e.at, out)


def _elsewhere(fleet: Fleet, s: Sent, h: Held, e: Declined, out: list[Action]) -> None:
    """To the next provider, or back to the deployment's own replicas."""
    d = fleet.deployments.get(s.asked.spec.id) if s.asked is not None else None
    if h.id in fleet.assigned:
        return
    if h.id in fleet.holding:
        if d is not None and h.id in d.held:
            d.held[h.id] = h
            burst.hedge(fleet, d, h, e.at, out)
        return
    if d is None or d.removed or fleet.closing:
        out.append(
            Refuse(h.id, 503, "model_gone", f"{s.provider} did not answer ({e.reason}), and no one else may")
        )
        return
    _again(fleet, d, h, s.provider, e, out)
    balance(fleet, d, e.at, out)


def _again(fleet: Fleet, d: DeploymentState, h: Held, by: str, e: Declined, out: list[Action]) -> None:
    warm = not d.held and routing.pick(d) is not None
    full = not warm and classes.is_full(d)
    if not warm and burst.takes(fleet, d, h, e.at, out, full=full):
        pass
    elif full and not classes.push_out(fleet, d, out):
        classes.refuse(d, h.id, out)
    else:
        classes.back(fleet, d, h, e.at)
        out.append(Hold(h.id, e.reason if e.kind == breaker.KEPT else f"{by} did not answer: {e.reason}"))
    followed(fleet, d, e.at)


def charged(fleet: Fleet, e: Charged, out: list[Action]) -> None:
    s = _over(fleet, e.request, e.provider, e.usd, e.at)
    if s is None:
        return
    p = fleet.providers[s.provider]
    if not e.ok:
        breaker.failed(p.breaker, s.request, "error", e.at)
        p.failures += 1
        p.last_reason = e.reason
    elif s.answered_at is None:
        breaker.neither(p.breaker, s.request)
    else:
        breaker.well(p.breaker)
        pings.used(p, e.at, p.in_flight + 1)
    d = s.asked
    if d is not None and d.bursting is not None and rental.pays(fleet, d, d.bursting, e.at):
        balance(fleet, d, e.at, out)
    burst.release_all(fleet, e.at, out)


def _over(fleet: Fleet, request: str, provider: str, usd: float, now: float) -> Sent | None:
    """Its provider is done with it: the budget is settled. None where it is not known to be there."""
    s = fleet.sent.get(request)
    if s is None or s.provider != provider:
        return None
    del fleet.sent[request]
    p = fleet.providers[provider]
    usd = budget.settle(p, s, usd)
    d = s.asked
    if d is None:
        return s
    if d.bursting is not None:
        _learn(d, p, s, usd, now)
    if s.alone and d.bursting is not None:
        d.bursting.sent -= 1
        rental.owes(fleet, d, d.bursting, s.level, usd - s.expected, now)
        stand_in.over(fleet, d, now)
    return s


def _learn(d: DeploymentState, p: ProviderState, s: Sent, usd: float, now: float) -> None:
    """What a request costs there and how long it runs, from one that was answered."""
    b = d.bursting
    if s.answered_at is None or b is None:
        return
    if s.held is not None and s.held.remote is not None:
        burst.paid(b, p.spec, s.held.remote, usd)
    if s.whole and s.idle:
        return  # nobody knows how much of it the provider took to come up
    runs = now - s.at if s.whole else now - s.answered_at + first_token.warm(p)
    b.service = runs if b.service is None else b.service + WEIGHT * (runs - b.service)
    demand = d.demand
    if demand is not None and demand.service is None and demand.timed is None:
        demand.timed, demand.timed_at = s.request, now - runs  # none of its own has been timed yet
        traffic.ended(demand, now)


def followed(fleet: Fleet, d: DeploymentState, now: float) -> None:
    """Its requests are more, or others, than before."""
    if d.demand is not None:
        traffic.follow(fleet, d, now)
    if d.delays is not None:
        scaling.changed(fleet, d, now)


def spent(fleet: Fleet, e: Spent, out: list[Action]) -> None:
    """Also of one that is not declared: it may be again."""
    p = fleet.providers.get(e.provider)
    if p is None:
        p = fleet.providers[e.provider] = ProviderState(Provider(e.provider), removed=True)
    for hours, usd in e.hours:
        if isfinite(usd) and usd > 0.0:
            budget.charge(p.spend, hours, usd)


def spend_known(fleet: Fleet, e: SpendKnown, out: list[Action]) -> None:
    fleet.spend_known = e.known
    if e.known:
        burst.release_all(fleet, e.at, out)
