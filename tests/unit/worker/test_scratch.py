"""What an engine leaves outside its own folders, and that nothing else is touched."""

import errno
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotlight.fleet.events import Ready, Stopped
from pilotlight.ports import Launch
from pilotlight.worker import scratch
from pilotlight.worker.failed import of_error
from pilotlight.worker.scratch import NOTES, Scratch, sweep
from unit.worker.bench import Bench


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /dev/shm; what is not ours lies there too."""
    folder = tmp_path / "shm"
    folder.mkdir()
    (folder / "psm_0123abcd").touch()
    (folder / "pl-somebody-else").touch()
    monkeypatch.setattr(scratch, "SHARED", folder)
    return folder


def others(shared: Path) -> set[str]:
    return {path.name for path in shared.iterdir()}


def leave(made: Scratch, shared: Path) -> None:
    (made.folder / "vllm_dist_1").touch()
    (shared / f"{made.folder.name}-00ff").touch()


def test_its_folder_and_what_is_named_after_it_go(tmp_path: Path, shared: Path) -> None:
    made = Scratch(tmp_path / NOTES, {"TMPDIR": str(tmp_path)})
    assert made.env == {"TMPDIR": str(made.folder), "PILOTLIGHT_SCRATCH": made.folder.name}
    assert made.folder.parent == tmp_path
    leave(made, shared)
    made.remove()
    made.remove()
    assert not made.folder.exists() and not list((tmp_path / NOTES).iterdir())
    assert others(shared) == {"psm_0123abcd", "pl-somebody-else"}


def test_a_folder_that_is_not_there_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as met:
        Scratch(tmp_path / NOTES, {"TMPDIR": str(tmp_path / "nowhere")})
    said = of_error(met.value, "m-1").reason
    assert "TMPDIR has to be a folder" in said and f"'{tmp_path / 'nowhere'}'" in said


def test_a_full_disk_is_told_with_the_file(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device") as failed:
        Scratch(tmp_path / NOTES, {"TMPDIR": str(tmp_path)})
    said = of_error(failed.value, "m-1").reason
    assert f"'{tmp_path / NOTES}/pl-" in said and said.endswith("; make room there"), said
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("pl-")] == []


def test_what_a_killed_server_left_goes_with_the_next(tmp_path: Path, shared: Path) -> None:
    made = Scratch(tmp_path / NOTES, {"TMPDIR": str(tmp_path)})
    leave(made, shared)
    (tmp_path / "precious").mkdir()
    (tmp_path / NOTES / "pl-wrong").write_text(str(tmp_path / "precious"))
    sweep(tmp_path / NOTES)
    sweep(tmp_path / "none")
    assert not made.folder.exists() and (tmp_path / "precious").exists()
    assert others(shared) == {"psm_0123abcd", "pl-somebody-else"}


async def test_a_replica_has_one_until_it_is_gone(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    bench = Bench(tmp_path)
    launch = bench.engine.launch

    def with_scratch(*said: Any) -> Launch:
        return msgspec.structs.replace(launch(*said), scratch=True)

    monkeypatch.setattr(bench.engine, "launch", with_scratch)
    replica = bench.start()
    await bench.until(Ready, replica)
    folder = Path(bench.substrate.spawned[0].command.env["TMPDIR"])
    assert folder.is_dir()
    (shared / f"{folder.name}-1").touch()
    bench.worker.stop(replica, 0.0)
    await bench.until(Stopped, replica)
    assert not folder.exists() and others(shared) == {"psm_0123abcd", "pl-somebody-else"}
    await bench.close()
