"""Routes for operators: what is up, what it cost, and a few orders."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from pilotlight.clock import Clock
from pilotlight.errors import ConfigError, RequestError
from pilotlight.fleet.events import Event, StopAsked, WarmAsked
from pilotlight.fleet.fleet import Fleet, Replica
from pilotlight.gateway.front import Front
from pilotlight.gateway.stages import trace
from pilotlight.http.errors import error_response, json_response
from pilotlight.http.handler import Handler, answering
from pilotlight.policy.keep_alive import leaves_at
from pilotlight.telemetry.prometheus import Metrics
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
        metrics: Metrics,
        traces: Traces,
        reload: Callable[[], list[str]],
        version: str,
    ) -> None:
        self._front = front
        self._clock = clock
        self._fleet = fleet
        self._post = post
        self._pid_of = pid_of
        self._progress = progress
        self._metrics = metrics
        self._traces = traces
        self._reload = reload
        self._version = version

    def routes(self) -> list[web.RouteDef]:
        guarded = self._guarded
        return [
            web.get("/", answering(self._root)),
            web.get("/health", answering(self._health)),
            web.get("/running", guarded(self._running)),
            web.get("/metrics", guarded(self._scrape)),
            web.get("/traces", guarded(self._latest)),
            web.get("/traces/{id}", guarded(self._trace)),
            web.post("/models/{id:.+}/warm", guarded(self._warm)),
            web.post("/models/{id:.+}/stop", guarded(self._stop)),
            web.post("/reload", guarded(self._reloaded)),
            web.route("*", "/{tail:.*}", answering(self._unknown)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self._front.check(request)
            headers = request.headers
            self._front.keys.admin(headers.get("Authorization"), headers.get("x-api-key"))
            return await handler(request)

        return answering(guarded)

    async def _root(self, request: web.Request) -> web.StreamResponse:
        return json_response({"name": "pilotlight", "version": self._version})

    async def _health(self, request: web.Request) -> web.StreamResponse:
        if self._fleet().closing:
            return json_response({"status": "shutting down"}, 503)
        return json_response({"status": "ok"})

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        path, allowed = request.path, set[str]()
        for resource in request.app.router.resources():
            match, methods = await resource.resolve(request)
            if match is None:  # all but our own, which takes any method
                allowed |= methods
        if not allowed:
            text = f"there is no {request.method} {path}; the paths are those of the OpenAI API under /v1"
            raise RequestError(404, text, code="not_found")
        allow = ", ".join(sorted(allowed))
        error = RequestError(
            405, f"{request.method} is not allowed on {path}; use {allow}", code="method_not_allowed"
        )
        return error_response(error, {"Allow": allow})

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=self._metrics.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def _running(self, request: web.Request) -> web.StreamResponse:
        fleet, now = self._fleet(), self._clock.now()
        rows = [self._row(fleet, r, now) for r in fleet.replicas.values()]
        held = {name: len(d.held) for name, d in fleet.deployments.items() if d.held}
        waiting = {name: round(now - fleet.deployments[name].waiting_since, 3) for name in fleet.waiting}
        return json_response({"replicas": rows, "held": held, "waiting_for_room": waiting})

    def _row(self, fleet: Fleet, r: Replica, now: float) -> dict[str, Any]:
        d = fleet.deployments[r.deployment]
        leaves = leaves_at(r, d.spec, last=len(d.current()) <= 1)
        kept = len(d.current()) <= d.spec.min_replicas
        return {
            "model": r.deployment,
            "replica": r.id,
            "state": r.state.value,
            "stage": None if r.stage is None else r.stage.value,
            "pid": self._pid_of(r.id),
            "since_s": round(now - r.since, 3),
            "age_s": round(now - r.ordered_at, 3),
            "memory_bytes": r.memory,
            "devices": list(r.devices),
            "in_flight": r.in_flight,
            "served": r.served,
            "idle_left_s": None if kept or leaves == float("inf") else round(max(0.0, leaves - now), 1),
            "progress": self._progress(r.id),
        }

    async def _latest(self, request: web.Request) -> web.StreamResponse:
        record = self._traces.latest(request.query.get("model"))
        if record is None:
            raise RequestError(404, "no request has ended yet", code="trace_not_found")
        return json_response(trace(record))

    async def _trace(self, request: web.Request) -> web.StreamResponse:
        record = self._traces.get(request.match_info["id"])
        if record is None:
            text = f"no trace of {request.match_info['id']!r}: it is unknown, still running, or long ago"
            raise RequestError(404, text, code="trace_not_found")
        return json_response(trace(record))

    def _model(self, request: web.Request) -> str:
        return self._front.directory.find(request.match_info["id"], None)

    async def _warm(self, request: web.Request) -> web.StreamResponse:
        model = self._model(request)
        self._post(WarmAsked(self._clock.now(), model))
        return json_response(self._summary(model), 202)

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        model = self._model(request)
        self._post(StopAsked(self._clock.now(), model))
        return json_response(self._summary(model), 202)

    def _summary(self, model: str) -> dict[str, Any]:
        d = self._fleet().deployments[model]
        states = [r.state.value for r in d.replicas.values()]
        return {"model": model, "replicas": {state: states.count(state) for state in states}}

    async def _reloaded(self, request: web.Request) -> web.StreamResponse:
        try:
            return json_response({"changes": self._reload()})
        except ConfigError as e:
            raise RequestError(400, str(e), code="invalid_config") from None
