"""One server, asked from outside over HTTP as any client does."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pilotlight.bench.result import Lap, Run
from pilotlight.errors import PilotlightError, ServerError

MODEL = "model"
"""What the model under test is called in its server."""

POLL = 0.02
"""Seconds between two questions about what runs."""

MAX_TOKENS = 4
"""Of an answer: only its first is timed."""


class Asking:
    """`timeout` in seconds, for a whole request: a start is part of it."""

    def __init__(self, port: int, timeout: float) -> None:
        self._port = port
        self._timeout = timeout

    def ask(self, prompt: str) -> Run:
        """Streams an answer to its end. Raises PilotlightError in the server's own words."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        with contextlib.closing(connection):
            connection.connect()
            sent = time.monotonic()
            try:
                ttft, headers = self._stream(connection, prompt, sent)
            except (OSError, http.client.HTTPException) as e:
                raise ServerError(f"the server under test ended the request: {e}") from None
        return _run(ttft, self._trace(headers["x-pilotlight-request-id"]))

    def _stream(
        self, connection: http.client.HTTPConnection, prompt: str, sent: float
    ) -> tuple[float, http.client.HTTPMessage]:
        body = {
            "model": MODEL,
            "stream": True,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "prompt": prompt,
        }
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise PilotlightError(_message(answer.read()))
        first = None
        while line := answer.readline():
            if not line.startswith(b"data: {"):
                continue
            event = msgspec.json.decode(line[6:])
            if "error" in event:
                raise PilotlightError(str(event["error"].get("message", event["error"])))
            first = first or time.monotonic() - sent
        if first is None:
            raise PilotlightError("the answer had nothing in it")
        return first, answer.headers

    def _trace(self, request: str) -> dict[str, Any]:
        """It is recorded a moment after the answer's last byte."""
        found: dict[str, Any] = {}

        def recorded() -> bool:
            status, answer = self._call("GET", f"/traces/{request}")
            found.update(answer)
            return status == 200

        wait_until(recorded, 10.0, "the trace of a request")
        return found

    # -- orders ----------------------------------------------------------------------------------------------------

    def running(self) -> dict[str, Any]:
        return self._call("GET", "/running")[1]

    def stop(self, within: float) -> None:
        """Until nothing runs."""
        self._order(f"/models/{MODEL}/stop")
        wait_until(lambda: not self.running()["replicas"], within, "the model to go to zero")

    def sleep(self, level: int, within: float) -> str:
        """Until it sleeps; why it does not, empty when it does."""
        states: list[str] = []

        def settled() -> bool:
            states[:] = [r["state"] for r in self.running()["replicas"]]
            return not states or states == ["asleep"]

        try:
            self._order(f"/models/{MODEL}/sleep?level={level}")
            wait_until(settled, within, "the model to sleep")
        except PilotlightError as e:
            return str(e)
        return "" if states else "it was stopped in place of going to sleep"

    def _order(self, path: str) -> None:
        status, answer = self._call("POST", path)
        if status >= 400:
            raise PilotlightError(str(answer.get("error", {}).get("message", f"{path} answered {status}")))

    def _call(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30.0)
        with contextlib.closing(connection):
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                return answer.status, msgspec.json.decode(answer.read(), type=dict[str, Any])
            except (OSError, http.client.HTTPException, msgspec.DecodeError) as e:
                raise ServerError(f"the server under test does not answer {path}: {e}") from None


def wait_until(what: Callable[[], bool], within: float, name: str) -> None:
    """Raises ServerError after `within` seconds."""
    end = time.monotonic() + within
    while not what():
        if time.monotonic() > end:
            raise ServerError(f"waited {within:g} s for {name}")
        time.sleep(POLL)


def _run(ttft: float, trace: dict[str, Any]) -> Run:
    laps = tuple(Lap(s["stage"], s["start_s"], s["seconds"]) for s in trace["spans"])
    return Run(ttft, laps, trace["start"], tuple(trace["techniques"]), trace.get("fell_back", ""))


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace")
