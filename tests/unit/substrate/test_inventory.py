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


@pytest.mark.parametrize(
    ("limit", "stat", "free"),
    [
        (10 * GIB, "anon 1\ninactive_file 3221225472\n", 5 * GIB),
        (10 * GIB, "inactive_file 7\ntotal_inactive_file 3221225472\n", 5 * GIB),
        (10 * GIB, "anon 1\n", 2 * GIB),
        ("max", "anon 1\n", None),
    ],
)
def test_a_container_has_what_its_limit_leaves_and_what_the_kernel_can_let_go_of(
    limit: int | str, stat: str, free: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = (tmp_path / "max", tmp_path / "current", tmp_path / "stat")
    for file, text in zip(files, (str(limit), str(8 * GIB), stat), strict=True):
        file.write_text(text)
    monkeypatch.setattr(inventory, "_LIMITS", ((tmp_path / "none",) * 3, files))

    class Memory:
        available = 100 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert inventory.free_memory() == (100 * GIB if free is None else free)
