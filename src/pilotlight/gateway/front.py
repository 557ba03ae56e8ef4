"""The front door: who asks, for what, and whether they may; then one Exchange."""

import itertools
import secrets
from collections.abc import Mapping
from functools import partial

from aiohttp import web
from msgspec import UNSET

from pilotlight.errors import RequestError
from pilotlight.fleet.records import RequestRecord
from pilotlight.gateway.body import keep_alive_of, read_head, rewrite
from pilotlight.gateway.client_body import read_body
from pilotlight.gateway.exchange import Exchange
from pilotlight.gateway.kitchen import Kitchen
from pilotlight.gateway.terms import leave, terms
from pilotlight.http.errors import error_response, json_response
from pilotlight.http.headers import printable
from pilotlight.http.keys import Key, KeyRing
from pilotlight.http.local import refuse_strangers
from pilotlight.http.routes import ID, Route
from pilotlight.spec.model import Model

PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/rerank",
)


class Directory:
    """The models there are, by every name; replaced whole at a reload."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)
        self.names = {name: name for name in models}
        for name, model in models.items():
            self.names.update((alias, name) for alias in model.aliases)

    def find(self, name: str, key: Key | None) -> str:
        """The model's id. RequestError 404 when there is none, or none for this key."""
        found = self.names.get(name)
        if found is None or (key is not None and not key.permits(found)):
            text = f"the model {name[:100]!r} does not exist or this key may not use it"
            text += "; GET /v1/models lists what there is"
            raise RequestError(404, text, code="model_not_found", param="model")
        return found


class Front:
    """Handles the OpenAI paths. `keys` and `directory` are replaced at a reload."""

    def __init__(
        self,
        kitchen: Kitchen,
        keys: KeyRing,
        directory: Directory,
        created: int,
        local_only: bool = False,
    ) -> None:
        """`created`: Unix seconds, for the models' cards. `local_only`: while there are no keys, nobody but this
        machine's programs is let in."""
        self.kitchen = kitchen
        self.keys = keys
        self.directory = directory
        self.created = created
        self._local_only = local_only
        self._prefix = "req-" + secrets.token_hex(6) + "-"
        self._number = itertools.count(1)

    def routes(self) -> list[Route]:
        return [
            *(Route("POST", path, self.infer) for path in PATHS),
            Route("GET", "/v1/models", self.models),
            Route("GET", "/v1/models/{id}", self.model),
        ]

    async def infer(self, request: web.BaseRequest) -> web.StreamResponse:
        id = f"{self._prefix}{next(self._number)}"
        arrived_at = self.kitchen.clock.now()
        key = None
        try:
            self.check(request)
            headers = request.headers
            key = self.keys.admit(headers.get("Authorization"), headers.get("x-api-key"))
            exchange = await self._admit(request, id, key)
        except RequestError as e:
            return self._refuse(request, id, arrived_at, key, e)
        return await exchange.run()

    async def _admit(self, request: web.BaseRequest, id: str, key: Key | None) -> Exchange:
        """What may be done. Raises RequestError. Of the body nothing stays but what the exchange has."""
        body = await read_body(request, self.kitchen)
        head = read_head(body)
        keep_alive = keep_alive_of(head)
        deployment = self.directory.find(head.model, key)
        model = self.directory.models[deployment]
        agreed = terms(request.headers, None if self.keys.open else key, model, self.directory.models)
        leaves = None
        if model.burst is not None and model.leave_house:
            leaves = leave(request.headers, None if self.keys.open else key)
        has_keep_alive = head.keep_alive is not UNSET
        served = model.served_name
        if served is None and head.model != deployment and model.engine == "command":
            served = deployment  # a server knows the model's name, not what else we call it
        if served is not None or has_keep_alive:
            body = rewrite(body, served, has_keep_alive)
        return Exchange(
            self.kitchen,
            request,
            id=id,
            deployment=deployment,
            model=model,
            body=body,
            stream=head.stream is True,
            keep_alive=keep_alive,
            key=None if key is None else key.name,
            terms=agreed,
            leave=leaves,
            may_leave=partial(self._may_leave, deployment, key),
        )

    def _may_leave(self, deployment: str, key: Key | None) -> bool:
        """Of a request that might when it came: whether a reload has forbidden it since."""
        model = self.directory.models.get(deployment)
        return model is not None and model.leave_house and self.keys.may_leave(key)

    def _refuse(
        self, request: web.BaseRequest, id: str, arrived_at: float, key: Key | None, e: RequestError
    ) -> web.Response:
        """One that got no further than here."""
        clock = self.kitchen.clock
        now = clock.now()
        record = RequestRecord(
            request_id=id,
            model="-",
            path=request.path,
            stream=False,
            arrived_at=arrived_at,
            arrived_unix=clock.wall() - (now - arrived_at),
            ended_at=now,
            status=e.status,
            outcome="refused",
            key=None if key is None else key.name,
            session=printable(request.headers.get("x-session-id")),
        )
        self.kitchen.tell(record)
        return error_response(e, {"x-pilotlight-request-id": id, "x-pilotlight-start": record.start})

    def check(self, request: web.BaseRequest) -> None:
        """RequestError 403 for what a stranger sent, where only this machine is let in."""
        if self._local_only and self.keys.open:
            refuse_strangers(request.headers.get("Host"), request.headers.get("Origin"))

    async def models(self, request: web.BaseRequest) -> web.StreamResponse:
        """Every model, cold ones too."""
        key = self._who(request)
        names = [n for n, id in self.directory.names.items() if key is None or key.permits(id)]
        return json_response({"object": "list", "data": [self._card(n) for n in names]})

    async def model(self, request: web.BaseRequest) -> web.StreamResponse:
        key, name = self._who(request), request[ID]
        self.directory.find(name, key)
        return json_response(self._card(name))

    def _who(self, request: web.BaseRequest) -> Key | None:
        self.check(request)
        return self.keys.who(request.headers.get("Authorization"), request.headers.get("x-api-key"))

    def _card(self, name: str) -> dict[str, object]:
        root = self.directory.names[name]
        card: dict[str, object] = {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": "pilotlight",
        }
        return card if root == name else {**card, "root": root}
