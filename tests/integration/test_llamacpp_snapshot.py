"""llama.cpp dumped by CRIU when it was ready, and restored: the same engine as one that was started plainly.

They need CRIU 4.2 or newer and root: `make criu`.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from integration.kit import CACHE, Server, until
from pilotlight.clock import SystemClock
from pilotlight.engines.llamacpp import GPU_OVERHEAD
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.actions import Start
from pilotlight.fleet.events import Died, Event, Ready, Slept, StartFailed, Stopped
from pilotlight.spec.model import Model
from pilotlight.substrate.local import LocalSubstrate
from pilotlight.weights.cache import WeightCache
from pilotlight.worker import criu, cuda_checkpoint
from pilotlight.worker.report import StartReport
from pilotlight.worker.settings import Settings
from pilotlight.worker.snapshot_making import Wanted
from pilotlight.worker.supervisor import Worker

needs_criu = pytest.mark.skipif(bool(criu.why_not()), reason=f"no snapshots here: {criu.why_not()}")
MODEL = Model(source="demo://50m", engine="llamacpp", techniques=("snapshot",), engine_args={"n_ctx": 512})


@pytest.fixture(scope="session")
def weights() -> Path:
    return WeightCache(CACHE / "weights").fetch("demo://50m")


class House:
    def __init__(self, folder: Path, weights: Path) -> None:
        self.model = Model(**{**_fields(MODEL), "source": str(weights)})
        self.snapshots = folder / "snapshots"
        self.news: asyncio.Queue[Event] = asyncio.Queue()
        self.substrate = LocalSubstrate(folder / "state")
        self.settings = Settings(folder, folder / "logs", env=dict(os.environ), snapshot_dir=self.snapshots)
        self.room = 2**40
        self.worker = Worker(
            self.news.put_nowait,
            SystemClock(),
            self.substrate,
            WeightCache(folder / "cache"),
            ENGINES,
            self.settings,
            room=lambda devices: self.room,
        )
        self.declare(self.model)
        self._count = 0

    def declare(self, model: Model) -> None:
        self.worker.snapshots.keep({"m": model})

    async def until(self, *kinds: type[Any]) -> Any:
        async with asyncio.timeout(60):
            while not isinstance(event := await self.news.get(), (*kinds, StartFailed)):
                pass
        assert isinstance(event, kinds), event
        return event

    async def up(self, model: Model | None = None, techniques: tuple[str, ...] = ("snapshot",)) -> str:
        replica = self.start(model, techniques)
        await self.until(Ready)
        return replica

    def start(self, model: Model | None = None, techniques: tuple[str, ...] = ("snapshot",)) -> str:
        model = model or self.model
        self._count += 1
        replica = f"m/{self._count}"
        plan, devices = ENGINES["llamacpp"].plan(model), tuple(range(model.gpus))
        self.worker.start(Start(replica, "m", "local", devices, plan, "a test", techniques), model)
        return replica

    async def down(self, replica: str) -> None:
        self.worker.stop(replica, 5.0)
        await self.until(Stopped)

    async def taken(self) -> Path:
        """Starts and stops one, and waits for its snapshot: the folder."""
        await self.down(await self.up())
        return await self.there()

    async def there(self) -> Path:
        async with asyncio.timeout(60):
            while not self.worker.snapshots.taken():
                await asyncio.sleep(0.02)
        (folder,) = (path.parent for path in self.snapshots.glob("*/stamp.json"))
        return folder

    def report(self, replica: str) -> StartReport:
        return self.worker.report(replica)

    async def says(self, replica: str, prompt: str, **fields: Any) -> str:
        return await asyncio.to_thread(complete, self.worker.url(replica), prompt, **fields)


def _fields(model: Model) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.__struct_fields__}


def complete(url: str, prompt: str, **fields: Any) -> str:
    body = {"model": "m", "prompt": prompt, "max_tokens": 16, "temperature": 0, **fields}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["choices"][0]["text"]


@pytest.fixture
async def house(tmp_path: Path, weights: Path) -> AsyncIterator[House]:
    house = House(tmp_path, weights)
    yield house
    await house.worker.close(0.5)
    await house.substrate.close()


@needs_criu
async def test_one_snapshot_is_restored_many_times_and_each_says_what_a_plain_one_does(house: House) -> None:
    prompts = [f"Tell me {n} things about {n * 7}:" for n in range(5)]
    first = await house.up()
    assert house.report(first).fell_back == "snapshot: none has been taken yet"
    plain = [await house.says(first, prompt) for prompt in prompts]
    await house.down(first)
    folder = await house.there()
    assert folder.stat().st_mode & 0o777 == 0o700 and house.snapshots.stat().st_mode & 0o077 == 0
    for prompt, wanted in zip(prompts, plain, strict=True):
        replica = await house.up()
        report = house.report(replica)
        assert report.techniques == ("snapshot",) and not report.fell_back
        assert {span.stage for span in report.spans} == {"allocate", "fetch", "restore"}
        assert await house.says(replica, prompt) == wanted
        await house.down(replica)
    assert [path.name for path in house.snapshots.iterdir() if path.name != "work"] == [folder.name]
    assert "".join(plain)


@needs_criu
async def test_two_are_restored_side_by_side_and_one_that_is_killed_takes_no_other_along(
    house: House,
) -> None:
    await house.taken()
    one, other = await house.up(), await house.up()
    assert house.worker.url(one) != house.worker.url(other)
    assert await house.says(one, "Once upon a time") == await house.says(other, "Once upon a time")
    os.kill(engine_of(house.report(one).pid).pid, signal.SIGKILL)
    assert (await house.until(Died)).reason == "the engine ended", "how, CRIU does not tell"
    assert await house.says(other, "Once upon a time")
    third = await house.up()
    assert house.report(third).techniques == ("snapshot",)
    assert await house.says(third, "Once upon a time") == await house.says(other, "Once upon a time")


@needs_criu
async def test_it_logs_by_its_keeper_and_ends_with_it(house: House) -> None:
    await house.taken()
    replica = await house.up()
    outer = psutil.Process(house.report(replica).pid)
    engine, keeper = engine_of(outer.pid), outer.parent()
    assert keeper is not None and keeper.name() == "pl-keeper"
    Path(f"/proc/{engine.pid}/fd/2").write_text("its words\n")
    async with asyncio.timeout(10):
        while "its words" not in house.worker.log_tail(replica):
            await asyncio.sleep(0.01)
    keeper.kill()
    assert (await house.until(Died)).reason
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


@needs_criu
async def test_its_random_numbers_are_its_own(house: House) -> None:
    await house.taken()
    said = set[str]()
    for _ in range(3):
        replica = await house.up()
        said.add(await house.says(replica, "Once upon a time", temperature=1.0))
        await house.down(replica)
    assert len(said) == 3


@needs_criu
async def test_what_was_restored_sleeps_and_wakes_and_is_measured(house: House) -> None:
    await house.taken()
    replica = await house.up()
    before = await house.says(replica, "Once upon a time")
    house.worker.sleep(replica, 1)
    await house.until(Slept)
    house.worker.wake(replica)
    await house.until(Ready)
    report = house.report(replica)
    assert report.kind == "wake" and {"wake", "load"} <= {span.stage for span in report.spans}
    assert await house.says(replica, "Once upon a time") == before


@needs_criu
@pytest.mark.parametrize("wrong", ["of no sense", "changed", "truncated", "gone", "stamp"])
async def test_one_that_cannot_be_restored_is_discarded_and_the_start_is_plain(
    house: House, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    folder = await house.taken()
    (pages,) = folder.glob("pages-*.img")
    if wrong == "of no sense":  # and yet as large and as old as it was
        image, before = folder / "pstree.img", (folder / "pstree.img").stat()
        image.write_bytes(bytes(before.st_size))
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif wrong == "changed":
        with pages.open("r+b") as file:
            file.write(bytes(4096))
    elif wrong == "truncated":
        os.truncate(pages, pages.stat().st_size // 2)
    elif wrong == "gone":
        pages.unlink()
    else:
        (folder / "stamp.json").write_bytes(b'{"stamp"')
    replica = await house.up()
    report = house.report(replica)
    assert report.fell_back.startswith("snapshot: it could not be restored: "), report.fell_back
    assert caplog.messages == [
        f"the snapshot of m is discarded: {report.fell_back.removeprefix('snapshot: ')}"
    ]
    assert report.techniques == () and {"spawn", "import", "load"} <= {span.stage for span in report.spans}
    assert not folder.exists()
    assert await house.says(replica, "Once upon a time")
    await house.down(replica)
    assert house.worker.snapshots.taken() == [], "another is not taken at once"


@pytest.fixture
def disk(house: House) -> Iterator[Path]:
    """Where snapshots lie, as a small file system of its own."""
    folder = house.snapshots
    folder.mkdir(0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a full disk; a small one cannot be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@needs_criu
@pytest.mark.parametrize("wrong", ["full", "read-only", "a file in the place of its logs"])
async def test_a_sound_one_is_kept_where_only_the_disk_is_in_the_way_of_its_restore(
    house: House, disk: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    folder = await house.taken()
    in_the_way = disk / ("work" if wrong.startswith("a file") else "ballast")
    if wrong == "full":
        with contextlib.suppress(OSError), in_the_way.open("wb", buffering=0) as ballast:
            while ballast.write(bytes(2**16)):
                pass
    elif wrong == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    else:
        in_the_way.touch()
    replica = await house.up()
    report = house.report(replica)
    assert report.fell_back.startswith("snapshot: it could not be restored: [Errno "), report.fell_back
    assert caplog.messages == [f"the snapshot of m is kept: {report.fell_back.removeprefix('snapshot: ')}"]
    assert report.techniques == () and await house.says(replica, "Once upon a time")
    if wrong == "read-only":
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    else:
        in_the_way.unlink()
    assert house.report(await house.up()).techniques == ("snapshot",)
    assert folder.exists() and not list(disk.glob("*.new"))


@needs_criu
@pytest.mark.parametrize("what", ["its settings", "its weights", "its environment", "the engine"])
async def test_what_it_depends_on_has_changed(
    house: House, tmp_path: Path, weights: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "its weights":
        house.model = Model(**{**_fields(house.model), "source": str(tmp_path / "copy.gguf")})
        shutil.copyfile(weights, tmp_path / "copy.gguf")
        house.declare(house.model)
    folder = await house.taken()
    model = house.model
    if what == "its weights":
        os.utime(tmp_path / "copy.gguf")
    elif what == "its settings":
        model = Model(**{**_fields(model), "engine_args": {"n_ctx": 256}})
    elif what == "its environment":
        model = Model(**{**_fields(model), "env": {"GGML_SOMETHING": "1"}})
    else:
        launch = ENGINES["llamacpp"].launch(model, 0, (), tmp_path)
        assert launch.preload is not None
        other = msgspec.structs.replace(launch.preload, stamp="pip has been here")
        monkeypatch.setattr("pilotlight.engines.llamacpp._preload", lambda env: other)
    house.declare(model)
    replica = await house.up(model)
    assert house.report(replica).fell_back == f"snapshot: {what} changed since it was taken"
    assert not folder.exists()
    await house.down(replica)
    await house.there()
    assert house.report(await house.up(model)).techniques == ("snapshot",), "another was taken"


@needs_criu
async def test_none_is_taken_without_room_nor_kept_for_models_that_are_not_declared(house: House) -> None:
    house.room = 1
    await house.down(await house.up())
    replica = ""
    async with asyncio.timeout(30):
        while "have to be free" not in (house.report(replica).fell_back if replica else ""):
            replica = await house.up()
            await house.down(replica)
    house.room = 2**40
    await house.taken()
    house.worker.snapshots.keep({})
    assert not {path.name for path in house.snapshots.iterdir()} - {"work"}


@needs_criu
async def test_one_that_is_being_taken_of_a_model_that_is_no_longer_declared_is_given_up(
    house: House,
) -> None:
    await house.down(await house.up())
    async with asyncio.timeout(30):
        while not any(maker.children() for maker in makers()):
            await asyncio.sleep(0.001)
    for _ in range(50):  # as many reloads
        house.worker.snapshots.keep({})
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while makers() or list(house.snapshots.iterdir()):
            await asyncio.sleep(0.01)
    assert house.worker._pool._beside == [], "nor is it counted"
    house.declare(house.model)
    await house.taken()


@needs_criu
async def test_none_is_taken_of_a_model_that_is_declared_otherwise_when_its_replica_stops(
    house: House,
) -> None:
    replica, other = await house.up(), Model(**{**_fields(house.model), "engine_args": {"n_ctx": 256}})
    for declared in ({}, {"m": other}):
        house.worker.snapshots.keep(declared)
        await house.down(replica)
        assert house.worker.snapshots._taking == {}
        replica = await house.up()
    house.declare(Model(**{**_fields(house.model), "ttl": 1.0}))
    await house.down(replica)
    await house.there()


@needs_criu
async def test_what_is_needed_sooner_ends_the_process_that_is_to_be_dumped(house: House) -> None:
    await house.down(await house.up())
    async with asyncio.timeout(30):
        while not any(maker.children() for maker in makers()):
            await asyncio.sleep(0.001)
    house.worker.trim("local")
    async with asyncio.timeout(30):
        while makers() or list(house.snapshots.glob("*.new")):
            await asyncio.sleep(0.01)
    assert not house.worker.snapshots.taken()


# -- on GPUs, of which there are none: the program that takes a process off them is a script --------------------------

SCRIPT = """#!/bin/sh
[ "$1 $2" = "--toggle --pid" ] && [ "$3" = "$PPID" ] || exit 7
[ -e "{folder}/broken" ] && echo "the driver is gone" >&2 && exit 1
echo x >>"{folder}/toggled"
"""


@pytest.fixture
def on_a_gpu(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the script notes how often it ran."""
    script = tmp_path / "cuda-checkpoint"
    script.write_text(SCRIPT.format(folder=tmp_path))
    script.chmod(0o755)
    (tmp_path / "driver").write_text("570.1")
    monkeypatch.setenv(cuda_checkpoint.VARIABLE, str(script))
    monkeypatch.setattr(cuda_checkpoint, "DRIVER", tmp_path / "driver")
    house.model = msgspec.structs.replace(house.model, gpus=1)
    house.declare(house.model)
    return tmp_path


@needs_criu
async def test_it_is_taken_off_its_gpu_before_it_is_dumped_and_put_back_when_it_is_restored(
    house: House, on_a_gpu: Path
) -> None:
    first = await house.up()
    plain = await house.says(first, "Once upon a time")
    await house.down(first)
    folder = await house.there()
    toggled = on_a_gpu / "toggled"
    assert toggled.read_text() == "x\n"
    for restored in (1, 2):
        replica = await house.up()
        assert house.report(replica).techniques == ("snapshot",), house.report(replica).fell_back
        assert toggled.read_text() == "x\n" * (1 + restored)
        assert await house.says(replica, "Once upon a time") == plain
        await house.down(replica)
    (on_a_gpu / "driver").write_text("580.2")
    replica = await house.up()
    said = "snapshot: cuda-checkpoint or the driver of its GPU changed since it was taken"
    assert house.report(replica).fell_back == said
    assert not folder.exists()


@needs_criu
async def test_one_that_cannot_be_put_back_on_its_gpu_is_discarded_and_the_start_is_plain(
    house: House, on_a_gpu: Path
) -> None:
    folder = await house.taken()
    (on_a_gpu / "broken").touch()
    replica = await house.up()
    said = "--toggle exited with status 1: the driver is gone"
    assert house.report(replica).fell_back.startswith("snapshot: it could not be restored: ")
    assert house.report(replica).fell_back.endswith(said)
    assert await house.says(replica, "Once upon a time") and not folder.exists()


@needs_criu
async def test_one_that_cannot_be_taken_off_its_gpu_is_not_dumped(house: House, on_a_gpu: Path) -> None:
    (on_a_gpu / "broken").touch()
    await house.down(await house.up())
    async with asyncio.timeout(30):
        while "none could be taken" not in (why := house.worker.snapshots.why_not("m", False, gpus=1)):
            await asyncio.sleep(0.01)
    assert why.endswith("exited with status 1: the driver is gone")
    assert not list(house.snapshots.glob("*"))


@needs_criu
async def test_a_start_on_its_gpu_ends_the_process_that_is_to_be_dumped(house: House, on_a_gpu: Path) -> None:
    await house.down(await house.up())
    async with asyncio.timeout(30):
        while not any(maker.children() for maker in makers()):
            await asyncio.sleep(0.001)
    house.start(techniques=())
    async with asyncio.timeout(30):
        while makers() or list(house.snapshots.glob("*.new")):
            await asyncio.sleep(0.001)
    assert not house.worker.snapshots.taken() and not (on_a_gpu / "toggled").exists()
    await house.until(Ready)


async def test_what_it_has_on_its_gpu_passes_through_host_memory(
    house: House, on_a_gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Wanted] = []
    monkeypatch.setattr(house.worker.snapshots, "after_stop", wanted.append)
    await house.down(await house.up())
    await house.down(await house.up(msgspec.structs.replace(house.model, gpus=0)))
    on_it, off_it = wanted
    assert (on_it.devices, off_it.devices) == ((0,), ())
    assert on_it.memory > GPU_OVERHEAD > off_it.memory


# -- the whole server ------------------------------------------------------------------------------------------------


def config(**more: Any) -> dict[str, Any]:
    return {"models": {"m": {"source": "demo://50m", "techniques": ["snapshot"], "ttl": "1h", **more}}}


@needs_criu
def test_what_was_restored_does_not_outlive_a_server_that_is_killed_and_serves_the_next_one(
    tmp_path: Path, weights: Path
) -> None:
    with Server(tmp_path, config()) as server:
        plain = complete(server.url, "Once upon a time")
        stop(server)
        until(lambda: server.get("/running")["primed"]["snapshots"] == ["m"])
        assert ps(server) == "no replicas are up\nprepared for starts: snapshot (m)\n"
        assert complete(server.url, "Once upon a time") == plain
        assert server.get("/traces")["techniques"] == ["snapshot"]
        (row,) = server.running()
        engine = engine_of(row["pid"])
        server.process.kill()
        server.process.wait()
        until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
        with Server(tmp_path, config()) as again:
            assert complete(again.url, "Once upon a time") == plain
            assert again.get("/traces")["techniques"] == ["snapshot"]
        server.process = again.process
        server.process.returncode = 0


@pytest.mark.parametrize("program", ["/nonexistent/criu", "old"])
def test_without_criu_one_line_says_so_and_all_else_works(
    tmp_path: Path, weights: Path, program: str
) -> None:
    if program == "old":
        old = tmp_path / "criu"
        old.write_text("#!/bin/sh\necho 'Error (criu/cr-check.c:1): too new a kernel' >&2\nexit 1\n")
        old.chmod(0o755)
        program = str(old)
    with Server(tmp_path, config(techniques=["snapshot", "zygote"]), env={criu.VARIABLE: program}) as server:
        assert complete(server.url, "Once upon a time")
        assert server.get("/traces")["fell_back"].startswith("snapshot: ")
        said = [line for line in server.log().splitlines() if "no snapshots" in line]
        assert len(said) == 1 and program in said[0] and "all else works" in said[0]


def stop(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.url}/models/m/stop", b"", {"Authorization": f"Bearer {server.token}"}
    )
    urllib.request.urlopen(request, timeout=30).close()
    until(lambda: not server.running())


def ps(server: Server) -> str:
    words = [sys.executable, "-m", "pilotlight.cli.main", "ps", "--url", server.url]
    env = {**os.environ, "PILOTLIGHT_API_KEY": server.token}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout


def engine_of(pid: int | None) -> psutil.Process:
    """The restored process, below `unshare` and CRIU."""
    return next(
        p
        for p in psutil.Process(pid).children(recursive=True)
        if "llamacpp_server.py" in " ".join(p.cmdline())
    )


def makers() -> list[psutil.Process]:
    """Those that dump, which are there for half a second."""
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "snapshot_maker.py" in " ".join(process.cmdline()):
                found.append(process)
    return found
