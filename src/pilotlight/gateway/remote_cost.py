"""What a request at a provider owes, by what was counted of it and what the provider says that it counted."""

from pilotlight.fleet.provider import Tariff
from pilotlight.gateway.usage import NONE, Tokens

BYTES_PER_TOKEN = 3
"""Of a body, where the provider does not say how many tokens it had: English has about 4, other text fewer [G]."""
TEXTLESS = 10
"""Events of a stream that carry no text, at most: roles, ends, usage, the frame of /v1/responses [G]."""

FRAME = 1024
"""Bytes of an event around its text, at most: whoever puts more into one puts more than a token into it [G]."""


class Meter:
    """Counts while the answer comes; `usd` may be asked at any moment."""

    __slots__ = (
        "_body",
        "_inputs",
        "_outputs",
        "_tariff",
        "came",
        "ended_at",
        "events",
        "only_time",
        "sent_at",
        "told",
    )

    def __init__(self, tariff: Tariff, body: int, inputs: int, outputs: int) -> None:
        """`body`: its bytes. `inputs`, `outputs`: tokens at most."""
        self._tariff = tariff
        self._body = body
        self._inputs = inputs
        self._outputs = outputs
        self.sent_at: float | None = None
        """When it was with the provider, which may have worked on it since."""
        self.ended_at: float | None = None
        self.only_time = False
        """It was refused: nothing but the provider's time can cost."""
        self.events = 0
        """Of a stream, those with data."""
        self.came = 0
        """Bytes of the answer."""
        self.told: Tokens = NONE
        """What the provider says."""

    def tokens(self) -> Tokens:
        """What is charged: what the provider says where that is possible, else what was counted here."""
        said = self.told if self.told.source in ("usage", "timings") else NONE
        counted_in = min(-(-self._body // BYTES_PER_TOKEN), self._inputs)
        text = max(0, self.came - FRAME * self.events)
        counted_out = min(max(self.events, -(-text // BYTES_PER_TOKEN)), self._outputs)
        prompt = _possible(said.prompt, 1, self._inputs)
        output = _possible(said.output, min(self.events, self._outputs) - TEXTLESS, self._outputs)
        source = said.source if prompt is not None and output is not None else "estimated"
        return Tokens(
            counted_in if prompt is None else prompt, counted_out if output is None else output, source
        )

    @property
    def lied(self) -> bool:
        """Whether the provider said what cannot be."""
        return self.told.source in ("usage", "timings") and self.tokens().source == "estimated"

    def usd(self, now: float) -> float:
        """What is owed."""
        if self.sent_at is None:
            return 0.0
        seconds = max(0.0, (now if self.ended_at is None else self.ended_at) - self.sent_at)
        if self.only_time:
            return self._tariff.second * seconds
        tokens = self.tokens()
        return self._tariff.usd(seconds, tokens.prompt or 0, tokens.output or 0)


def _possible(said: int | None, least: int, most: int) -> int | None:
    return said if said is not None and max(0, least) <= said <= most else None
