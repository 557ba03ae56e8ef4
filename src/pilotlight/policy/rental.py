"""When a replica is worth starting for requests that providers answer.

It is the ski rental problem: whoever does not know how long the snow will last rents until the rent adds up to the
price of skis, then buys, and never pays more than twice what would have been right (Karlin, Manasse, Rudolph and
Sleator, Competitive snoopy caching, 1988). Here providers are the rent and a start is the price. A replica costs money
while it runs, too, so it is the difference that counts, as in Irani, Shukla and Gupta (Online strategies for dynamic
power management, 2003): a replica is started once providers have cost as much more than it would have, as its start
costs. Where they are the cheaper ones that never comes; the sum is never below 0, for it could have been started at
any moment.

Every replica's worth of requests has a sum of its own. What nobody can take is held, and held requests are a reason
to start without any of this.
"""

from pilotlight.fleet.fleet import DeploymentState, Fleet, Sent
from pilotlight.fleet.remotes import Bursting
from pilotlight.policy import cold_price, value


def second(fleet: Fleet, d: DeploymentState) -> float:
    """USD for a second of a replica that is started for them."""
    return cold_price.second(fleet, d)


def start(fleet: Fleet, d: DeploymentState) -> float:
    """USD for the time in which it starts."""
    return value.start_seconds(d) * second(fleet, d)


def joins(fleet: Fleet, d: DeploymentState, b: Bursting, usd: float, now: float) -> int:
    """One more is at a provider alone, for so much as is expected. Which replica's worth it is of, from 0."""
    level = b.sent // d.spec.target_requests
    b.sent += 1
    if level == len(b.owed):
        b.owed.append(0.0)
        b.as_of.append(now)
    owes(fleet, d, b, level, usd, now)
    return level


def owes(fleet: Fleet, d: DeploymentState, b: Bursting, level: int, usd: float, now: float) -> None:
    """Providers have cost so much more, or less, at one that may have been started since."""
    if level < len(b.owed):
        b.owed[level] = max(0.0, owed(fleet, d, b, level, now) + usd)
        b.as_of[level] = max(now, b.as_of[level])


def owed(fleet: Fleet, d: DeploymentState, b: Bursting, level: int, now: float) -> float:
    """USD."""
    return max(0.0, b.owed[level] - second(fleet, d) * max(0.0, now - b.as_of[level]))


def pays(fleet: Fleet, d: DeploymentState, b: Bursting, now: float) -> int:
    """Replicas that are worth starting."""
    if not b.owed or max(b.owed) < (price := start(fleet, d)):
        return 0
    return sum(owed(fleet, d, b, level, now) >= price for level in range(len(b.owed)))


def started(b: Bursting) -> None:
    """The fullest replica's worth is provided for."""
    if b.owed:
        del b.owed[0], b.as_of[0]


def wanted(fleet: Fleet, d: DeploymentState, b: Bursting, n: int, now: float) -> int:
    """Of the `n` replicas that all its requests ask for, those that are not left to providers."""
    live = len(d.current())
    if n <= live:
        return n
    here = -(-(d.in_flight - b.sent + len(d.held)) // d.spec.target_requests)
    return min(n, max(here, live) + pays(fleet, d, b, now))


def alone(fleet: Fleet, d: DeploymentState, s: Sent, now: float) -> None:
    """Only its provider has it from now on; it counts in the demand of its deployment."""
    if d.bursting is not None:
        d.in_flight += 1
        d.away += 1
        s.level = joins(fleet, d, d.bursting, s.expected, now)
