"""The latest requests, by id, for those who ask where the wait went."""

from collections import OrderedDict

from pilotlight.fleet.records import RequestRecord


class Traces:
    """Keeps the last `limit` requests in memory, oldest forgotten first."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        # Of a plain dict, whose oldest are deleted, finding the oldest that is left takes ever longer.
        self._records: OrderedDict[str, RequestRecord] = OrderedDict()

    def told(self, record: RequestRecord) -> None:
        self._records[record.request_id] = record
        if len(self._records) > self._limit:
            self._records.popitem(last=False)

    def get(self, request_id: str) -> RequestRecord | None:
        return self._records.get(request_id)

    def latest(self, model: str | None = None) -> RequestRecord | None:
        for record in reversed(self._records.values()):
            if model is None or record.model == model:
                return record
        return None
