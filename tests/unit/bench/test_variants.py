"""What is compared."""

import pytest

from pilotlight.bench.variants import Variant, used, variants
from pilotlight.errors import PilotlightError

OFFERED = ("zygote", "warm_pool", "sleep")


def names(*args: object) -> list[str]:
    return [v.name for v in variants(*args)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offered", "wanted", "unwanted", "found"),
    [
        (OFFERED, None, (), ["plain", "zygote", "warm_pool", "sleep", "all"]),
        (OFFERED, ("sleep",), (), ["plain", "sleep"]),
        (OFFERED, ("sleep", "zygote"), (), ["plain", "zygote", "sleep", "all"]),
        (OFFERED, (), (), ["plain"]),
        (OFFERED, None, ("sleep", "warm_pool"), ["plain", "zygote"]),
        (OFFERED, None, ("sleep",), ["plain", "zygote", "warm_pool", "all"]),
        ((), None, (), ["plain"]),
    ],
)
def test_plain_comes_first_and_all_last(offered, wanted, unwanted, found) -> None:
    assert names(offered, wanted, unwanted) == found


def test_each_is_alone_and_all_has_them_all() -> None:
    found = {v.name: v.techniques for v in variants(OFFERED, ("zygote", "sleep"), ())}
    assert found == {"plain": (), "zygote": ("zygote",), "sleep": ("sleep",), "all": ("zygote", "sleep")}


@pytest.mark.parametrize("args", [(("nonsense",), ()), (None, ("nonsense",))])
def test_what_the_engine_does_not_offer_is_named(args) -> None:
    with pytest.raises(
        PilotlightError, match="does not offer the technique 'nonsense'; it offers zygote, warm"
    ):
        variants(OFFERED, *args)
    with pytest.raises(PilotlightError, match="it offers none"):
        variants((), *args)


@pytest.mark.parametrize(
    ("techniques", "start", "seen", "was"),
    [
        ((), "cold", (), True),
        (("zygote",), "cold", ("zygote",), True),
        (("zygote",), "cold", (), False),
        (("zygote", "warm_pool"), "cold", ("warm_pool",), True),
        (("sleep",), "woken", ("sleep",), True),
        (("sleep",), "cold", (), False),
        (("zygote", "sleep"), "cold", ("zygote",), False),
    ],
)
def test_whether_it_was_used(techniques, start, seen, was: bool) -> None:
    assert used(Variant("x", techniques), start, seen) is was
