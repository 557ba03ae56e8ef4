"""What a download says where nobody looks at a terminal."""

import pytest

from pilotlight.cli import progress
from pilotlight.cli.progress import ProgressBar

MIB = 2**20
PARTS = [(0, "0 B"), (2, "10 MiB"), (5, "20 MiB"), (7, "30 MiB")]


@pytest.mark.parametrize("total", [400 * MIB, None])
def test_a_slow_download_says_how_far_it_is_every_now_and_then(
    total: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with ProgressBar("m") as bar:
        for mib in range(31):
            now = mib * 1.0
            bar.update(mib * MIB, total)
    share = [f"{p} % of 400 MiB" if total else f"{mib} so far" for p, mib in PARTS]
    first, *others = capsys.readouterr().err.splitlines()
    assert first == f"m: {share[0]}"
    assert others == [f"m: {part}, 1 MiB/s" for part in share[1:]]


def test_a_fast_one_says_where_it_begins_and_that_it_is_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with ProgressBar("m") as bar:
        for mib in (20, 30, 99, 100, 100):
            now = mib / 100
            bar.update(mib * MIB, 100 * MIB)
    said = capsys.readouterr().err.splitlines()
    assert said == ["m: 20 % of 100 MiB", "m: 100 % of 100 MiB, 100 MiB/s"], "not as if all had come now"
