"""The lines were captured from vLLM 0.32.0; those marked GPU are its source's, with numbers put in."""

import logging
import sys

import pytest

from pilotlight_guest import vllm_stages as stages
from pilotlight_guest.vllm_watch import Ended

ON_A_CPU = [
    "Resolved architecture: LlamaForCausalLM",
    "Starting to load model /tmp/v/m/10m...",
    "Initializing model took 0.175687 seconds",
    "Filesystem type for checkpoints: EXT4. Checkpoint size: 0.02 GiB. Available RAM: 22.38 GiB.",
    "Loading weights took 0.04 seconds",
    "Explicitly set (1.0/10.21) GiB for KV cache on node 0.",
    "CPU KV cache size: 524,288 tokens, Maximum concurrency for 8,192 tokens per request: 64.00x",
    "init engine (profile, create kv cache, warmup model) took 1.20 s",
    "Supported tasks: ['generate']",
]
ON_A_GPU = [
    "Starting to load model meta-llama/Llama-3.1-8B...",
    "Loading weights took 2.10 seconds",
    "Model loading took 14.99 GiB memory and 2.751000 seconds",
    "[rank0] Starting torch.compile",
    "torch.compile took 7.52 s in total",
    "Available KV cache memory: 55.31 GiB",
    "GPU KV cache size: 453,088 tokens, Maximum concurrency for 131,072 tokens per request: 3.46x",
    "Graph capturing finished in 3 secs, took 0.62 GiB",
    "init engine (profile, create kv cache, warmup model) took 13.20 s (compilation: 7.52 s)",
]


def marks(lines: list[str]) -> list[stages.Mark]:
    """As though each line came ten seconds after the one before."""
    found = [stages.read(line, 10.0 * i) for i, line in enumerate(lines, 1)]
    return [mark for mark in found if mark is not None]


def test_a_start_on_a_cpu() -> None:
    assert stages.spans(marks(ON_A_CPU), 5.0, 95.0) == [
        ("gpu_context", 5.0, 20.0),
        ("load", 20.0, 50.0),
        ("kv_cache", 50.0, 80.0),
    ]


def test_a_start_on_a_gpu() -> None:
    assert stages.spans(marks(ON_A_GPU), 5.0, 95.0) == [
        ("gpu_context", 5.0, 10.0),
        ("load", 10.0, 30.0),
        ("compile", 40.0, 50.0),
        ("kv_cache", 50.0, 77.0),
        ("graph_capture", 77.0, 80.0),
    ]


def test_a_download_is_no_part_of_the_load_and_comes_once() -> None:
    line = "Time spent downloading weights for Qwen/Qwen2.5-0.5B: 6.250000 seconds"
    said = marks([*ON_A_CPU[:3], line, *ON_A_CPU[4:]])
    assert stages.spans(said, 5.0, 95.0) == [
        ("gpu_context", 5.0, 20.0),
        ("fetch", 33.75, 40.0),
        ("load", 40.0, 50.0),
        ("kv_cache", 50.0, 80.0),
    ]
    assert stages.once(said) == {"fetch"}
    assert stages.once(marks(ON_A_CPU)) == set()


KEPT = "[backbone] saved AOT compiled function to /c/torch_compile_cache/torch_aot_compile/8792/model"
AGAIN = "[backbone] Compiling model again due to a load failure from /c/torch_compile_cache/8792/model"


@pytest.mark.parametrize(
    ("more", "once"),
    [
        ([KEPT], {"compile"}),
        (["[rank0] Compiling a graph for compile range (1, 8192) takes 7.12 s"], {"compile"}),
        (["Directly load the compiled graph(s) for compile range (1, 8192) from the cache"], set[str]()),
        ([AGAIN, KEPT], set[str]()),  # as every start on a CPU
    ],
)
def test_a_compile_whose_result_is_kept_comes_once(more: list[str], once: set[str]) -> None:
    assert stages.once(marks([*ON_A_GPU[:4], *more, *ON_A_GPU[4:]])) == once


def test_of_several_workers_the_slowest_counts() -> None:
    said = [("loading", 1.0, 0.0), ("loading", 2.0, 0.0), ("loaded", 3.0, 0.0), ("loaded", 9.0, 0.0)]
    assert stages.spans(said, 0.0, 10.0) == [("gpu_context", 0.0, 1.0), ("load", 1.0, 9.0)]


@pytest.mark.parametrize("lines", [[], ["Booting the flux capacitor"], ON_A_CPU[:3], ON_A_CPU[4:6]])
def test_words_that_are_not_known_change_nothing(lines: list[str]) -> None:
    assert stages.spans(marks(lines), 1.0, 2.0) == [("load", 1.0, 2.0)]


def test_weights_that_are_made_up() -> None:
    found = stages.spans(marks([*ON_A_CPU[:4], *ON_A_CPU[5:]]), 5.0, 95.0)
    assert found == [("gpu_context", 5.0, 20.0), ("load", 20.0, 60.0), ("kv_cache", 60.0, 70.0)]


def test_compiling_on_a_cpu() -> None:
    lines = [*ON_A_CPU[:5], "Warming up model for the compilation...", "Warming up done.", *ON_A_CPU[5:]]
    assert ("compile", 60.0, 70.0) in stages.spans(marks(lines), 5.0, 200.0)


def test_lines_are_noted_as_they_are_logged() -> None:
    before = logging.getLogRecordFactory()
    notes = stages.Notes()
    for name, text, value in (
        ("vllm.v1.worker", "Starting to load model %s...", "m"),
        ("vllm.v1.worker", "Loading weights took %d seconds", "no number"),
        ("elsewhere", "Loading weights took %s seconds", "1"),
    ):
        logging.getLogger(name).makeRecord(name, logging.INFO, "", 0, text, (value,), None)
    try:
        raise ValueError("no such tensor\nand more of it")
    except ValueError:
        name = "vllm.v1.engine.core"
        passed = (KeyError, KeyError("what vLLM goes on without"), None)
        logging.getLogger(name).makeRecord(name, logging.WARNING, "", 0, "no chat", (), passed)
        logging.getLogger(name).makeRecord(name, logging.ERROR, "", 0, "failed", (), sys.exc_info())
    found, errors = notes.close()
    assert [name for name, _, _ in found] == ["loading"] and found[0][1] > 0
    assert errors == ["ValueError: no such tensor"]
    assert notes.close() == ([], [])
    assert logging.getLogRecordFactory() is before


def test_a_process_that_was_killed_comes_before_what_others_met_of_it() -> None:
    notes = stages.Notes()
    log = logging.getLogger("vllm.v1.executor")
    for error in (BrokenPipeError("Broken pipe"), Ended("worker", -11)):
        log.makeRecord(log.name, logging.ERROR, "", 0, "failed", (), (type(error), error, None))
    line = "Worker proc %s died unexpectedly (exit code: %s), shutting down executor."
    log.makeRecord(log.name, logging.ERROR, "", 0, line, ("VllmWorker-1", -9), None)
    _, errors = notes.close()
    assert errors[0] == "its worker was killed by signal 11"
    assert errors[1].startswith("its worker was killed by signal 9, as the system does when memory runs out")
    assert errors[2] == "BrokenPipeError: Broken pipe"


def test_a_worker_whose_end_is_not_known_yet_comes_behind_what_it_has_said_itself() -> None:
    notes = stages.Notes()
    log = logging.getLogger("vllm.v1.executor")
    line = "Worker proc %s died unexpectedly (exit code: %s), shutting down executor."
    error = ValueError("no such tensor")
    log.makeRecord(log.name, logging.ERROR, "", 0, "failed", (), (ValueError, error, None))
    log.makeRecord(log.name, logging.ERROR, "", 0, line, ("VllmWorker-0", None), None)
    after = RuntimeError("cancelled")
    log.makeRecord(log.name, logging.ERROR, "", 0, "failed", (), (RuntimeError, after, None))
    _, errors = notes.close()
    assert errors == [
        "ValueError: no such tensor", "its worker has ended or was killed", "RuntimeError: cancelled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("a\nb"), "RuntimeError: a"),
        (KeyError(), "KeyError"),
        (
            ValueError("1 validation error for X\n  Value error, too long. [type=value_error, input"),
            "too long.",
        ),
    ],
)
def test_why_in_one_line(error: Exception, said: str) -> None:
    assert stages.reason(error) == said
