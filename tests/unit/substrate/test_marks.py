"""How a process that was left behind is told from one that is somebody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pilotlight.substrate.local import strays
from pilotlight_guest import guardian_proc as proc
from pilotlight_guest import guardian_record


def test_a_mark_reads_as_it_was_written(tmp_path: Path) -> None:
    own = strays.own_mark(tmp_path)
    for mark in (own, own.of(17)):
        assert strays.parse_mark(str(mark)) == mark
    assert strays.parse_mark(own.of(17).wide()) == own.of(17)
    assert len(own.of(17).wide()) >= len(str(own.of(10**11)))
    for text in ("", "pl", f"{own}.x", f"{own} ", str(own)[2:]):
        assert strays.parse_mark(text) is None


def test_the_folder_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "state")
    (tmp_path / "state").mkdir()
    assert strays.own_mark(tmp_path / "link") == strays.own_mark(tmp_path / "state")
    assert strays.own_mark(tmp_path).folder != strays.own_mark(tmp_path / "state").folder


def test_a_pid_that_was_given_anew_is_not_the_owner(tmp_path: Path) -> None:
    own = strays.own_mark(tmp_path)
    assert not own.owner_is_dead()
    assert msgspec.structs.replace(own, start=own.start - 1).owner_is_dead()


def test_a_zombie_owner_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    own = strays.own_mark(tmp_path)
    found = proc.stat(process.pid)
    assert found is not None
    assert not found.alive
    assert msgspec.structs.replace(own, pid=process.pid, start=found.start).owner_is_dead()
    process.wait()


def test_an_owner_that_cannot_be_seen_is_not_called_dead(tmp_path: Path) -> None:
    own = msgspec.structs.replace(strays.own_mark(tmp_path), pid=2**22 + 1)
    assert own.owner_is_dead()
    assert not msgspec.structs.replace(own, namespace=1).owner_is_dead()
    assert not msgspec.structs.replace(own, boot="00000000").owner_is_dead()


def test_a_record_can_be_claimed_once_nobody_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "r.json"
    holder = os.fork()
    if holder == 0:
        guardian_record.write_record(os.fsencode(path), {"mark": "m"})
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(holder, os.WUNTRACED)
    assert guardian_record.claim_record(str(path)) is None
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    claimed = guardian_record.claim_record(str(path))
    assert claimed is not None
    assert claimed[1] == {"mark": "m"}
    assert guardian_record.claim_record(str(path)) is None, "claimed by us now"
    os.close(claimed[0])
    path.unlink()
    assert guardian_record.claim_record(str(path)) is None


@pytest.mark.skipif(not proc.LINUX, reason="/proc is Linux")
@pytest.mark.parametrize("by_kernel", [True, False], ids=["children-file", "scan"])
def test_descendants_without_the_spared(monkeypatch: pytest.MonkeyPatch, by_kernel: bool) -> None:
    monkeypatch.setattr(proc, "_CHILDREN", by_kernel)
    script = "sleep 100 & echo $!; sh -c 'sleep 100 & echo $!; wait' & echo $!; wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    below = {int(process.stdout.readline()) for _ in range(3)}
    assert set(proc.descendants(process.pid)) == below
    assert set(proc.descendants(os.getpid())) >= below | {process.pid}
    assert not set(proc.descendants(os.getpid(), lambda pid: pid == process.pid)) & (below | {process.pid})
    proc.kill_with_group(process.pid)
    process.wait()
    process.stdout.close()
