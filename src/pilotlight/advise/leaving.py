"""Whose requests may go to a provider in a config that is advised: those of whom today's says so, and of nobody else.

1. A model that names providers in `burst`, itself or by `defaults`, keeps it, `when` and all, where it is said.
2. Where providers are declared and nobody names any, they are there to be tried: by every model of the traffic.
3. An endpoint that is asked for beside (`--api`) is tried by every model of the traffic, after what it has.
4. `leave_house: false` holds whatever is said. Models that nobody asked for keep what they have.
"""

from collections.abc import Mapping, Sequence

import msgspec

from pilotlight.advise.draft import Tree
from pilotlight.cost.book import Book
from pilotlight.spec.model import Config, Model
from pilotlight.spec.provider import Burst

_DEFAULTS = {f.name: f.default for f in msgspec.structs.fields(Burst)}

NAMED = 5
"""Models in a sentence."""


class Leaving(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    """Of all providers that are asked by the traffic."""
    shared: Tree | None
    """`burst` of the defaults."""
    own: Mapping[str, Tree | None]
    """`burst` of each model that is named; None for one that has none."""
    declared: Tree
    """Providers that are to be declared beside."""

    def of(self, models: Mapping[str, Tree] | None = None) -> dict[str, Tree]:
        """Of each model all its keys: those that are given, and where it may go."""
        given = models or {}
        return {m: {**given.get(m, {}), "burst": self.own.get(m)} for m in dict.fromkeys([*given, *self.own])}


def leaving(
    today: Config, now: Config, traced: Sequence[str], named: Sequence[str], more: Tree
) -> Leaving | None:
    """`now`: the draft, parsed; `traced`: models of the traffic; `named`: those of them that the draft names; `more`:
    providers that are asked for beside. None where no request of the traffic may leave."""
    rest = today.default_model.burst
    said: dict[str, Burst | None] = {m: today.models[m].burst if m in today.models else rest for m in named}
    nobody = rest is None and not any(m.burst for m in today.models.values())
    found: dict[str, Tree | None] = {}
    for name in dict.fromkeys([*named, *traced]):
        extra = [*(today.providers if nobody else ()), *more] if name in traced else []
        found[name] = _tree(said.get(name, rest), extra) if _model(now, name).leave_house else None
    names = [p for name in traced for p in _names(found[name])]
    if not names:
        return None
    unnamed = [name for name in traced if name not in said]
    shared = found[unnamed[0]] if unnamed else _tree(rest, ())
    return Leaving(tuple(dict.fromkeys(names)), shared, {m: found[m] for m in named}, more)


def why_nobody(today: Config, now: Config, traced: Sequence[str], more: Tree) -> str:
    """Where no request of the traffic may leave: what would have to be said for that."""
    if not today.providers and not more:
        return "declare `providers` in a config, or name one that is paid by the token (--api)"
    may = [name for name in traced if _model(now, name).leave_house]
    if not may:
        return f"`leave_house: false` keeps the requests of {some(traced)} in the house"
    return (
        f"`burst` of others in the config names providers, and that of {some(may)} none; name one there, or an "
        "endpoint that is paid by the token (--api)"
    )


def provider_of(book: Book, name: str) -> Tree:
    """An endpoint by the token, with the price that the book has for that model."""
    price = book.tokens[name]
    rates = {"million_input_usd": price.million_input_usd, "million_output_usd": price.million_output_usd}
    return {"base_url": "https://api.example.com/v1", "price": rates}


def some(names: Sequence[str]) -> str:
    """Of names that may be many the first, for a sentence."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _model(config: Config, name: str) -> Model:
    return config.models.get(name, config.default_model)


def _tree(said: Burst | None, more: Sequence[str]) -> Tree | None:
    """The providers of one, with when they are asked and what a request may cost there; others come last."""
    own = [] if said is None else [said.provider] if isinstance(said.provider, str) else [*said.provider]
    names = list(dict.fromkeys([*own, *more]))
    if not names:
        return None
    keys = {} if said is None else {k: getattr(said, k) for k in ("when", "max_request_usd")}
    own_keys = {k: v for k, v in keys.items() if v != _DEFAULTS[k]}
    return {"provider": names if len(names) > 1 else names[0], **own_keys}


def _names(tree: Tree | None) -> list[str]:
    if tree is None:
        return []
    given: str | list[str] = tree["provider"]
    return [given] if isinstance(given, str) else given
