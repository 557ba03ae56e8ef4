from pathlib import Path

import pytest

from pilotlight.engines.command import GUESSED_MEMORY, CommandEngine
from pilotlight.errors import EngineError
from pilotlight.ports import WeightsInfo
from pilotlight.spec.model import Model

ENGINE = CommandEngine()


def test_the_port_is_filled_in_everywhere(tmp_path: Path) -> None:
    model = Model(
        engine="command",
        cmd="vllm serve 'org/a model' --port ${PORT} --name=x${PORT}",
        env={"HF_TOKEN": "t", "URL": "http://h:${PORT}"},
        cwd="sub",
        stop_cmd="docker stop c${PORT} ${PID}",
        health="ready",
        gpus=2,
    )
    launch = ENGINE.launch(model, 8123, (1, 3), tmp_path)
    assert launch.argv == ("vllm", "serve", "org/a model", "--port", "8123", "--name=x8123")
    assert launch.stop_argv == ("docker", "stop", "c8123", "${PID}")  # the process is the substrate's to know
    assert launch.url == "http://127.0.0.1:8123" and launch.health == "/ready"
    assert launch.cwd == str(tmp_path / "sub")
    assert launch.env == {
        "HF_TOKEN": "t",
        "URL": "http://h:8123",
        "CUDA_VISIBLE_DEVICES": "1,3",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert not launch.reports and not launch.wants_weights


def test_gpus_are_left_alone_where_none_are_assigned_and_where_the_operator_says(tmp_path: Path) -> None:
    assert ENGINE.launch(Model(engine="command", cmd="x"), 1, (), tmp_path).env == {}
    own = Model(engine="command", cmd="x", env={"CUDA_VISIBLE_DEVICES": ""})
    assert ENGINE.launch(own, 1, (0,), tmp_path).env["CUDA_VISIBLE_DEVICES"] == ""


def test_it_may_serve_elsewhere(tmp_path: Path) -> None:
    model = Model(engine="command", cmd="x", proxy="https://elsewhere.example/v1/", cwd="/")
    launch = ENGINE.launch(model, 1, (), tmp_path)
    assert launch.url == "https://elsewhere.example/v1" and launch.cwd == "/"


@pytest.mark.parametrize("cmd", [None, "", "   ", "say 'hello"])
def test_no_command_line(cmd: str | None, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        ENGINE.launch(Model(engine="command", cmd=cmd), 1, (), tmp_path)


def test_need() -> None:
    model = Model(engine="command", cmd="x", gpus=2, gpu_memory=40)
    need = ENGINE.need(model, None)
    assert (need.memory, need.gpus, need.gpu_memory, need.estimated) == (GUESSED_MEMORY, 2, 40, True)
    with_weights = ENGINE.need(Model(engine="command", cmd="x", source="s"), WeightsInfo(5))
    assert with_weights.memory == GUESSED_MEMORY + 5
    assert not ENGINE.need(Model(engine="command", cmd="x", memory=3), None).estimated


def test_weights_come_before_what_reads_them() -> None:
    assert "fetch" not in [s.name for s in ENGINE.plan(Model(engine="command", cmd="x")).steps]
    spawn = next(
        s for s in ENGINE.plan(Model(engine="command", cmd="x", source="s")).steps if s.name == "spawn"
    )
    assert "weights" in spawn.needs
