"""Fifty models that are put to sleep and woken at random under load for a minute: nothing is lost, nothing is left."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fault.guardian_kit import linux_only
from fault.server_kit import Answer, Server, until
from fault.sleep_kit import SleepyServer, SleepyStub

pytestmark = [linux_only, pytest.mark.timeout(240)]

SECONDS = 60.0
MODELS = 50
CLIENTS = 4


class Storm:
    """Requests and orders for models at random, until `until`, from several threads. What one of them meets is
    raised by `run`."""

    def __init__(self, server: Server, names: list[str], until: float) -> None:
        self.answers: list[tuple[str, Answer]] = []
        self._server = server
        self._names = names
        self._until = until

    def run(self) -> None:
        work = [self._ask] * CLIENTS + [self._order]
        with ThreadPoolExecutor(len(work)) as threads:
            done = [threads.submit(w, random.Random(i)) for i, w in enumerate(work)]
        for each in done:
            each.result()

    def _ask(self, rng: random.Random) -> None:
        while time.monotonic() < self._until:
            name = rng.choice(self._names)
            try:
                answer = self._server.chat(name)
            except OSError as e:  # no answer at all
                answer = Answer(0, {}, repr(e))
            self.answers.append((name, answer))

    def _order(self, rng: random.Random) -> None:
        while time.monotonic() < self._until:
            order = rng.choice(["sleep", "sleep", "sleep?level=2", "wake_up"])
            assert self._server.post(f"/models/{rng.choice(self._names)}/{order}").status == 202
            time.sleep(0.01)


def test_fifty_models_sleep_and_wake_under_load_and_nothing_is_lost(tmp_path: Path):
    stubs = [
        SleepyStub(tmp_path, f"m{i}", sleep_after="50ms", startup_timeout="1m", probe_interval="1s")
        for i in range(MODELS)
    ]
    # Not all of them at once: some are put aside, and others end, to make room.
    with SleepyServer(tmp_path, *stubs, memory="1GiB") as server:
        storm = Storm(server, [stub.name for stub in stubs], time.monotonic() + SECONDS)
        storm.run()
        assert [(name, a.status, a.text) for name, a in storm.answers if a.status != 200] == []
        started = Counter(a.headers["x-pilotlight-start"] for _, a in storm.answers)
        assert started["woken"] > SECONDS, started
        until(lambda: not server.ask("/running").json["held"], "nothing is held")
        assert [entry for stub in stubs for entry in stub.journal("request", asleep=True)] == []
        asked = Counter(name for name, _ in storm.answers)
        assert {stub.name: len(stub.requests()) for stub in stubs if stub.requests()} == asked, (
            "each was served once"
        )
        metrics = server.ask("/metrics").text.splitlines()
        died = [line for line in metrics if line.startswith("pilotlight_replicas_died_total")]
        assert all(line.endswith(" 0.0") for line in died), died
