"""What this machine has to give; the GPUs are the answers of a driver that is not here."""

from pathlib import Path

import psutil
import pytest

from pilotlight.errors import ConfigError
from pilotlight.fleet.deployment import Device
from pilotlight.spec.model import Config, Gpu
from pilotlight.substrate import inventory
from pilotlight.substrate.inventory import Inventory, visible_indices

UUIDS = ("GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3")
GIB = 2**30


@pytest.mark.parametrize(
    ("visible", "left"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2", [2]),
        ("2,0", [2, 0]),
        (" 1 , 1", [1]),
        ("GPU-bbbb", [1]),
        ("0,7,1", [0]),
        ("NoDevFiles", []),
    ],
)
def test_only_the_devices_that_this_process_may_see(visible: str | None, left: list[int]):
    assert visible_indices(visible, UUIDS) == left


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, int]]:
    """Free memory by device, as the driver answers from one question to the next."""
    answers = [{0: 40 * GIB, 1: 24 * GIB}, {0: 1 * GIB, 1: 1 * GIB}]
    monkeypatch.setattr(inventory, "measured_gpus", lambda visible: answers.pop(0))
    return answers


def test_what_replicas_take_later_is_not_missing_from_the_budget(driver: list[dict[int, int]]):
    it = Inventory({})
    assert it.host(Config()).devices == (Device(0, 40 * GIB), Device(1, 24 * GIB))
    assert it.host(Config(gpus=(1,))).devices == (Device(1, 24 * GIB),)
    assert it.host(Config()).memory == it.host(Config()).memory > 0


def test_stated_devices_and_memory_are_believed(driver: list[dict[int, int]]):
    host = Inventory({}).host(Config(memory=3 * GIB, gpus=(Gpu(5, 9 * GIB),)))
    assert (host.memory, host.devices) == (3 * GIB, (Device(5, 9 * GIB),))


def test_a_device_that_is_not_there(driver: list[dict[int, int]]):
    with pytest.raises(ConfigError, match=r"there is no GPU 3; NVML lists 0, 1"):
        Inventory({}).host(Config(gpus=(3,)))


def test_a_machine_without_a_driver_has_no_gpus():
    assert inventory.measured_gpus("-1") == {}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("limit", "above", "idle", "free"),
    [
        (10 * GIB, None, 3 * GIB, 5 * GIB),
        (10 * GIB, None, 0, 2 * GIB),
        (10 * GIB, 9 * GIB, 0, 1 * GIB),
        (5 * GIB, None, 0, 0),
        ("max", None, 0, 100 * GIB),
        (None, None, 0, 100 * GIB),
    ],
)
def test_control_groups_limits_are_heeded_and_idle_files_count_as_free(
    version: int,
    limit: int | str | None,
    above: int | None,
    idle: int,
    free: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """8 GiB are taken, of them `idle` bytes of files; `above` is the limit of the group that has its own in it."""
    root = tmp_path / "memory" if version == 1 else tmp_path
    own = root / "system.slice" / "pilotlight.service"
    own.mkdir(parents=True)
    names = ("limit_in_bytes", "usage_in_bytes", "total_") if version == 1 else ("max", "current", "")
    for folder, most in ((own, limit), (own.parent, above)):
        if most is not None:
            (folder / f"memory.{names[0]}").write_text(f"{most}\n")
            (folder / f"memory.{names[1]}").write_text(f"{8 * GIB}\n")
            (folder / "memory.stat").write_text(f"anon 1\n{names[2]}inactive_file {idle}\n")
    line = "4:memory:" if version == 1 else "0::"
    (tmp_path / "own").write_text(f"3:cpu,cpuacct:/x\n{line}/system.slice/pilotlight.service\n")
    monkeypatch.setattr(inventory, "_GROUPS", tmp_path)
    monkeypatch.setattr(inventory, "_OWN_GROUPS", tmp_path / "own")

    class Memory:
        available = 100 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert inventory.free_memory() == free


def test_without_control_groups_it_is_what_the_host_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inventory, "_OWN_GROUPS", tmp_path / "none")
    assert inventory.free_memory() > 0
