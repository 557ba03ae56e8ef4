"""vLLM on a GPU. Never run where this was written, where there is none; it skips there."""

import shutil
import subprocess
from pathlib import Path

import pytest

from integration import test_vllm as on_a_cpu
from integration.kit import Server, until
from pilotlight.engines import homes
from pilotlight.errors import EngineError

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1200)]
folder = on_a_cpu.folder


def no_gpu() -> str:
    if shutil.which("nvidia-smi") is None:
        return "no NVIDIA GPU"
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    try:
        homes.find("vllm")
    except EngineError as error:
        return str(error)
    return "" if "GPU " in listed else "no NVIDIA GPU"


@pytest.mark.skipif(bool(no_gpu()), reason=no_gpu() or "a GPU is there")
def test_it_starts_forks_sleeps_and_wakes(tmp_path: Path, folder: Path) -> None:
    model = {
        "engine": "vllm",
        "source": str(folder),
        "gpus": 1,
        "ttl": "1h",
        "sleep_after": "30m",
        "startup_timeout": "15m",
        "engine_args": {"max_model_len": 1024, "enforce_eager": True},
    }
    config = {
        "gpus": "auto",
        "memory": "32GiB",
        "models": {"m": {**model, "techniques": ["zygote", "sleep"]}},
    }
    with Server(tmp_path, config) as server:
        said = on_a_cpu.complete(server, "m")
        assert {"gpu_context", "load", "kv_cache"} <= {*on_a_cpu.stages(server, "m")}
        server.post("/models/m/sleep?level=1")
        until(lambda: server.running("m")[0]["state"] == "asleep", "it sleeps", 60.0)
        assert on_a_cpu.complete(server, "m") == said
        until(lambda: any(z["ready"] for z in on_a_cpu.zygotes(server)), "a zygote is up", 120.0)
        server.post("/models/m/stop")
        on_a_cpu.rest(server, "m")
        assert on_a_cpu.complete(server, "m") == said
        assert "zygote" in on_a_cpu.trace(server, "m")["techniques"]
