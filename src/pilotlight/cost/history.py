"""What a bill remembers of the past: hours, and what was taken in each of them."""

import msgspec

from pilotlight.cost.rows import Amount, Row, Rows, add

HOUR = 3600


class Traffic(msgspec.Struct):
    """Of one model in one hour. Grows in place."""

    requests: int = 0
    """That were not refused."""
    cold: int = 0
    """That a start made wait longer than objective.wait."""
    waited: float = 0.0
    """Seconds that starts made requests wait, those of the others too."""
    waiting_usd: float = 0.0
    """Cold requests, each at what one counted for when it came."""
    peak: int = 0
    """Replicas that the busiest moment needed."""
    one_usd: float = 0.0
    """What one replica costs that is always on, dedicated, as long as the model was served."""
    scale_to_zero_usd: float = 0.0
    """What the hour had cost with nothing kept between two busy spells."""

    @property
    def always_on_usd(self) -> float:
        """As many dedicated replicas as the busiest moment needed, all the time."""
        return self.peak * self.one_usd

    def plus(self, other: "Traffic") -> None:
        self.requests += other.requests
        self.cold += other.cold
        self.waited += other.waited
        self.waiting_usd += other.waiting_usd
        self.peak = max(self.peak, other.peak)
        self.one_usd += other.one_usd
        self.scale_to_zero_usd += other.scale_to_zero_usd


class History(msgspec.Struct):
    """By hour since 1970 (UTC). Grows in place."""

    used: dict[int, Rows] = {}
    traffic: dict[int, dict[str, Traffic]] = {}

    def __bool__(self) -> bool:
        return bool(self.used or self.traffic)

    def use(self, hour: int, row: Row, amount: Amount) -> None:
        add(self.used.setdefault(hour, {}), row, amount.seconds, amount.usd)

    def of(self, hour: int, model: str) -> Traffic:
        """To be added to."""
        return self.traffic.setdefault(hour, {}).setdefault(model, Traffic())

    def since(self, hour: int) -> "History":
        """From that hour on; what is in it is shared."""
        return History(
            {h: rows for h, rows in self.used.items() if h >= hour},
            {h: models for h, models in self.traffic.items() if h >= hour},
        )

    def plus(self, other: "History") -> None:
        for hour, rows in other.used.items():
            for row, amount in rows.items():
                self.use(hour, row, amount)
        for hour, models in other.traffic.items():
            for model, traffic in models.items():
                self.of(hour, model).plus(traffic)
