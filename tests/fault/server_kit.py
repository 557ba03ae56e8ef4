"""`pilotlight serve` as a real process, engines that misbehave, and plain clients."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fault.guardian_kit import alive, marked

STUB = Path(__file__).parent / "engine_stub.py"
PILOTLIGHT = Path(sys.executable).with_name("pilotlight")
LIMIT = 30.0
"""Seconds after which what ought to come about is given up on; on an idle machine nothing takes half of it."""

WEIGHTS = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pilotlight-test" / "weights"
"""Kept between runs: the demo model."""


def until(condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
    """What the condition came to, once it is true."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what}"
        time.sleep(0.01)
    return found


class Answer(NamedTuple):
    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def said(self) -> str:
        """The words of a completion; of the stub they are its pid."""
        return self.json["choices"][0]["message"]["content"]


class Stub:
    """A model served by the stub: its declaration, its switches, and what it has seen."""

    def __init__(self, folder: Path, name: str = "m", *flags: str, **model: Any) -> None:
        self.name = name
        self.folder = folder / name.replace("/", "_")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(STUB), "${PORT}", str(self.folder), *flags]
        self.model = {"engine": "command", "cmd": " ".join(command), "memory": "64MiB", "ttl": "10m", **model}

    def switch(self, name: str, on: bool = True) -> None:
        path = self.folder / name
        path.touch() if on else path.unlink(missing_ok=True)

    def journal(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        path = self.folder / "journal"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        found = [entry for line in lines if (entry := json.loads(line))["event"] == event]
        return [entry for entry in found if all(entry.get(k) == v for k, v in fields.items())]

    def pids(self) -> list[int]:
        """Every process it ever was, descendants included."""
        return [entry["pid"] for entry in self.journal("born")]

    def starts(self) -> int:
        return len(self.journal("born", kind="main"))

    def requests(self) -> list[str]:
        return [entry["user"] for entry in self.journal("request")]


class Server:
    """Leaving the `with` block ends it with SIGTERM: it ended well, said no traceback and left nothing."""

    program = (str(PILOTLIGHT),)

    def __init__(
        self,
        folder: Path,
        *stubs: Stub,
        args: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        **config: Any,
    ) -> None:
        """`models` beside the stubs, and every other key of the configuration, by its name."""
        self.folder = folder
        self.stubs = stubs
        self.state = folder / "state"
        self.config_path = folder / "pilotlight.yaml"
        self.stderr = folder / "server.log"
        self.runtime = folder / "run"
        self.runtime.mkdir(parents=True, exist_ok=True)
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(self.runtime), **(env or {})}
        self.env.pop("PILOTLIGHT_URL", None)
        self.args = args
        self.config = config
        self.write()
        self.process: subprocess.Popen[bytes]
        self.url = self.token = ""
        self.expected = 0
        """Its exit status; -9 where a test kills it."""

    def write(self, **config: Any) -> None:
        """The configuration file, with changes."""
        self.config = {**self.config, **config}
        models = {s.name: s.model for s in self.stubs} | self.config.get("models", {})
        models = {name: m for name, m in models.items() if m is not None}
        base = {
            "port": 0,
            "state_dir": str(self.state),
            "cache_dir": str(WEIGHTS),
            "memory": "8GiB",
            "gpus": [],
        }
        text = yaml.safe_dump({**base, **self.config, "models": models})
        replaced = self.config_path.with_suffix(".new")
        replaced.write_text(text)
        replaced.replace(self.config_path)

    # -- its life ----------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        with self.stderr.open("ab") as stderr:
            command = [*self.program, "serve", str(self.config_path), *self.args]
            self.process = subprocess.Popen(
                command, env=self.env, stderr=stderr, stdout=stderr, stdin=subprocess.DEVNULL
            )

    def start(self) -> "Server":
        self.launch()
        try:
            said = until(self.announced, "the server is up")
        except BaseException:
            self.process.kill()
            self.process.wait()
            print(self.log())
            raise
        self.url, self.token = said["url"], said["token"]
        return self

    def announced(self) -> Any:
        assert self.process.poll() is None, f"the server ended:\n{self.log()}"
        for path in (self.runtime / "pilotlight").glob(f"*-{self.process.pid}.json"):
            try:
                return json.loads(path.read_text())
            except (ValueError, OSError):
                return None
        return None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, limit: float = LIMIT) -> int:
        return self.process.wait(limit)

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            code = "it did not end"
            self.kill()
        if kind is not None:
            print(self.log())
            return
        assert code == self.expected, f"the server ended with {code}:\n{self.log()}"
        self.no_traceback()
        self.nothing_is_left()

    def no_traceback(self) -> None:
        said = self.log()
        for trouble in (
            "Traceback",
            "could not carry out",
            "never retrieved",
            "never awaited",
            "Task was destroyed",
        ):
            assert trouble not in said, said

    def nothing_is_left(self) -> None:
        until(lambda: not marked(self.folder), "every process of the server is gone")
        for stub in self.stubs:
            until(lambda stub=stub: not any(map(alive, stub.pids())), f"every process of {stub.name} is gone")

    def log(self) -> str:
        return self.stderr.read_text(errors="replace") if self.stderr.exists() else ""

    # -- its clients -------------------------------------------------------------------------------------------------

    def ask(
        self, path: str, body: Any = None, *, method: str | None = None, timeout: float = LIMIT
    ) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read().decode())

    def post(self, path: str) -> Answer:
        return self.ask(path, method="POST")

    def chat(self, model: str = "m", user: str = "", **body: Any) -> Answer:
        messages = [{"role": "user", "content": "hi"}]
        return self.ask("/v1/chat/completions", {"model": model, "user": user, "messages": messages, **body})

    def chats(self, count: int, model: str = "m", **body: Any) -> list[Answer]:
        """All at once."""
        with self.chatting(count, model, **body) as chats:
            pass
        return [chat.result() for chat in chats]

    @contextlib.contextmanager
    def chatting(self, count: int, model: str = "m", **body: Any) -> Iterator[list[Future[Answer]]]:
        """Those that are under way meanwhile; all are answered at the end."""
        with ThreadPoolExecutor(count) as pool:
            yield [pool.submit(self.chat, model, f"{model}{i}", **body) for i in range(count)]

    def stream(self, model: str = "m", **body: Any) -> "Stream":
        return Stream(self, model, body)

    def running(self, model: str = "m") -> list[dict[str, Any]]:
        return [r for r in self.ask("/running").json["replicas"] if r["model"] == model]

    def states(self, model: str = "m") -> list[str]:
        return sorted(r["state"] for r in self.running(model))

    def held(self, model: str = "m") -> int:
        return self.ask("/running").json["held"].get(model, 0)

    def pid(self, model: str = "m") -> int:
        """Of the one replica's engine."""
        rows = until(
            lambda: len(r := self.running(model)) == 1 and r[0]["pid"] and r, f"{model} has one process"
        )
        return rows[0]["pid"]

    def until_states(self, *states: str, model: str = "m") -> None:
        until(lambda: self.states(model) == sorted(states), f"the replicas of {model} are {states}")

    def last_trace(self, model: str = "m") -> dict[str, Any]:
        return self.ask(f"/traces?model={model}").json


class Stream:
    """A streaming request; events are read as they come."""

    def __init__(self, server: Server, model: str, body: dict[str, Any]) -> None:
        where = urllib.parse.urlsplit(server.url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=LIMIT)
        messages = [{"role": "user", "content": "hi"}]
        data = json.dumps({"model": model, "messages": messages, "stream": True, **body})
        self._connection.request("POST", "/v1/chat/completions", data, {"Content-Type": "application/json"})
        self._answer: http.client.HTTPResponse | None = None

    @property
    def answer(self) -> http.client.HTTPResponse:
        if self._answer is None:
            self._answer = self._connection.getresponse()
        return self._answer

    def events(self) -> Iterator[Any]:
        """Parsed, comments left out; `[DONE]` as it is."""
        while line := self.answer.readline():
            if line.startswith(b"data: "):
                yield "[DONE]" if line[6:].strip() == b"[DONE]" else json.loads(line[6:])

    def first(self) -> Any:
        return next(self.events())

    def rest(self) -> list[Any]:
        return list(self.events())

    def leave(self) -> None:
        """As a client whose process is killed."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._connection.close()


class Load:
    """Requests one after the other from some clients, until `stop`; what came of them."""

    def __init__(self, server: Server, model: str = "m", clients: int = 4, **body: Any) -> None:
        self.answers: list[Answer] = []
        self._over = threading.Event()
        self._work = lambda: self._run(server, model, body)
        self._threads = [threading.Thread(target=self._work) for _ in range(clients)]

    def _run(self, server: Server, model: str, body: dict[str, Any]) -> None:
        while not self._over.is_set():
            try:
                self.answers.append(server.chat(model, **body))
            except OSError as e:  # no answer at all
                self.answers.append(Answer(0, {}, repr(e)))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Waits for further answers."""
        there = len(self.answers)
        until(lambda: len(self.answers) >= there + count, f"{count} more answers")

    @property
    def bad(self) -> list[Answer]:
        return [a for a in self.answers if a.status != 200]
