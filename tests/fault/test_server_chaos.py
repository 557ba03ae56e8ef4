"""Kills, hangs, operators and reloads at random, under load: every request ends, and nothing sticks."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from fault.guardian_kit import linux_only
from fault.server_kit import Load, Server, Stub, until

pytestmark = linux_only

ENDS = {200: {""}, 502: {"engine_died"}, 503: {"start_failed", "model_stopped"}}
"""What a request may come to while engines are killed and operators stop models: status and code."""


def test_every_request_ends_and_nothing_sticks(tmp_path: Path):
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    quick = {"probe_interval": "100ms", "probe_timeout": "500ms", "ttl": "1s", "startup_timeout": "3s"}
    scaled = {"max_replicas": 2, "target_requests": 2, "max_requests": 4}
    stubs = [
        Stub(tmp_path, "a", memory="1GiB", **quick, **scaled),
        Stub(tmp_path, "b", memory="1GiB", **quick),
    ]
    with Server(tmp_path, *stubs, memory="2500MiB") as server:
        with Load(server, "a", 4, every=0.005) as a, Load(server, "b", 2, every=0.005) as b:
            over = time.monotonic() + 6
            while time.monotonic() < over:
                disturb(rng, server, stubs)
                time.sleep(rng.choice([0.0, 0.05, 0.3]))
            for stub in stubs:  # or those who wait for the end of a back-off lose patience before it
                stub.switch("fail", False)
                until(lambda stub=stub: heals(server, stub), f"{stub.name} comes up again")
        ends = Counter((x.status, x.error["code"] if x.status > 200 else "") for x in a.answers + b.answers)
        print(ends)
        assert all(code in ENDS.get(status, ()) for status, code in ends), ends
        assert ends[200, ""] > 20, ends
        for stub in stubs:
            until(lambda stub=stub: server.chat(stub.name).status == 200, f"{stub.name} is served again")
        assert server.ask("/running").json["held"] == {}
        assert all(r["in_flight"] == 0 for name in "ab" for r in server.running(name))


def heals(server: Server, stub: Stub) -> bool:
    server.post(f"/models/{stub.name}/warm")  # ends the back-off, which may be 30 s by now
    return "ready" in server.states(stub.name)


def disturb(rng: random.Random, server: Server, stubs: list[Stub]) -> None:
    stub = rng.choice(stubs)
    what = rng.choice(["kill", "kill", "hang", "stop", "warm", "reload", "fail"])
    if what in ("kill", "hang"):
        pids = [r["pid"] for r in server.running(stub.name) if r["pid"]]
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(rng.choice(pids), signal.SIGKILL if what == "kill" else signal.SIGSTOP)
    elif what in ("stop", "warm"):
        assert server.post(f"/models/{stub.name}/{what}").status == 202
    elif what == "reload":
        stub.model = {**stub.model, "env": {"LABEL": str(rng.random())}}
        server.write()
        assert server.post("/reload").status == 200
    else:
        stub.switch("fail", rng.random() < 0.3)
