"""Simulations in processes of their own."""

import os
import signal
import tempfile
from multiprocessing import resource_tracker, util
from pathlib import Path
from threading import Thread, get_ident

import numpy as np
import pytest

from pilotlight.advise import playing
from pilotlight.advise.playing import Job, player
from pilotlight.errors import PilotlightError
from pilotlight.sim.defaults import default_config
from pilotlight.sim.starts import constant
from unit.advise.kit import traffic

TRACES = {"": traffic(np.arange(0.0, 2000.0, 10.0))}
JOBS = [Job("one", default_config(), constant(5.0)), Job("two", default_config(), constant(40.0))]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files of a while go."""
    monkeypatch.setattr(playing, "WORTH_IT", 1)
    monkeypatch.setattr(playing.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_processes_find_what_this_one_would_and_leave_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with player(TRACES, 0) as play:
        there = play(JOBS)
        assert list(folder.iterdir())
    assert not list(folder.iterdir())
    monkeypatch.setattr(playing, "WORTH_IT", 1000)
    with player(TRACES, 0) as play:
        here = play(JOBS)
    assert [(r.cold_rate, r.cost_usd, r.starts) for r in there] == [
        (r.cold_rate, r.cost_usd, r.starts) for r in here
    ]


def test_a_process_that_cannot_begin_is_waited_for_by_nobody(folder: Path) -> None:
    with pytest.raises(PilotlightError, match="was ended from outside"), player(TRACES, 0) as play:
        next(folder.glob("*/traces")).unlink()
        play(JOBS)
    assert not list(folder.iterdir())


def test_a_process_heeds_no_interrupt_from_its_first_moment_on(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = util.spawnv_passfds  # pyright: ignore[reportAttributeAccessIssue]

    def interrupted(*args: object) -> int:
        pid = spawn(*args)
        os.kill(pid, signal.SIGINT)
        return pid

    monkeypatch.setattr(util, "spawnv_passfds", interrupted)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with player(TRACES, 0) as play:
        assert len(play(JOBS)) == len(JOBS)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before, "this one does"


def test_an_interrupt_that_another_thread_gets_while_a_process_begins_waits_until_it_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = util.spawnv_passfds  # pyright: ignore[reportAttributeAccessIssue]
    begun: list[int] = []

    def interrupted(*args: object) -> int:
        other = Thread(target=lambda: signal.pthread_kill(get_ident(), signal.SIGINT))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        other.start()
        other.join()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        begun.append(spawn(*args))
        return begun[-1]

    resource_tracker.ensure_running()
    monkeypatch.setattr(util, "spawnv_passfds", interrupted)
    with pytest.raises(KeyboardInterrupt), player(TRACES, 0) as play:
        play(JOBS)
    assert len(begun) == 2, "nothing was left half begun"
    assert not list(folder.iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_room_for_the_traces_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    with pytest.raises(PilotlightError, match="set TMPDIR"), player(TRACES, 0):
        pass
