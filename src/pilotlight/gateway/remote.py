"""The providers as requests reach them: their addresses, keys and connections, and the pings that keep them warm."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from pilotlight.clock import Clock
from pilotlight.fleet.provider import Provider as Known
from pilotlight.gateway.connection import Silent, tls_context
from pilotlight.gateway.errand import Errand
from pilotlight.gateway.remote_body import CHAT, for_provider
from pilotlight.gateway.remote_call import Call, Order, Target
from pilotlight.gateway.remote_head import leaving, secrets_of
from pilotlight.gateway.remote_rules import Refused
from pilotlight.gateway.upstream import Broken, Upstream
from pilotlight.http.headers import Raw
from pilotlight.spec.model import Provider

log = logging.getLogger("pilotlight")


class Remotes:
    """One per server. `upstream` is its own, so that no connection to an engine is ever mistaken for one outwards.
    `lease`: whoever lets an errand out, once it is written down what it can cost."""

    def __init__(
        self,
        clock: Clock,
        upstream: Upstream | None = None,
        lease: Callable[[Errand], Awaitable[None]] | None = None,
    ) -> None:
        self._clock = clock
        self._lease = lease
        self._upstream = upstream or Upstream()
        self._targets: dict[str, Target] = {}
        self._pings: set[asyncio.Task[None]] = set()

    def configure(
        self, specs: Mapping[str, Provider], known: Sequence[Known], env: Mapping[str, str]
    ) -> None:
        """At start and at every reload; what is on its way ends as it began. The keys were checked before."""
        facts = {provider.id: provider for provider in known}
        self._targets = {
            name: _target(spec, facts[name], env) for name, spec in specs.items() if name in facts
        }
        if any(spec.base_url.startswith("https") for spec in specs.values()):
            tls_context()  # it is read from files, and not while somebody waits

    def call(
        self,
        errand: Errand,
        path: str,
        headers: Raw,
        body: bytes,
        stream: bool,
        inputs: int,
        may_leave: Callable[[], bool] = lambda: True,
    ) -> Call | None:
        """What is to be opened; None when there is no such provider any more, of which the kernel has been told.
        `inputs`: tokens of the prompt at most. `may_leave`: asked when its first byte is to go out."""
        target = self._targets.get(errand.provider)
        if target is None:
            errand.decline("error", "it is configured no more")
            return None
        spec = target.spec
        model = spec.models.get(errand.deployment, errand.deployment)
        sent, outputs = for_provider(path, body, model, spec.max_output_tokens, spec.limit_field)
        head = leaving(headers, target.key, spec.headers)
        query = urlsplit(spec.base_url).query
        where = path.removeprefix("/v1") + (f"?{query}" if query else "")
        order = Order(where, head, sent, model, stream, inputs, outputs)
        return Call(target, errand, order, self._clock, may_leave)

    async def open(self, call: Call) -> None:
        """Raises as Call.open does."""
        if self._lease is not None:
            await self._lease(call.errand)
        await call.open(self._upstream)

    # -- pings ---------------------------------------------------------------------------------------------------

    def ping(self, errand: Errand) -> None:
        task = asyncio.get_running_loop().create_task(self._ping(errand))
        self._pings.add(task)
        task.add_done_callback(self._pings.discard)

    async def _ping(self, errand: Errand) -> None:
        target = self._targets.get(errand.provider)
        limit = "max_tokens" if target is None else target.spec.limit_field
        body = msgspec.json.encode({"model": "", "messages": [{"role": "user", "content": "hi"}], limit: 1})
        call: Call | None = None
        try:
            call = self.call(errand, CHAT, (), body, False, len(body))
            if call is None:
                return
            await self.open(call)
            call.settle(call.status == 200, "" if call.status == 200 else f"it answered {call.status}")
        except Refused as e:
            assert call is not None
            call.decline(e)
        except (Broken, Silent) as e:
            assert call is not None
            call.settle(False, call.why_cut(e))
        except Exception:
            log.exception("a ping to %s", errand.provider)
        finally:
            errand.charge(False, "it was called off")
            if call is not None:
                call.close()

    def call_off_pings(self) -> None:
        """Nobody needs a provider to be warm any more."""
        for task in list(self._pings):
            task.cancel()

    async def close(self) -> None:
        """Ends the pings and the connections."""
        self.call_off_pings()
        if self._pings:
            await asyncio.wait(self._pings)
        await self._upstream.close()


def _target(spec: Provider, known: Known, env: Mapping[str, str]) -> Target:
    key = env[spec.key_env] if spec.key_env else None
    return Target(known.id, spec, known, key, secrets_of(key, spec.headers, env))
