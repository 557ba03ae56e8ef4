"""What is remembered of providers: what was spent there, whether they are well, and how soon they answer.

Money in USD, moments in the controller's seconds.
"""

import msgspec

from pilotlight.fleet.provider import Provider

FOREVER = float("inf")


class Spend(msgspec.Struct, eq=False):
    """By calendar (UTC). Buckets are found by their index, so a clock that is set back finds what it left."""

    hours: dict[int, float] = {}
    """By hours since 1970; the bucket that was used last is the last one. The same below."""
    days: dict[int, float] = {}
    """By days since 1970."""
    months: dict[int, float] = {}
    """By months since 1970."""
    set_aside: float = 0.0
    """For requests in flight, each at its dearest."""


class Breaker(msgspec.Struct, eq=False):
    """Open until `until` where it is `opened`, and half-open from then on."""

    opened: bool = False

    failures: int = 0
    """In a row."""
    ill: float = 0.0
    """Share of failures; older ones count for less."""
    trips: int = 0
    """Times in a row that it has opened without a request done well in between."""
    until: float = 0.0
    paused_until: float = 0.0
    """It asked to be left alone; that is no failure."""
    pauses: int = 0
    """In a row."""
    probe: str | None = None
    """The one request that tries a half-open one."""


class FirstToken(msgspec.Struct, eq=False):
    """How soon the first token comes, in seconds. None: nothing seen, and what is declared counts."""

    warm: float | None = None
    cold: float | None = None
    """How much longer it takes when it is cold."""
    pace: float | None = None
    """What a further token takes, by answers in one piece."""
    cold_idle: float = 1.0
    """Share of requests that find it cold after a time without traffic."""
    cold_used: float = 0.0
    """The same of the others."""
    goes_cold: bool = False
    """It was found so after a time without traffic."""
    answers: int = 0
    """Ever, pings left out as below."""
    colds: int = 0
    """Of those."""


class ProviderState(msgspec.Struct, eq=False):
    spec: Provider
    spend: Spend = msgspec.field(default_factory=Spend)
    breaker: Breaker = msgspec.field(default_factory=Breaker)
    first_token: FirstToken = msgspec.field(default_factory=FirstToken)
    in_flight: int = 0
    """Requests and pings that are not over."""
    used_at: float = -FOREVER
    """When there was traffic last."""
    filled_at: float = -FOREVER
    """When there was last as much of it at once as pings are to keep warm."""
    waking_since: float = FOREVER
    """Since when it comes up, as is thought: the first request after a time without traffic has no answer yet."""
    pings: int = 0
    """Ever; numbers them."""
    ping_at: float = FOREVER
    """When a timer looks whether it needs one."""
    look_at: float = FOREVER
    """When a timer looks whether it may be asked again."""
    requests: int = 0
    """Ever sent, without pings."""
    failures: int = 0
    """Ever."""
    last_reason: str = ""
    """Of the latest failure."""
    removed: bool = False
    """No longer declared. It is remembered, for what was spent stays spent."""


class Bursting(msgspec.Struct, eq=False):
    """Of a deployment whose requests may go to providers."""

    sent: int = 0
    """Of its requests in flight, those that only a provider has."""
    owed: list[float] = []
    """By replica that would have taken them, from the first: USD by which providers were dearer, as of `as_of`."""
    as_of: list[float] = []
    usd: dict[str, float] = {}
    """What a request has cost of late, by provider."""
    times: dict[str, float] = {}
    """The same as a multiple of what one of its size would be taken to cost."""
    service: float | None = None
    """Seconds that a request runs."""
    timed: bool = False
    """One is being timed."""
