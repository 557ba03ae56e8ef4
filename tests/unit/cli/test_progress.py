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


def test_a_fast_one_says_its_quarters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with ProgressBar("m") as bar:
        for mib in range(20, 101, 10):
            now = mib / 100
            bar.update(mib * MIB, 100 * MIB)
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in said] == ["20", "30", "50", "80", "100"]
    assert all(line.endswith(" 100 MiB/s") for line in said[1:]), "what was here before did not come now"
