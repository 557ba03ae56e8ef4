"""On what terms a request comes: its class, whether another model may stand in for the one it asks for, and whether it
may leave the house."""

from collections.abc import Mapping

import msgspec
from multidict import MultiMapping

from pilotlight.errors import RequestError
from pilotlight.fleet.classes import RANKS, STANDARD
from pilotlight.http.keys import Key
from pilotlight.spec.model import Model

CLASS = "x-pilotlight-class"
STAND_IN = "x-pilotlight-stand-in"
HEDGE = "x-pilotlight-hedge"
LEAVE_HOUSE = "x-pilotlight-leave-house"
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
    """None when none may answer, or there is none."""
    may_stand_in: bool = False
    """One may answer, where the model has one."""


class Leave(msgspec.Struct, frozen=True):
    """That a request may go to a provider."""

    hedge: bool = False
    """To a replica as well; whoever gives the first token has it."""


LEAVES, HEDGED = Leave(), Leave(hedge=True)
PLAIN = Terms()


def terms(headers: Mapping[str, str], key: Key | None, model: Model, models: Mapping[str, Model]) -> Terms:
    """The headers' word, then the key's. `key` is None where everybody is let in.

    Raises RequestError 400 for a value that there is not, 403 for a class above the key's.
    """
    asked, allowed = headers.get(CLASS), headers.get(STAND_IN)
    of_key = "standard" if key is None else key.request_class
    if asked is None and allowed is None and of_key == "standard" and (key is None or not key.stand_in):
        return PLAIN
    name = of_key
    if asked is not None:
        name = max((_class(said, key) for said in _each(headers, CLASS)), key=RANKS.__getitem__)
    if allowed is None:
        may = key is not None and key.stand_in
    else:
        may = all(_may_stand_in(said) for said in _each(headers, STAND_IN))
    may = may and (key is None or model.stand_in is None or key.permits(model.stand_in))
    return Terms(name, RANKS[name], _stand_in(model, models) if may else None, may)


def leave(headers: Mapping[str, str], key: Key | None) -> Leave | None:
    """Of a request for a model that may burst: whether this one may leave the house. The header may forbid what the
    key allows, never allow what it forbids.

    Raises RequestError 400 for a value that there is not.
    """
    said, hedged = headers.get(LEAVE_HOUSE), headers.get(HEDGE)
    hedge = hedged is not None and all(_may_hedge(each) for each in _each(headers, HEDGE))
    stays = said is not None and not all(_may_leave(each) for each in _each(headers, LEAVE_HOUSE))
    if stays or (key is not None and not key.leave_house):
        return None
    return HEDGED if hedge else LEAVES


def _each(headers: Mapping[str, str], name: str) -> list[str]:
    """Every value of a header that is there: a proxy may have put one behind what the client said, and of what they say
    the stricter holds."""
    return headers.getall(name) if isinstance(headers, MultiMapping) else [headers[name]]


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


def _may_stand_in(said: str) -> bool:
    if (found := _answer(said)) is None:
        raise RequestError(400, _neither(STAND_IN, said), code="invalid_stand_in", param=STAND_IN)
    return found


def _may_hedge(said: str) -> bool:
    if (found := _answer(said)) is None:
        raise RequestError(400, _neither(HEDGE, said), code="invalid_hedge", param=HEDGE)
    return found


def _may_leave(said: str) -> bool:
    if (found := _answer(said)) is None:
        raise RequestError(400, _neither(LEAVE_HOUSE, said), code="invalid_leave_house", param=LEAVE_HOUSE)
    return found


def _answer(said: str) -> bool | None:
    return _ANSWERS.get(said.strip().lower())


def _neither(header: str, said: str) -> str:
    return f"{header}: {said[:100]!r} is neither; give {_either(_ANSWERS)}"


def _stand_in(model: Model, models: Mapping[str, Model]) -> StandIn | None:
    name = model.stand_in
    return None if name is None or name not in models else StandIn(name, models[name])


def _either(words: "Mapping[str, object] | list[str]") -> str:
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
