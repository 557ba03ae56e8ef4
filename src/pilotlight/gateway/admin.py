"""Routes for operators: what is up, what it cost, and a few orders."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from pilotlight.clock import Clock
from pilotlight.coldstart.remaining import Left
from pilotlight.cost.report import BY
from pilotlight.errors import ConfigError, RequestError
from pilotlight.fleet import view
from pilotlight.fleet.events import Event, SleepAsked, StopAsked, WarmAsked
from pilotlight.fleet.fleet import Fleet, Replica
from pilotlight.fleet.records import RequestRecord
from pilotlight.fleet.states import RESTING, SERVING
from pilotlight.gateway.front import Front
from pilotlight.http.errors import json_response
from pilotlight.http.routes import ID, Handler, Route
from pilotlight.policy import providers
from pilotlight.policy.explain import explain
from pilotlight.policy.keep_alive import leaves
from pilotlight.telemetry.prometheus import Metrics
from pilotlight.telemetry.stages import trace
from pilotlight.telemetry.traces import Traces


class Admin:
    """`reload` re-reads the configuration file and says what changed; ConfigError when it is wrong."""

    def __init__(
        self,
        *,
        front: Front,
        clock: Clock,
        fleet: Callable[[], Fleet],
        post: Callable[[Event], None],
        pid_of: Callable[[str], int | None],
        progress: Callable[[str], str],
        left: Callable[[str], Left | None],
        primed: Callable[[], dict[str, Any]],
        metrics: Metrics,
        traces: Traces,
        decisions: Callable[[str], list[dict[str, Any]]],
        cost: Callable[[float, str, bool], Awaitable[dict[str, Any]]],
        prices: Callable[[], dict[str, Any]],
        reload: Callable[[], list[str]],
        version: str,
    ) -> None:
        self._front = front
        self._clock = clock
        self._fleet = fleet
        self._post = post
        self._pid_of = pid_of
        self._progress = progress
        self._left = left
        self._primed = primed
        self._metrics = metrics
        self._traces = traces
        self._decisions = decisions
        self._cost = cost
        self._prices = prices
        self._reload = reload
        self._version = version

    def routes(self) -> list[Route]:
        guarded = self._guarded
        return [
            Route("GET", "/", self._root),
            Route("GET", "/health", self._health),
            Route("GET", "/running", guarded(self._running)),
            Route("GET", "/providers", guarded(self._providers)),
            Route("GET", "/metrics", guarded(self._scrape)),
            Route("GET", "/cost", guarded(self._billed)),
            Route("GET", "/traces", guarded(self._latest)),
            Route("GET", "/traces/{id}", guarded(self._trace)),
            Route("POST", "/models/{id}/warm", guarded(self._warm)),
            Route("POST", "/models/{id}/stop", guarded(self._stop)),
            Route("POST", "/models/{id}/sleep", guarded(self._sleep)),
            Route("POST", "/models/{id}/wake_up", guarded(self._warm)),
            Route("GET", "/models/{id}/is_sleeping", guarded(self._is_sleeping)),
            Route("GET", "/models/{id}/explain", guarded(self._explain)),
            Route("POST", "/reload", guarded(self._reloaded)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.BaseRequest) -> web.StreamResponse:
            self._front.check(request)
            headers = request.headers
            self._front.keys.admin(headers.get("Authorization"), headers.get("x-api-key"))
            return await handler(request)

        return guarded

    async def _root(self, request: web.BaseRequest) -> web.StreamResponse:
        return json_response({"name": "pilotlight", "version": self._version})

    async def _health(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._fleet().closing:
            return json_response({"status": "shutting down"}, 503)
        return json_response({"status": "ok"})

    async def _scrape(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            body=self._metrics.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _billed(self, request: web.BaseRequest) -> web.StreamResponse:
        """`since` is in Unix seconds, `by` one of BY; `rows=1` also wants every row."""
        query = request.query
        since, by = _seconds(query.get("since", "0")), query.get("by", "model")
        if since is None:
            text = f"since is Unix time in seconds, not {query['since']!r}"
            raise RequestError(400, text, code="invalid_since", param="since")
        if by not in BY:
            raise RequestError(
                400, f"by is one of {', '.join(BY)}, not {by!r}", code="invalid_by", param="by"
            )
        return json_response(await self._cost(since, by, query.get("rows") == "1"))

    async def _running(self, request: web.BaseRequest) -> web.StreamResponse:
        fleet, now = self._fleet(), self._clock.now()
        answer = {
            "replicas": [self._row(fleet, r, now) for r in fleet.replicas.values()],
            "held": view.held(fleet),
            "waiting_for_room": view.waiting_for_room(fleet, now),
            "primed": self._primed(),
        }
        return json_response(answer)

    async def _providers(self, request: web.BaseRequest) -> web.StreamResponse:
        return json_response({"providers": providers.rows(self._fleet(), self._clock.now())})

    def _row(self, fleet: Fleet, r: Replica, now: float) -> dict[str, Any]:
        return {
            **view.row(fleet, r, now, leaves(fleet, fleet.deployments[r.deployment], r)),
            "pid": self._pid_of(r.id),
            "progress": self._progress(r.id),
            "eta_s": _promised(self._left(r.id)),
        }

    async def _latest(self, request: web.BaseRequest) -> web.StreamResponse:
        record = self._traces.latest(request.query.get("model"))
        if record is None:
            raise RequestError(404, "no request has ended yet", code="trace_not_found")
        return self._drawn(record)

    async def _trace(self, request: web.BaseRequest) -> web.StreamResponse:
        record = self._traces.get(request[ID])
        if record is None:
            text = f"no trace of {request[ID]!r}: it is unknown, still running, or long ago"
            raise RequestError(404, text, code="trace_not_found")
        return self._drawn(record)

    def _drawn(self, record: RequestRecord) -> web.StreamResponse:
        return json_response({**trace(record), "prices": self._prices()})

    def _model(self, request: web.BaseRequest) -> str:
        return self._front.directory.find(request[ID], None)

    async def _warm(self, request: web.BaseRequest) -> web.StreamResponse:
        model = self._model(request)
        self._post(WarmAsked(self._clock.now(), model))
        return json_response(self._summary(model), 202)

    async def _stop(self, request: web.BaseRequest) -> web.StreamResponse:
        model = self._model(request)
        self._post(StopAsked(self._clock.now(), model))
        return json_response(self._summary(model), 202)

    async def _sleep(self, request: web.BaseRequest) -> web.StreamResponse:
        model, level = self._model(request), request.query.get("level")
        if level not in (None, "1", "2"):
            raise RequestError(400, f"level is 1 or 2, not {level!r}", code="invalid_level", param="level")
        if not self._fleet().deployments[model].spec.can_sleep:
            text = f"{model} cannot sleep: its engine cannot, or its `techniques` leave `sleep` out"
            raise RequestError(409, text, code="cannot_sleep")
        self._post(SleepAsked(self._clock.now(), model, None if level is None else int(level)))
        return json_response(self._summary(model), 202)

    async def _is_sleeping(self, request: web.BaseRequest) -> web.StreamResponse:
        """As vLLM answers it: of a model with several replicas, when one sleeps and none is up or coming up."""
        d = self._fleet().deployments[self._model(request)]
        states = {r.state for r in d.every}
        return json_response({"is_sleeping": bool(states & RESTING) and not states & SERVING})

    async def _explain(self, request: web.BaseRequest) -> web.StreamResponse:
        """Why it has the replicas that it has."""
        model, fleet = self._model(request), self._fleet()
        explained = explain(fleet, fleet.deployments[model], self._clock.now())
        return json_response(
            {
                **msgspec.to_builtins(explained),
                "replicas": view.states(fleet, model),
                "decisions": self._decisions(model),
                "prices": self._prices(),
            }
        )

    def _summary(self, model: str) -> dict[str, Any]:
        return {"model": model, "replicas": view.states(self._fleet(), model)}

    async def _reloaded(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return json_response({"changes": self._reload()})
        except ConfigError as e:
            raise RequestError(400, str(e), code="invalid_config") from None


def _promised(left: Left | None) -> float | None:
    """Seconds; None where nothing is known, and for a start that takes longer than such do."""
    return None if left is None or left.late else round(left.seconds, 3)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e12 else None
