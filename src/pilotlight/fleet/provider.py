"""Endpoints of others, as the kernel knows them. Money in USD, durations in seconds."""

import math

import msgspec


class Tariff(msgspec.Struct, frozen=True):
    """What a provider charges; what is given is added up."""

    second: float = 0.0
    request: float = 0.0
    input_token: float = 0.0
    output_token: float = 0.0

    def usd(self, seconds: float, input_tokens: int, output_tokens: int) -> float:
        """Of a request that took so many seconds there and had so many tokens."""
        return (
            self.request
            + self.second * seconds
            + self.input_token * input_tokens
            + self.output_token * output_tokens
        )


class Budget(msgspec.Struct, frozen=True):
    """The most that may be spent in an hour, a day and a month of the calendar (UTC)."""

    hour: float = math.inf
    day: float = math.inf
    month: float = math.inf


class KeepWarm(msgspec.Struct, frozen=True):
    """So many small requests at once after so many seconds without traffic."""

    deployment: str
    requests: int
    every: float


class Provider(msgspec.Struct, frozen=True):
    id: str
    tariff: Tariff = Tariff()
    budget: Budget = Budget()
    max_requests: int = 64
    first_token: float = 1.0
    """To the first token while it is warm, as declared; what is learned replaces it."""
    cold_start: float = 0.0
    """How much longer that takes when it is cold, as declared; what is learned replaces it."""
    idle_timeout: float = 300.0
    """Without traffic for so long it is taken to have gone cold."""
    max_duration: float = 600.0
    """Of a request in all."""
    max_output_tokens: int = 4096
    """Of a request that says no limit itself."""
    keep_warm: KeepWarm | None = None
    fingerprint: str = ""
    """Changes when it is another endpoint, of which nothing is known."""
    declaration: str = ""
    """Changes with anything that is said of it."""


class Burst(msgspec.Struct, frozen=True):
    """Where a deployment's requests may go that exceed its replicas."""

    providers: tuple[str, ...]
    """Those that are preferred first."""
    only_cold: bool = False
    """Only while no replica is up."""
    max_request_usd: float | None = None
    """That one request may be expected to cost; None where that is left to what a cold request costs."""


class Remote(msgspec.Struct, frozen=True, gc=False):
    """That a request may leave the house, and how large it can get."""

    input_tokens: int
    """At most: no token is shorter than a byte."""
    output_tokens: int | None = None
    """At most, as the request says; None where it says nothing."""
    hedge: bool = False
    """It is to be sent to a provider and to a replica, and whoever gives the first token first has it."""
    choices: int = 1
    """Answers that it asks for; each has a token at least, whatever the limit of them all is."""
