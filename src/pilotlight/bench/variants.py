"""What is compared: the plain start, each technique alone, all together."""

from collections.abc import Collection, Sequence

import msgspec

from pilotlight.errors import PilotlightError

PLAIN, ALL = "plain", "all"


class Variant(msgspec.Struct, frozen=True):
    name: str
    techniques: tuple[str, ...]

    @property
    def sleeps(self) -> bool:
        """Its replica is put to sleep between two requests, in place of being stopped."""
        return "sleep" in self.techniques


def variants(offered: Sequence[str], wanted: Sequence[str] | None, unwanted: Sequence[str]) -> list[Variant]:
    """`offered` by the engine, by default all; `wanted` in place of that, `unwanted` off it.

    Raises PilotlightError naming what there is.
    """
    for name in (*(wanted or ()), *unwanted):
        if name not in offered:
            has = f"it offers {', '.join(offered)}" if offered else "it offers none"
            raise PilotlightError(f"the engine does not offer the technique {name!r}; {has}")
    chosen = tuple(n for n in offered if n in (offered if wanted is None else wanted) and n not in unwanted)
    alone = [Variant(name, (name,)) for name in chosen]
    return [Variant(PLAIN, ()), *alone, *([Variant(ALL, chosen)] if len(chosen) > 1 else [])]


def used(variant: Variant, start: str, techniques: Collection[str]) -> bool:
    """Whether a start went the way that the variant is about, from what its trace says."""
    if variant.sleeps:
        return start == "woken"
    return not variant.techniques or any(name in techniques for name in variant.techniques)
