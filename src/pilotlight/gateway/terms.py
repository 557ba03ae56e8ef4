"""On what terms a request comes: its class, and whether another model may stand in for the one it asks for."""

from collections.abc import Mapping

import msgspec

from pilotlight.errors import RequestError
from pilotlight.fleet.classes import RANKS, STANDARD
from pilotlight.http.keys import Key
from pilotlight.spec.model import Model

CLASS = "x-pilotlight-class"
STAND_IN = "x-pilotlight-stand-in"
_ANSWERS = {"allow": True, "deny": False}


class StandIn(msgspec.Struct, frozen=True):
    deployment: str
    model: Model

    @property
    def served_name(self) -> str:
        """What its engine is to find in a body's `model`."""
        return self.model.served_name or self.deployment


class Terms(msgspec.Struct, frozen=True):
    request_class: str = "standard"
    rank: int = STANDARD
    stand_in: StandIn | None = None
    """None when none may answer."""


PLAIN = Terms()


def terms(headers: Mapping[str, str], key: Key | None, model: Model, models: Mapping[str, Model]) -> Terms:
    """The headers' word, then the key's. `key` is None where everybody is let in.

    Raises RequestError 400 for a value that there is not, 403 for a class above the key's.
    """
    asked, allowed = headers.get(CLASS), headers.get(STAND_IN)
    of_key = "standard" if key is None else key.request_class
    if asked is None and allowed is None and of_key == "standard" and (key is None or not key.stand_in):
        return PLAIN
    name = of_key if asked is None else _class(asked, key)
    may = key is not None and key.stand_in if allowed is None else _allowed(allowed)
    return Terms(name, RANKS[name], _stand_in(model, key, models) if may else None)


def _class(asked: str, key: Key | None) -> str:
    name = asked.strip().lower()
    if name not in RANKS:
        text = f"{CLASS}: {asked[:100]!r} is no class; give {_either(RANKS)}"
        raise RequestError(400, text, code="invalid_class", param=CLASS)
    if key is not None and RANKS[name] < RANKS[key.request_class]:
        lower = [c for c in RANKS if RANKS[c] >= RANKS[key.request_class]]
        text = (
            f"{CLASS}: the key {key.name!r} may not ask as {name}, only as {_either(lower)}; "
            f"it could if its configuration said `class: {name}`"
        )
        raise RequestError(403, text, code="class_not_allowed", type="permission_error", param=CLASS)
    return name


def _allowed(said: str) -> bool:
    found = _ANSWERS.get(said.strip().lower())
    if found is None:
        text = f"{STAND_IN}: {said[:100]!r} is neither; give {_either(_ANSWERS)}"
        raise RequestError(400, text, code="invalid_stand_in", param=STAND_IN)
    return found


def _stand_in(model: Model, key: Key | None, models: Mapping[str, Model]) -> StandIn | None:
    """None when the model has none, or none that this key may use."""
    name = model.stand_in
    if name is None or name not in models or (key is not None and not key.permits(name)):
        return None
    return StandIn(name, models[name])


def _either(words: "Mapping[str, object] | list[str]") -> str:
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
