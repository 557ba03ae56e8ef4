"""Who is asking, what they may ask for, and how often."""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence

from pilotlight.clock import Clock
from pilotlight.errors import RequestError
from pilotlight.spec.model import ApiKey
from pilotlight.spec.rules import LOCAL_KEY

LOCAL = LOCAL_KEY


def _digest(secret: str) -> bytes:
    """Environment variables and headers alike may hold bytes that are not UTF-8."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Key:
    """One caller. The key's text is not kept, only its hash is."""

    __slots__ = (
        "_allowance", "_last", "_rate", "admin", "digest", "leave_house", "models", "name", "request_class", "stand_in",
    )  # fmt: skip

    def __init__(self, spec: ApiKey, secret: str, models: frozenset[str] | None) -> None:
        self.name = spec.name
        self.digest = _digest(secret)
        self.models = models
        self.admin = spec.admin
        self.request_class = spec.request_class
        """The class of its requests, and the highest that one may ask for."""
        self.stand_in = spec.stand_in
        self.leave_house = spec.leave_house
        """Whether its requests may go to a provider."""
        self._rate = spec.requests_per_minute
        self._allowance = max(1.0, spec.requests_per_minute or 0.0)
        self._last = float("-inf")

    def inherit(self, known: "Key") -> None:
        if (known.digest, known._rate) == (self.digest, self._rate):
            self._allowance, self._last = known._allowance, known._last

    def permits(self, model: str) -> bool:
        return self.models is None or model in self.models

    def spend(self, now: float) -> None:
        """Takes one request from the bucket (capacity: one minute's worth). RequestError 429 when it is empty."""
        if self._rate is None:
            return
        capacity = max(1.0, self._rate)
        earned = (now - self._last) * self._rate / 60 if self._last > float("-inf") else 0.0
        self._allowance = min(capacity, self._allowance + earned)
        self._last = now
        if self._allowance < 1.0:
            wait = (1.0 - self._allowance) * 60 / self._rate
            text = f"the key {self.name!r} may ask {self._rate:g} times a minute; try again in {math.ceil(wait)} s"
            raise RequestError(
                429, text, code="rate_limit_exceeded", type="rate_limit_error", retry_after=wait
            )
        self._allowance -= 1.0


class KeyRing:
    """All the keys there are; without any, everybody is let in.

    `names` maps what requests may call a model to its id. Raises nothing for a key that is missing from `env`:
    the configuration was checked before.
    """

    def __init__(
        self,
        specs: Sequence[ApiKey],
        env: Mapping[str, str],
        names: Mapping[str, str],
        clock: Clock,
        before: "KeyRing | None" = None,
    ) -> None:
        """`before`: the keys until now; those that stay as they are keep what is left of their allowance."""
        self._clock = clock
        self.open = not specs
        """Whether everybody is let in: no key but the local command line's."""
        self._keys = [
            Key(
                spec,
                env[spec.key_env],
                None if spec.models is None else frozenset(names.get(m, m) for m in spec.models),
            )
            for spec in specs
        ]
        for key in self._keys:
            for known in before._keys if before is not None else ():
                key.inherit(known)

    def add(self, name: str, secret: str, *, admin: bool) -> None:
        """One more key: the token by which this machine's command line speaks to its own server."""
        self._keys.append(Key(ApiKey(name=name, key_env="", admin=admin), secret, None))

    def who(self, authorization: str | None, api_key: str | None = None) -> Key | None:
        """The caller, by `Authorization: Bearer ...` or `x-api-key`; None when everybody is let in.

        Raises RequestError 401.
        """
        secret = api_key
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "bearer":
                secret = token.strip()
        if secret:
            digest = _digest(secret)
            found = None
            for key in self._keys:  # every key is looked at, so the time tells nothing
                if hmac.compare_digest(key.digest, digest):
                    found = key
            if found is not None:
                return found
        if self.open:
            return None
        text = "give a valid API key as `Authorization: Bearer KEY`" if secret else "an API key is required"
        raise RequestError(401, text, code="invalid_api_key", type="authentication_error")

    def may_leave(self, key: Key | None) -> bool:
        """Whether what came with this key, maybe before a reload, may leave the house now. With a key that is gone, or
        without one where one is needed by now, it may not."""
        if self.open:
            return True
        known = [k for k in self._keys if key is not None and k.digest == key.digest]
        return bool(known) and all(k.leave_house for k in known)

    def admit(self, authorization: str | None, api_key: str | None = None) -> Key | None:
        """The caller, with one request taken from its allowance. Raises RequestError 401 or 429."""
        key = self.who(authorization, api_key)
        if key is not None:
            key.spend(self._clock.now())
        return key

    def admin(self, authorization: str | None, api_key: str | None = None) -> Key | None:
        """The caller of an admin route. Raises RequestError 401 or 403."""
        key = self.who(authorization, api_key)
        if key is not None and not key.admin and not self.open:
            text = (
                f"the key {key.name!r} is not an admin key; give one whose configuration says `admin: true`"
            )
            raise RequestError(403, text, code="admin_key_required", type="permission_error")
        return key
