"""llama.cpp brought up as a worker does it, without the server around it, for what is compared in small."""

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pilotlight.engines.llamacpp import LlamaCppEngine
from pilotlight.spec.model import Model

TOKENS = 16
"""Of the answer by which a token's time is told."""


class Run(msgspec.Struct, frozen=True):
    """Seconds of one start and of its first requests."""

    runtime: float
    """Process and imports."""
    load: float
    first: float
    """Of a prompt of a few tokens, as is the next, once it is ready."""
    token: float
    """Each further one."""

    @property
    def cold(self) -> float:
        return self.runtime + self.load + self.first


def start(weights: Path, args: Mapping[str, bool | int | float | str], slots: int = 1) -> Run:
    """From the process to its answers, and ends it. Raises RuntimeError with what the engine says."""
    engine = LlamaCppEngine()
    model = Model(source=str(weights), engine_args=dict(args), max_requests=slots)
    launch = engine.launch(model, 0, (), weights.parent)
    ours, theirs = socket.socketpair()
    env = {**os.environ, **launch.env, "PILOTLIGHT_CHANNEL": str(theirs.fileno())}
    begun = time.monotonic()
    with tempfile.TemporaryFile() as log, ours, ours.makefile() as said:
        process = subprocess.Popen(
            launch.argv, env=env, pass_fds=[theirs.fileno()], stdout=log, stderr=log, start_new_session=True
        )
        theirs.close()
        try:
            order = {"weights": str(weights), "args": engine.settings(model, None)}
            ours.sendall(json.dumps(order).encode() + b"\n")
            at = dict[str, float]()
            for line in said:
                event = json.loads(line)
                if event["event"] == "stage":
                    at[event["name"]] = event["end"]
                elif event["event"] == "ready":
                    first, token = asked(event["port"])
                    return Run(at["import"] - begun, at["load"] - at["import"], first, token)
                elif event["event"] == "error":
                    raise RuntimeError(event["message"])
            raise RuntimeError("llama.cpp ended before it was ready")
        finally:
            process.kill()
            process.wait()


def asked(port: int) -> tuple[float, float]:
    """Seconds to the first token, and of each further one of another answer."""
    began = time.monotonic()
    complete(port, "To begin", 1)
    first = time.monotonic() - began
    timings = complete(port, "Once more", TOKENS)["timings"]
    return first, timings["predicted_ms"] / 1000 / (timings["predicted_n"] - 1)


def complete(port: int, prompt: str, tokens: int) -> dict:
    body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "cache_prompt": False}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)
