"""Providers in virtual time: their first token takes its time, longer when they are cold, and all is charged."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from pilotlight.fleet.actions import Ping, Send
from pilotlight.fleet.events import Answered, Charged, Declined, Event, Finished
from pilotlight.fleet.provider import Provider
from pilotlight.sim.troubles import Troubles

NEVER = float("inf")

PING = (16, 1)
"""Tokens of a small request and of its answer [G]."""


class Charge(msgspec.Struct, frozen=True):
    """What a provider is paid for one request."""

    at: float
    """When it was sent."""
    provider: str
    deployment: str
    usd: float
    is_ping: bool = False
    hedged: bool = False
    declined: bool = False
    cut: bool = False
    """A replica was faster; what had come by then is paid for."""
    request: str = ""
    """Empty for a ping."""


class Asked(Protocol):
    """What is known of the requests that are replayed."""

    def size(self, request: str) -> tuple[str, int, int]:
        """Its deployment, and the tokens of its prompt and of its answer."""
        ...

    def first_token(self, request: str) -> float:
        """Seconds that a replica takes to its first token."""
        ...

    def answered(self, request: str, at: float) -> None:
        """A provider gives its first token then."""
        ...


class Nobody:
    """Where nothing is known of them: they are of one token."""

    def size(self, request: str) -> tuple[str, int, int]:
        return "", 1, 1

    def first_token(self, request: str) -> float:
        return 0.0

    def answered(self, request: str, at: float) -> None:
        pass


class _Endpoint:
    """One provider. It comes up once for all who meet it cold, and goes cold some time after its last byte."""

    def __init__(self, spec: Provider) -> None:
        self.spec = spec
        self.up_at = 0.0
        self.cold_from = -NEVER

    def first_token(self, now: float) -> float:
        """When that of a request comes that is sent now."""
        if now >= self.cold_from:
            self.up_at = now + self.spec.cold_start
        return max(now, self.up_at) + self.spec.first_token

    def until(self, last: float) -> None:
        """It is busy."""
        self.cold_from = max(self.cold_from, last + self.spec.idle_timeout)


class SimulatedProviders:
    """`per_token`: seconds for each token of an answer, as of a replica. `troubles`: by provider."""

    def __init__(
        self,
        declared: Iterable[Provider],
        asked: Asked,
        per_token: float,
        troubles: Mapping[str, Troubles] | None = None,
    ) -> None:
        self.charges: list[Charge] = []
        self._troubles = troubles or {}
        self._beside: dict[str, int] = {}
        """Where the charges of hedged requests are that are not over."""
        self._endpoints = {spec.id: _Endpoint(spec) for spec in declared}
        self._asked = asked
        self._per_token = per_token

    def follows(self, action: Send | Ping, now: float) -> tuple[Event, ...]:
        """Of one that is sent now: its answer, what it costs, and its end; or that it is declined."""
        is_ping = isinstance(action, Ping)
        hedged = not is_ping and action.hedged
        deployment, tokens, output = (
            (action.deployment, *PING) if isinstance(action, Ping) else self._asked.size(action.request)
        )
        if hedged:
            self._beside[action.request] = len(self.charges)
        request = "" if is_ping else action.request
        declined, first = self._begins(action, now)
        if declined is not None:
            self.charges.append(
                Charge(now, action.provider, deployment, 0.0, is_ping, hedged, declined=True, request=request)
            )
            return (declined,)
        endpoint = self._endpoints[action.provider]
        last = first + self._per_token * output
        endpoint.until(last)
        usd = endpoint.spec.tariff.usd(last - now, tokens, output)
        self.charges.append(Charge(now, action.provider, deployment, usd, is_ping, hedged, request=request))
        found = (
            Answered(first, action.request, action.provider),
            Charged(last, action.request, action.provider, usd),
        )
        if is_ping:
            return found
        self._asked.answered(action.request, first)
        return (*found, Finished(last, action.request))

    def _begins(self, action: Send | Ping, now: float) -> tuple[Declined | None, float]:
        """That it is declined, if it is; and when its first token comes, or would have come."""
        troubles, endpoint = self._troubles.get(action.provider), self._endpoints[action.provider]
        if troubles is None:
            return None, endpoint.first_token(now)
        if (declined := troubles.at_once(action.request, now)) is not None:
            return declined, now
        first = endpoint.first_token(now)
        if (declined := troubles.later(action.request, first)) is not None:
            endpoint.until(first)
        return declined, first

    def cut(self, request: str, at: float) -> Charged:
        """A replica gives the first token of a hedged one: its prompt is paid for, and the time until then."""
        i = self._beside.pop(request)
        c = self.charges[i]
        usd = self._endpoints[c.provider].spec.tariff.usd(at - c.at, self._asked.size(request)[1], 0)
        self.charges[i] = msgspec.structs.replace(c, usd=usd, declined=False, cut=True)
        return Charged(at, request, c.provider, usd, reason="a replica was faster")
