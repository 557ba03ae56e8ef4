"""What can be said of snapshots without CRIU: whether it is there, what a stamp is of, the port in an image, and after
which failures one is kept."""

import platform
import socket
from contextlib import AbstractAsyncContextManager
from errno import EACCES, EDQUOT, EIO, EMFILE, ENOENT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pilotlight.cli.engine_problems import no_snapshots
from pilotlight.clock import SystemClock, VirtualClock
from pilotlight.errors import ZygoteUnavailable
from pilotlight.ports import Command, Exit, Launch
from pilotlight.spec.model import Config, Model
from pilotlight.substrate.fake import FakeSubstrate, Script
from pilotlight.worker import criu, cuda_checkpoint, snapshots
from pilotlight.worker.engine_process import EngineProcess
from pilotlight.worker.free_ports import FreePorts
from pilotlight.worker.settings import Settings
from pilotlight.worker.snapshot_making import Wanted
from pilotlight.worker.snapshot_stamp import kept_env, stamp
from pilotlight.worker.snapshots import _STAMP, Snapshots, _files, _Image, _name
from pilotlight_guest.guardian_proc import LINUX
from pilotlight_guest.snapshot_maker import NotMade, dump, tell
from pilotlight_guest.snapshot_port import find_port, varint, with_port
from unit.worker.bench import Guest

LAUNCH = Launch(("python", "guest.py"), {"OMP_WAIT_POLICY": "passive"}, "/", "http://127.0.0.1:0", "/health")


def program(folder: Path, script: str) -> str:
    path = folder / "criu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(not LINUX, reason="CRIU is for Linux")
def test_why_there_are_no_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def why(path: str) -> str:
        monkeypatch.setenv(criu.VARIABLE, path)
        return criu.why_not()

    assert "cannot be run" in why(str(tmp_path / "nothing"))
    found = program(tmp_path, "echo 'Error (criu/a.c:1): no such thing' >&2; exit 1")
    assert why(found) == (
        f"`{found} check` fails, as before 4.2 on new kernels: Error (criu/a.c:1): no such thing"
    )
    (tmp_path / "good").mkdir()
    assert why(program(tmp_path / "good", "exit 0")) == ""
    (tmp_path / "user").mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "root" in why(program(tmp_path / "user", "exit 0"))
    monkeypatch.delenv(criu.VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path / "good"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert criu.find() == str(tmp_path / "good" / "criu")
    monkeypatch.setenv("PATH", "")
    assert criu.find() is None and "make criu" in criu.why_not()
    criu.built().parent.mkdir(parents=True)
    criu.built().write_text("")
    criu.built().chmod(0o755)
    assert criu.find() == str(criu.built())


def test_models_on_gpus_need_another_program_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criu, "why_not", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.delenv(cuda_checkpoint.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    models = {f"on{n}": Model(source="demo://50m", techniques=("snapshot",), gpus=n) for n in (0, 1)}
    why = "models on GPUs need cuda-checkpoint, which was not found on PATH; name it in "
    assert no_snapshots(Config(models=models)).startswith(f"on1: no snapshots, all else works: {why}")
    monkeypatch.setenv(cuda_checkpoint.VARIABLE, str(tmp_path / "nothing"))
    assert cuda_checkpoint.why_no_snapshots(1) == f"cuda-checkpoint ({tmp_path / 'nothing'}) cannot be run"
    monkeypatch.setenv(cuda_checkpoint.VARIABLE, str(tmp_path))
    assert cuda_checkpoint.why_no_snapshots(1) == f"cuda-checkpoint ({tmp_path}) cannot be run", "a folder"
    found = program(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(cuda_checkpoint.VARIABLE, "criu")
    assert cuda_checkpoint.find() == found, "looked for on PATH"
    monkeypatch.setenv(cuda_checkpoint.VARIABLE, found)
    assert no_snapshots(Config(models=models)) == ""
    assert (cuda_checkpoint.told(()), cuda_checkpoint.told((0,))) == ({}, {"cuda": found})
    before = cuda_checkpoint.stamp()
    Path(found).write_text("#!/bin/sh\nexit 1\n")
    assert cuda_checkpoint.stamp() != before
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cuda_checkpoint.why_no_snapshots(1) == "cuda-checkpoint is for x86-64"
    monkeypatch.setattr(criu, "why_not", lambda: "there is no CRIU")
    assert no_snapshots(Config(models=models)) == "on0, on1: no snapshots, all else works: there is no CRIU"


@pytest.mark.skipif(not LINUX, reason="CRIU is for Linux")
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("kill -9 $$", "criu dump was killed by signal 9"),
        ("exit 3", "criu dump exited with status 3"),
        (
            'shift 6; echo "Error (a.c:1): no" >"$1"; exit 1',
            "criu dump exited with status 1: Error (a.c:1): no",
        ),
    ],
)
def test_why_nothing_was_dumped_also_where_criu_wrote_no_log(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(NotMade) as failed:
        dump(program(tmp_path, script), 1, 2, str(tmp_path))
    assert str(failed.value) == why


def test_an_engine_that_has_ended_before_it_is_told_is_said_to_have() -> None:
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(NotMade, match="the engine ended before it was dumped"):
        tell(near, {})


def stamped(weights: Path, args: dict[str, Any], **env: str) -> dict[str, str]:
    order = {"weights": str(weights), "args": args, "name": "m", "port": 0}
    return stamp(LAUNCH, kept_env({"PATH": "/bin", **env}, LAUNCH), order, "/bin/sh", weights.parent)


def test_a_stamp_names_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, adapter = tmp_path / "m-00001-of-00002.gguf", tmp_path / "lora.bin"
    other = tmp_path / "m-00002-of-00002.gguf"
    for path in (weights, adapter, other):
        path.write_text("1")

    def changed(args: dict[str, Any], **env: str) -> list[str]:
        now = stamped(weights, args, **env)
        return [what for what, mark in now.items() if before[what] != mark]

    args = {"n_ctx": 1, "lora": str(adapter)}
    before = stamped(weights, args)
    assert changed(args) == [] and changed(args, SSH_TTY="another") == []
    assert changed({**args, "n_ctx": 2}) == ["its settings"]
    assert changed(args, OMP_NUM_THREADS="1") == ["its environment"]
    (tmp_path / "guest.py").write_text("")
    assert changed(args) == ["the engine"]
    (tmp_path / "guest.py").unlink()
    other.write_text("22")
    assert changed(args) == ["its weights"]
    before = stamped(weights, args)
    adapter.write_text("22")
    assert changed(args) == ["its weights"]
    before = stamped(weights, args)
    machine = platform.uname()
    monkeypatch.setattr(platform, "uname", lambda: machine._replace(release="7.0"))
    assert changed(args) == ["the kernel, or when it was booted,"]


def test_an_engine_that_is_dumped_does_not_get_the_servers_secrets() -> None:
    env = kept_env({"HF_TOKEN": "secret", "PATH": "/bin", "LD_LIBRARY_PATH": "/lib"}, LAUNCH)
    assert env == {"PATH": "/bin", "LD_LIBRARY_PATH": "/lib", "OMP_WAIT_POLICY": "passive"}


def test_a_port_is_written_over_another(tmp_path: Path) -> None:
    image, copy = tmp_path / "files.img", tmp_path / "copy.img"
    image.write_bytes(b"before\x30\x0a\x38" + varint(40123) + b"\x40\x00after")
    place = find_port(str(image), 40123)
    with_port(str(image), str(copy), place, 20001)
    assert find_port(str(copy), 20001) == place and copy.stat().st_size == image.stat().st_size
    with pytest.raises(OSError, match="not have the port 40124"):
        find_port(str(image), 40124)
    with pytest.raises(OSError, match="not from 16384"):
        find_port(str(image), 8080)
    with pytest.raises(OSError, match="not the file that was dumped"):
        with_port(str(image), str(copy), place + 1, 20001)


# -- after which failures one is kept --------------------------------------------------------------------------------


class House:
    """Has one image of nothing, as it would lie there."""

    def __init__(self, folder: Path) -> None:
        weights = folder / "m.gguf"
        weights.touch()
        self.of_nothing = Wanted("m", False, "", LAUNCH, {"weights": str(weights), "args": {}}, 0, 1.0)
        settings = Settings(folder, folder, snapshot_dir=folder / "snapshots")
        pool = cast(Any, None)
        self.snapshots = Snapshots(FakeSubstrate(), VirtualClock(), settings, pool, lambda _: 0)
        self.image = self.snapshots._folder(_name("m", False))
        self.image.mkdir(parents=True)
        (self.image / "files.img").write_bytes(b"\x30\x0a\x38" + varint(40123))
        stamp = self.snapshots._stamp(self.of_nothing)
        is_there = _Image(stamp, _files(self.image), socket=1, pipe=2, port_at=3)
        (self.image / _STAMP).write_bytes(msgspec.json.encode(is_there))

    def restoring(self) -> AbstractAsyncContextManager[tuple[str, ...]]:
        return self.snapshots.restoring(self.of_nothing, FreePorts().take(()))

    async def restored(self) -> None:
        async with self.restoring():
            pass


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        *((OSError(number, "said so"), True) for number in (ENOSPC, EDQUOT, EROFS, EPERM, EACCES, EMFILE)),
        *((OSError(number, "said so"), False) for number in (EIO, ENOENT)),
        (OSError("is not the file that was dumped"), False),
    ],
    ids=str,
)
async def test_only_what_says_something_of_itself_discards_one(
    error: OSError, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    house = House(tmp_path)
    await house.restored()
    with monkeypatch.context() as broken, pytest.raises(ZygoteUnavailable) as failed:
        broken.setattr(snapshots, "with_port", fails)
        await house.restored()
    assert str(failed.value) == f"it could not be restored: {error}"
    assert [path.name for path in house.image.parent.iterdir() if path.name != "work"] == (
        [house.image.name] if stays else []
    )
    if stays:
        await house.restored()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (Script(exit_after=0.0, exit=Exit()), "Unable to detach"),
        (Script(player=Guest(error={"message": "the driver is gone"})), "the driver is gone"),
    ],
    ids=["nothing", "why"],
)
async def test_where_the_engine_has_said_why_that_goes_before_what_criu_met_after_it(
    script: Script, why: str, tmp_path: Path
) -> None:
    house = House(tmp_path)
    process = EngineProcess(FakeSubstrate(script), SystemClock())
    with pytest.raises(ZygoteUnavailable) as failed:
        async with house.restoring() as argv:
            *_, folder, log, _, _ = argv
            (Path(folder) / log).write_text("(00.1) Error (criu/a.c:1): Unable to detach\n")
            await process.restore(Command("m", argv, {}, "/", tmp_path / "log", 1, channel=True), {}, 0)
    assert str(failed.value) == f"it could not be restored: {why}"
