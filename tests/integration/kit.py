"""A real server process on a free port, in folders of its own, and what tests ask of it."""

import asyncio
import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml

HERE = Path(__file__).parent
STAND_IN = HERE / "stand_in.py"
DEADLINE = 20.0
"""Seconds after which a condition that ought to come about is given up on; on an idle machine none takes one."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pilotlight-test"
"""Kept between runs: the demo model, and the Node client."""

_SERVE = """
import sys
from pilotlight.gateway.kitchen import Patience
Patience.__init__.__defaults__ = {patience}
from pilotlight.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Server:
    """`pilotlight serve` as a process. Leaving the `with` block asserts that it ended well and logged no traceback."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *,
        env: dict[str, str] | None = None,
        patience: tuple[float, float, float] = (0.2, 0.3, 0.2),
        args: tuple[str, ...] = (),
        first: str = "",
    ) -> None:
        """`patience`: seconds to the first comment, to the first blank, and between further ones. `first`: Python that
        the process runs first."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run").mkdir(exist_ok=True)
        self.state = folder / "state"
        self.config_path = folder / "pilotlight.yaml"
        self.write(config)
        self.stderr = folder / "stderr.log"
        self._command = [
            sys.executable, "-c", first + _SERVE.format(patience=patience),
            "serve", str(self.config_path), "--port", "0", *args,
        ]  # fmt: skip
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(folder / "run"), **(env or {})}
        self.process: subprocess.Popen[bytes]
        self.url = ""
        self.port = 0
        self.token = ""
        self.may_trace = False
        """Whether a traceback in its log is what the test is about."""

    def write(self, config: dict[str, Any]) -> None:
        whole = {
            "state_dir": str(self.state),
            "cache_dir": str(CACHE / "weights"),
            "memory": "8GiB",
            "gpus": [],
            **config,
        }
        self.config_path.write_text(yaml.safe_dump(whole))

    def __enter__(self) -> "Server":
        with self.stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                self._command, env=self.env, stderr=stderr, stdin=subprocess.DEVNULL
            )
        atexit.register(self.process.kill)  # a test that is given up by a time-out ends nothing itself
        try:
            self._wait_up()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def _wait_up(self) -> None:
        """It announces its port when it listens."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            for path in (self.folder / "run" / "pilotlight").glob(f"*-{self.process.pid}.json"):
                with contextlib.suppress(ValueError, OSError):
                    said = json.loads(path.read_text())
                    self.url, self.port, self.token = said["url"], said["port"], said["token"]
                    assert urllib.request.urlopen(self.url + "/health", timeout=5).status == 200
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"the server did not come up:\n{self.log()}")

    def __exit__(self, kind: object, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "kill -9"
        if kind is None:
            assert code == 0, f"the server ended with {code}:\n{self.log()}"
            self.no_traceback()

    def log(self) -> str:
        return self.stderr.read_text(errors="replace")

    def no_traceback(self) -> None:
        said = self.log()
        assert self.may_trace or "Traceback" not in said, said
        for trouble in (
            "could not carry out",
            "was never retrieved",
            "never awaited",
            "could not be recorded",
        ):
            assert trouble not in said, said

    # -- questions ---------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if answer.headers["Content-Type"] == "application/json" else text.decode()

    def post(self, path: str) -> Any:
        request = urllib.request.Request(
            self.url + path, data=b"", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def running(self, model: str | None = None) -> list[dict[str, Any]]:
        return [r for r in self.get("/running")["replicas"] if model in (None, r["model"])]

    def held(self, model: str) -> int:
        return self.get("/running")["held"].get(model, 0)

    def in_flight(self, model: str | None = None) -> int:
        return sum(r["in_flight"] for r in self.running(model))

    def requests(self) -> list[dict[str, Any]]:
        """The request log; lines may come up to half a second late."""
        path = self.state / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of the samples that have these labels; None without any."""
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        found = [
            float(line.rsplit(" ", 1)[1])
            for line in self.get("/metrics").splitlines()
            if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted)
        ]
        return sum(found) if found else None

    def at_rest(self) -> None:
        """Nothing is held and nothing runs."""
        until(lambda: self.in_flight() == 0 and not self.get("/running")["held"], "requests were left behind")


class StandIn:
    """A model that a stand-in serves, and what it saw. With `gated` it is not up before `open` is called."""

    def __init__(self, folder: Path, name: str, gated: bool = False, **model: Any) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.gate, self.fail = self.folder / "gate", self.folder / "fail"
        self.refuse = self.folder / "refuse"
        self.journal = self.folder / "journal"
        env = {"JOURNAL": str(self.journal), "FAIL": str(self.fail), "REFUSE": str(self.refuse)}
        if gated:
            env["GATE"] = str(self.gate)
        self.model: dict[str, Any] = {
            "engine": "command",
            "cmd": f"{sys.executable} -I -S {STAND_IN} ${{PORT}}",
            "memory": "64MiB",
            "ttl": "10m",
            "env": env,
            **model,
        }

    def open(self) -> None:
        self.gate.touch()

    def seen(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        lines = self.journal.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [e for e in entries if e["event"] == event and all(e.get(k) == v for k, v in fields.items())]

    async def sees(self, event: str, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        await eventually(
            lambda: len(self.seen(event, **fields)) >= count, f"{self.name}: no {count} {event} {fields}"
        )
        return self.seen(event, **fields)


def until(
    condition: Callable[[], object], complaint: str = "it did not happen", seconds: float = DEADLINE
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.01)


async def eventually(
    condition: Callable[[], object], complaint: str = "it did not happen", seconds: float = DEADLINE
) -> None:
    """For a condition that asks the server: it runs in a thread, so that the test's own connections go on."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, complaint
        await asyncio.sleep(0.01)


class Client:
    """Plain requests, without the wisdom of an OpenAI client."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    def chat(
        self, model: str, *, stream: bool = False, do: dict[str, Any] | None = None, **fields: Any
    ) -> Any:
        """An aiohttp response to be awaited or entered; `headers` and `path` are not part of the body."""
        headers = fields.pop("headers", {})
        path = fields.pop("path", "/v1/chat/completions")
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
        if stream:
            body["stream"] = True
        if do is not None:
            body["do"] = do
        return self.session.post(self.server.url + path, json=body, headers=headers)

    async def answer(self, model: str, **more: Any) -> tuple[int, Any, Any]:
        """Status, headers, and the body: parsed, or a stream's text."""
        async with self.chat(model, **more) as response:
            text = await response.text()
            body = json.loads(text) if response.content_type == "application/json" else text
            return response.status, response.headers, body


@contextlib.asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(server, session)


def events(text: str) -> list[Any]:
    """The data of a stream's events, parsed; `[DONE]` as it is."""
    found = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [e if e == "[DONE]" else json.loads(e) for e in found]


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(":")]
