import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotlight.engines import llamacpp
from pilotlight.engines.llamacpp import GPU_OVERHEAD, OVERHEAD, LlamaCppEngine
from pilotlight.fleet.deployment import Need
from pilotlight.ports import Preload, WeightsInfo
from pilotlight.spec.model import Model

ENGINE = LlamaCppEngine()
INFO = WeightsInfo(size=1000, n_ctx_train=131072, k_numbers=10, v_numbers=10)


def model(slots: int = 4, **args: bool | int | float | str) -> Model:
    return Model(source="s", target_requests=slots, engine_args=args)


@pytest.mark.parametrize(
    ("args", "slots", "whole"),
    [
        ({"n_ctx": 2048}, 4, 8192),
        ({"n_ctx": 2048}, 1, 2048),
        ({"n_ctx": 2048, "n_parallel": 2}, 4, 4096),
        ({"n_ctx": 2048, "kv_unified": True}, 4, 2048),
        ({}, 2, 8192),
        ({"n_ctx": 0}, 2, 262144),
    ],
)
def test_every_request_may_use_the_context_that_is_asked_for(
    args: dict[str, int], slots: int, whole: int
) -> None:
    settings = ENGINE.settings(model(slots, **args), INFO)
    assert settings["n_ctx"] == whole
    assert settings["n_parallel"] == args.get("n_parallel", slots)
    assert ENGINE.need(model(slots, **args), INFO).memory == 1000 + whole * 20 * 2 + OVERHEAD


def test_a_model_of_a_shorter_context_gets_no_more() -> None:
    assert ENGINE.settings(model(1), WeightsInfo(1, n_ctx_train=512))["n_ctx"] == 512


@pytest.mark.parametrize(
    ("args", "size"),
    [
        ({"cache_type_k": "q8_0"}, 10 * 34 / 32 + 20),
        ({"cache_type_v": "GGML_TYPE_Q4_0"}, 20 + 10 * 18 / 32),
        ({"cache_type_k": "f32", "cache_type_v": "f32"}, 80),
        ({"cache_type_k": "what"}, 40),
    ],
)
def test_the_context_may_be_quantised(args: dict[str, str], size: float) -> None:
    assert ENGINE.need(model(1, n_ctx=320, **args), INFO).memory == 1000 + int(320 * size) + OVERHEAD


def test_need_before_anything_is_known_and_when_the_operator_knows() -> None:
    assert ENGINE.need(model(), None).memory == OVERHEAD
    assert ENGINE.need(model(cache_ram_mib=100), None).memory == OVERHEAD + 100 * 2**20
    said = ENGINE.need(Model(source="s", memory=5, gpus=2, gpu_memory=7), INFO)
    assert (said.memory, said.gpus, said.gpu_memory, said.estimated) == (5, 2, 7, False)


def test_what_it_takes_of_a_gpu() -> None:
    def need(weights: WeightsInfo | None = INFO, gpus: int = 1, **args: bool | int | float | str) -> Need:
        return ENGINE.need(msgspec.structs.replace(model(2, n_ctx=512, **args), gpus=gpus), weights)

    one = need()
    assert (one.gpu_memory, one.gpu_estimated) == (1000 + 1024 * 20 * 2 + GPU_OVERHEAD, True)
    for whole in (need(None), need(WeightsInfo(1000)), need(gpus=2), need(n_gpu_layers=3), need(gpus=0)):
        assert (whole.gpu_memory, whole.gpu_estimated) == (None, False)
    said = ENGINE.need(Model(source="s", gpus=1, gpu_memory=7), INFO)
    assert (said.gpu_memory, said.gpu_estimated) == (7, False)


def test_operators_win_over_defaults() -> None:
    settings = ENGINE.settings(model(verbosity=4, pooling_type="mean", cache_ram_mib=64), INFO)
    assert (
        settings["verbosity"] == 4 and settings["embedding"] is True and settings["cache_idle_slots"] is True
    )
    assert ENGINE.settings(model(), INFO)["fit_params"] is False
    assert "embedding" not in ENGINE.settings(model(), INFO)


def test_a_warm_up_is_a_step_only_when_asked_for() -> None:
    assert "warm_up" not in [s.name for s in ENGINE.plan(model()).steps]
    assert "warm_up" in [s.name for s in ENGINE.plan(model(warmup=True)).steps]


def test_check_args_knows_the_real_parameters() -> None:
    good = {"n_ctx": 1, "cache_type_k": "q8_0", "load_mode": "mmap", "pooling_type": "LLAMA_POOLING_TYPE_MEAN",
            "flash_attn_type": "Disabled", "n_threads": 2, "n_threads_batch": 2, "sampling.temp": 1, "warmup": True,
            "cpuparams.n_threads": 2, "chat_template": "x", "rope_freq_base": 2}  # fmt: skip
    assert ENGINE.check_args(good) == []
    assert ENGINE.check_args(ENGINE.settings(model(pooling_type="mean"), INFO)) == []
    problems = ENGINE.check_args(
        {"n_contx": 1, "n_threads": "many", "cache_type_k": "q9", "sampling": 1, "port": 1}
    )
    assert len(problems) == 5 and any("did you mean n_ctx" in p for p in problems)


@pytest.mark.parametrize(
    ("args", "gpus", "streams"),
    [
        ({}, 0, True),
        ({"n_gpu_layers": 0, "cache_type_k": "q8_0"}, 0, True),
        ({"load_mode": "none"}, 0, False),
        ({"check_tensors": True}, 0, False),
        ({"mmproj.path": "/x.gguf"}, 0, False),
        ({"n_gpu_layers": 3}, 0, False),
        ({}, 1, False),
    ],
)
def test_what_is_left_where_it_is_mapped_may_be_arriving(
    args: dict[str, int], gpus: int, streams: bool
) -> None:
    it = msgspec.structs.replace(model(**args), gpus=gpus)
    assert ("stream" in ENGINE.techniques(it)) is streams
    launch = ENGINE.launch(it, 0, (), Path("/"))
    assert bool(launch.streams) is streams
    assert 12 not in launch.streams, "Q4_K is rearranged for the processor"


@pytest.mark.parametrize(
    ("args", "gpus", "dumped"),
    [
        ({}, 0, True),
        ({}, 2, True),
        ({"n_gpu_layers": 3}, 1, True),
        ({"n_gpu_layers": 3}, 0, False),
        ({"load_mode": "none"}, 0, False),
        ({"mmproj.path": "/x.gguf"}, 1, False),
    ],
)
def test_what_may_be_dumped(args: dict[str, Any], gpus: int, dumped: bool) -> None:
    it = msgspec.structs.replace(model(**args), gpus=gpus)
    assert ("snapshot" in ENGINE.techniques(it)) is dumped


@pytest.mark.parametrize(("args", "cached"), [({}, True), ({"load_mode": "direct_io"}, False)])
def test_what_lies_in_the_page_cache_may_be_read_ahead_and_laid_in_huge_pages(
    args: dict[str, Any], cached: bool
) -> None:
    assert [n in ENGINE.techniques(model(**args)) for n in ("read_ahead", "huge_pages")] == [cached] * 2


def test_tensors_that_are_not_to_be_rearranged_stream_whatever_their_type() -> None:
    launch = ENGINE.launch(model(no_extra_bufts=True), 0, (), Path("/"))
    assert {0, 2, 8, 12, 39} <= launch.streams


def test_its_zygote_is_shared_by_models_that_agree_on_their_environment() -> None:
    one, two, other = (
        ENGINE.launch(msgspec.structs.replace(model(**args), env=env), 0, (), Path("/")).preload
        for args, env in (({}, {}), ({"n_ctx": 256}, {}), ({}, {"GGML_X": "1"}))
    )
    assert one is not None and other is not None
    assert one == two != other and ("GGML_X", "1") in other.env, "libraries read it while they load"


def test_its_zygote_is_made_anew_when_pip_has_been_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llamacpp, "_site_folder", lambda: str(tmp_path))
    os.utime(tmp_path, (1, 1))

    def preload() -> Preload | None:
        return ENGINE.launch(model(), 0, (), Path("/")).preload

    before = preload()
    assert before == preload()
    (tmp_path / "xllamacpp-9.dist-info").mkdir()
    assert before != preload()
