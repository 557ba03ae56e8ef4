"""How many zygotes there may be, and which makes way for another."""

from pathlib import Path

import pytest

from fault.guardian_kit import linux_only, local, until_async  # noqa: F401  # pyright: ignore[reportUnusedImport]  fixture
from fault.zygote_kit import fork, preload, ready
from pilotlight.errors import ZygoteUnavailable
from pilotlight.substrate.local import LocalSubstrate, zygotes

pytestmark = linux_only


async def test_there_are_so_many_at_most(
    tmp_path: Path,
    local: LocalSubstrate,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zygotes, "MOST", 2)
    toys = [preload(tmp_path, stamp=str(n), env=(("PRELOAD", ""), ("N", str(n)))) for n in range(3)]
    for toy in toys[:2]:
        await ready(local, tmp_path, toy)
    local.warm_zygote(toys[2], tmp_path / "zygote.log", {})
    with pytest.raises(ZygoteUnavailable, match="there are 2 zygotes of other environments"):
        await local.spawn(fork(tmp_path, toys[2]))
    assert len(local.zygotes()) == 2


async def test_the_one_that_has_not_forked_for_longest_makes_way(
    tmp_path: Path,
    local: LocalSubstrate,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zygotes, "MOST", 2)
    monkeypatch.setattr(zygotes, "UNUSED", 0.0)
    toys = [preload(tmp_path, stamp=str(n), env=(("PRELOAD", ""), ("N", str(n)))) for n in range(3)]
    for toy in toys[:2]:
        await ready(local, tmp_path, toy)
    process = await local.spawn(fork(tmp_path, toys[0]))
    await ready(local, tmp_path, toys[2])
    await until_async(lambda: not local.zygote_ready(toys[1]), "it has made way")
    assert local.zygote_ready(toys[0])
    await process.stop(0)
