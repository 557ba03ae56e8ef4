"""A request for which no replica has a slot goes to a provider, where that promises the earlier first token.

What is compared is when a slot of the deployment's own is expected to be free for it, by the requests that wait before
it, how long they run, and the replicas that come up or could be started, with what is known of each provider's time to
first token. A provider is not asked that is ill, full, beyond its budget, or dearer than the deployment allows.

A stand-in is asked before any provider: it is up, and paid for already. A batch request waits for idle capacity and
leaves only once it is past its deadline.
"""

from math import inf

from pilotlight.fleet.actions import Action, Send
from pilotlight.fleet.fleet import DeploymentState, Fleet, Held, Sent
from pilotlight.fleet.provider import Burst, Provider, Remote
from pilotlight.fleet.remotes import Bursting, ProviderState
from pilotlight.fleet.states import State
from pilotlight.policy import breaker, budget, first_token, local_promise, rental

BYTES_A_TOKEN = 4
"""Of a prompt, as most tokenisers have it in English."""

USUAL_OUTPUT = 256
"""Tokens of an answer before any was paid for [G]."""

WEIGHT = 0.1
"""Of the latest request in what one is taken to cost [G]."""

IN_VAIN = 32
"""Requests in a row for which nobody was found, after which those behind them are not looked at [G]: each look costs
as much as a decision, and thousands may wait while a budget is used up."""

Found = tuple[float, ProviderState, float]
"""Seconds to the first token, who promises them, and the USD that are expected."""


def declared(d: DeploymentState) -> None:
    """After every declaration."""
    if d.spec.burst is not None:
        d.bursting = d.bursting or Bursting()
    elif d.bursting is not None and not d.bursting.sent:
        d.bursting = None


def takes(fleet: Fleet, d: DeploymentState, h: Held, now: float, out: list[Action], *, full: bool) -> bool:
    """Whether a provider has the request, which waits for nothing yet, from now on.

    `full`: it cannot be held, so any provider is the earlier one.
    """
    found = best(fleet, d, h, now, refused=full)
    if found is None:
        return False
    if not full:
        found, _ = _beating(fleet, d, h, found, len(d.held) + 1, now)
        if found is None:
            return False
    send(fleet, d, found, h, now, out)
    return True


def hedge(fleet: Fleet, d: DeploymentState, h: Held, now: float, out: list[Action]) -> None:
    """A provider is asked beside the start, or the queue, that it waits for."""
    found = best(fleet, d, h, now)
    if found is not None:
        send(fleet, d, found, h, now, out, hedged=True)


def release(
    fleet: Fleet, d: DeploymentState, now: float, out: list[Action], *, refused: bool = False
) -> None:
    """A provider may take more than before: those that wait leave for which it is earlier, in their order.

    `refused`: the others would be told that they cannot be served, so any provider is earlier.
    """
    if not d.held or not _any_up(fleet, d, now):
        return
    waits = first = in_vain = 0
    for h in [d.held[i] for i in d.urgent] + [h for i, h in d.held.items() if i not in d.urgent]:
        waits += 1
        if waits <= first or h.remote is None or h.id in fleet.sent:
            continue
        found = best(fleet, d, h, now, refused=refused)
        if found is None:
            in_vain += not h.tried  # one that they have declined says nothing of those behind it
            if in_vain == IN_VAIN and not refused:
                return
            continue
        in_vain = 0
        if not refused:
            found, served = _beating(fleet, d, h, found, waits, now)
            if found is None:
                first = int(served)  # each of these is as well off here
                continue
        waits -= 1
        no_longer_held(fleet, d, h.id)
        send(fleet, d, found, h, now, out)
        if not _any_up(fleet, d, now):
            return


def release_all(fleet: Fleet, now: float, out: list[Action]) -> None:
    """Of every deployment."""
    if fleet.holding and fleet.providers and not fleet.closing:
        for name in dict.fromkeys(fleet.holding.values()):
            release(fleet, fleet.deployments[name], now, out)


def no_longer_held(fleet: Fleet, d: DeploymentState, request: str) -> None:
    del d.held[request], fleet.holding[request]
    d.urgent.pop(request, None)


def _beating(
    fleet: Fleet, d: DeploymentState, h: Held, found: Found, place: int, now: float
) -> tuple[Found | None, float]:
    """Who promises it its first token earlier than the deployment's own replicas: the one that was found, or else the
    earliest of all. With how many requests have a slot of these by then. `place`: its own among those that wait."""
    served = local_promise.served_within(d, found[0], now)
    if served < place:
        return found, served
    listed = () if d.spec.burst is None else d.spec.burst.providers
    quickest = best(fleet, d, h, now, within=-inf) if len(listed) > 1 else None
    if quickest is None or quickest[0] >= found[0]:
        return None, served
    served = local_promise.served_within(d, quickest[0], now)
    return (quickest if served < place else None), served


def best(
    fleet: Fleet,
    d: DeploymentState,
    h: Held,
    now: float,
    *,
    refused: bool = False,
    within: float | None = None,
) -> Found | None:
    """Of those that may have it the first, as they are listed, that promises its first token `within` so many seconds
    (the objective's wait); where none does, whoever is the earliest. A list says whom to prefer, not whom to wait for.

    `refused`: it would be told that it cannot be served, which is worse than any wait.
    """
    burst, remote, found = d.spec.burst, h.remote, None
    if burst is None or remote is None or d.bursting is None or fleet.closing:
        return None
    if burst.only_cold and any(r.state is State.READY for r in d.every):
        return None
    most = acceptable(fleet, d, burst, refused=refused)
    in_time = fleet.goal.wait if within is None else within
    for name in burst.providers:
        p = fleet.providers.get(name)
        if p is None or name in h.tried or not _is_open(fleet, p, remote, now):
            continue
        if most < inf and by_size(d.bursting, p.spec, remote) > most:
            continue
        seconds = first_token.anew(p, now) if len(burst.providers) > 1 else first_token.promise(p, now)
        if found is None or seconds < found[0]:
            found = seconds, p, expected(d.bursting, p.spec, remote)
        if seconds <= in_time:
            break
    return found


def acceptable(fleet: Fleet, d: DeploymentState, burst: Burst, *, refused: bool = False) -> float:
    """USD that a request may be expected to cost. What is said of its model; else, where it is said what a cold request
    costs, so much more than its share of a full replica here. That does not hold for one that waits for nothing."""
    if burst.max_request_usd is not None:
        return burst.max_request_usd
    cold = fleet.goal.cold_usd
    if cold is None or refused:
        return inf
    return cold + rental.second(fleet, d) * local_promise.service(d) / d.spec.target_requests


def _is_open(fleet: Fleet, p: ProviderState, remote: Remote, now: float) -> bool:
    """Whether it may be asked now; if not, and time alone may change that, it is looked at again then."""
    if not _is_up(fleet, p, now):
        return False
    if not budget.fits(fleet, p, budget.dearest(p.spec, remote), now):
        look_again(fleet, p, budget.next_hour(fleet, now), now)
        return False
    return True


def _is_up(fleet: Fleet, p: ProviderState, now: float) -> bool:
    """The same, whatever it would cost."""
    if p.removed or p.in_flight >= p.spec.max_requests:
        return False
    if breaker.may(p.breaker, now):
        return True
    look_again(fleet, p, breaker.again(p.breaker, now), now)
    return False


def _any_up(fleet: Fleet, d: DeploymentState, now: float) -> bool:
    """Of those to which its requests may go."""
    names = () if d.spec.burst is None else d.spec.burst.providers
    return any(_is_up(fleet, p, now) for p in map(fleet.providers.get, names) if p is not None)


def look_again(fleet: Fleet, p: ProviderState, when: float, now: float) -> None:
    """Has a Tick see whether those that wait may leave for it, unless one does so earlier."""
    if now < when < p.look_at:
        p.look_at = when
        fleet.timer(when, "provider", p.spec.id)


def expected(b: Bursting, spec: Provider, remote: Remote) -> float:
    """USD that a request is taken to cost: what the deployment's others did there, or else an ordinary one."""
    known = b.usd.get(spec.id)
    return _ordinary(b, spec, remote) if known is None else known


def by_size(b: Bursting, spec: Provider, remote: Remote) -> float:
    """USD that this very request is taken to cost: by its size, and by what others have cost for theirs."""
    return b.times.get(spec.id, 1.0) * _ordinary(b, spec, remote)


def paid(b: Bursting, spec: Provider, remote: Remote, usd: float) -> None:
    """So much was one in the end that was answered."""
    before = b.usd.get(spec.id, usd)
    b.usd[spec.id] = before + WEIGHT * (usd - before)
    ordinary = _ordinary(b, spec, remote)
    if ordinary > 0.0:
        times = usd / ordinary
        known = b.times.get(spec.id, times)
        b.times[spec.id] = known + WEIGHT * (times - known)


def _ordinary(b: Bursting, spec: Provider, remote: Remote) -> float:
    """USD for a prompt of its size and an answer as they usually are."""
    output = USUAL_OUTPUT if remote.output_tokens is None else min(USUAL_OUTPUT, remote.output_tokens)
    seconds = local_promise.UNTIMED if b.service is None else b.service
    return spec.tariff.usd(seconds, remote.input_tokens // BYTES_A_TOKEN, output)


def send(
    fleet: Fleet,
    d: DeploymentState,
    found: Found,
    h: Held,
    now: float,
    out: list[Action],
    *,
    hedged: bool = False,
) -> None:
    seconds, p, usd = found
    assert h.remote is not None
    s = Sent(
        request=h.id,
        provider=p.spec.id,
        at=now,
        dearest=budget.dearest(p.spec, h.remote),
        hours=budget.hour(fleet, now),
        idle=first_token.is_idle(p, now),
        held=h,
        asked=d,
        expected=usd,
    )
    underway(fleet, p, s)
    p.requests += 1
    if not hedged:
        rental.alone(fleet, d, s, now)
    because = f"{p.spec.id} promises its first token in {seconds:.3g} s"
    because += ", whoever is first has it" if hedged else f", before one of {d.spec.id}'s own has room"
    out.append(Send(h.id, p.spec.id, because, s.dearest, hedged))


def underway(fleet: Fleet, p: ProviderState, s: Sent) -> None:
    """A request, or a ping, is at a provider from now on."""
    first_token.sent(p, s)
    budget.set_aside(p, s)
    breaker.sent(p.breaker, s.request)
    fleet.sent[s.request] = s
