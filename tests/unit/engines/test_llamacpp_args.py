"""The rules for setting parameters by name, on a stand-in; the real ones are checked beside the engine."""

import enum
from types import SimpleNamespace
from typing import Any

import pytest

from pilotlight_guest.llamacpp_args import apply, names


class Kind(enum.IntEnum):
    LLAMA_KIND_UNSPECIFIED = -1
    LLAMA_KIND_OFF = 0
    LLAMA_KIND_Q4_0 = 2
    LLAMA_KIND_Q4_1 = 3
    LLAMA_KIND_COUNT = 4


def params() -> Any:
    return SimpleNamespace(
        n_ctx=0, ratio=0.5, ui=True, name="", kind=Kind.LLAMA_KIND_UNSPECIFIED, hosts=[], port=0,
        cpuparams=SimpleNamespace(n_threads=-1), cpuparams_batch=SimpleNamespace(n_threads=-1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "path", "result"),
    [
        ("n_ctx", 5, "n_ctx", 5),
        ("n_ctx", 5.0, "n_ctx", 5),
        ("ratio", 1, "ratio", 1.0),
        ("ui", False, "ui", False),
        ("ui", 1, "ui", True),
        ("name", 7, "name", "7"),
        ("kind", "q4_1", "kind", Kind.LLAMA_KIND_Q4_1),
        ("kind", "off", "kind", Kind.LLAMA_KIND_OFF),
        ("kind", "llama-kind-Q4_0", "kind", Kind.LLAMA_KIND_Q4_0),
        ("cpuparams.n_threads", 3, "cpuparams.n_threads", 3),
        ("n_threads", 3, "cpuparams_batch.n_threads", 3),
    ],
)
def test_values(name: str, value: Any, path: str, result: Any) -> None:
    target = params()
    assert apply(target, {name: value}) == []
    for part in path.split("."):
        target = getattr(target, part)
    assert target == result and type(target) is type(result)


def test_more_threads_for_a_batch_win_whatever_the_order() -> None:
    for args in ({"n_threads": 2, "n_threads_batch": 4}, {"n_threads_batch": 4, "n_threads": 2}):
        target = params()
        apply(target, args)
        assert (target.cpuparams.n_threads, target.cpuparams_batch.n_threads) == (2, 4)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("n_ctxx", 1, "unknown engine_arg 'n_ctxx'; did you mean n_ctx"),
        ("cpuparams.threads", 1, "unknown engine_arg 'cpuparams.threads'"),
        ("zzz", 1, "see xllamacpp's CommonParams"),
        ("__class__", 1, "unknown engine_arg"),
        ("n_ctx", "many", "it is a whole number"),
        ("n_ctx", True, "it is not true or false"),
        ("n_ctx", 1.5, "it is a whole number"),
        ("ratio", "x", "it is a number"),
        ("ui", "yes", "it is true or false"),
        ("kind", "q5", "it is one of unspecified, off, q4_0, q4_1"),
        ("hosts", "x", "takes a list or mapping"),
        ("cpuparams", 1, "set them one by one, such as cpuparams.n_threads"),
        ("port", 1, "is set by pilotlight"),
    ],
)
def test_problems(name: str, value: Any, problem: str) -> None:
    (found,) = apply(params(), {name: value})
    assert problem in found


def test_names_leave_out_what_cannot_be_set() -> None:
    assert {"n_ctx", "kind", "n_threads"} <= set(names(params()))
    assert not {"hosts", "port", "cpuparams"} & set(names(params()))
