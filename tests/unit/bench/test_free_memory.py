"""A virtual machine whose host takes back free memory is known, and given it again before a run."""

import resource
from pathlib import Path

import psutil
import pytest

from pilotlight.bench import free_memory


@pytest.mark.parametrize(
    ("features", "taken"), [("011001" + "0" * 122, True), ("0110001" + "0" * 121, False), ("", False)]
)
def test_a_balloon_that_reports_free_memory_is_told_from_one_that_does_not(
    features: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_memory, "_BALLOONS", tmp_path)
    assert not free_memory.is_taken_back(), "there is none"
    (tmp_path / "virtio0").mkdir()
    (tmp_path / "virtio0" / "features").write_text(features)
    assert free_memory.is_taken_back() == taken


def test_memory_is_taken_whole_and_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "MOST", 64 << 20)
    process = psutil.Process()
    before, faults = process.memory_info().rss, minor_faults()
    free_memory.take_and_let_go()
    assert minor_faults() - faults >= 32, "64 MiB, in huge pages at least"
    assert process.memory_info().rss - before < 32 << 20


def minor_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
