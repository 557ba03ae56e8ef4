"""The cold-start rate over a sliding window."""

from collections import deque


class ColdRate:
    """Share of requests whose start-caused wait exceeded `wait` seconds, over the last `window` seconds.

    Kept in slots of a 60th of the window, so memory does not grow with traffic and the window's end is exact to a
    slot.
    """

    SLOTS = 60

    def __init__(self, wait: float, window: float) -> None:
        self.wait = wait
        self.window = window
        self._width = max(window / self.SLOTS, 1e-9)
        self._slots: dict[str, deque[list[int]]] = {}
        """Per model: [slot number, requests, cold ones]."""

    def add(self, model: str, at: float, start_wait: float) -> None:
        number = int(at / self._width)
        slots = self._slots.setdefault(model, deque())
        if not slots or slots[-1][0] < number:
            slots.append([number, 0, 0])
        slot = slots[-1]
        slot[1] += 1
        slot[2] += start_wait > self.wait
        self._expire(slots, number)

    def _expire(self, slots: deque[list[int]], number: int) -> None:
        while slots and slots[0][0] <= number - self.SLOTS:
            slots.popleft()

    def counts(self, now: float, model: str | None = None) -> tuple[int, int]:
        """(requests, cold ones) of one model, or of all."""
        number = int(now / self._width)
        requests = cold = 0
        for name in [model] if model is not None else list(self._slots):
            slots = self._slots.get(name)
            if slots is None:
                continue
            self._expire(slots, number)
            requests += sum(s[1] for s in slots)
            cold += sum(s[2] for s in slots)
        return requests, cold

    def rate(self, now: float, model: str | None = None) -> float | None:
        """0 to 1; None when no request ended within the window."""
        requests, cold = self.counts(now, model)
        return cold / requests if requests else None
