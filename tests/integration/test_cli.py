"""Every verb as its user runs it: a process, its output for people and for programs, its exit status.

Whatever it is given, it says in a line or two what was wrong, and shows nobody a traceback.
"""

import http.server
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fault.guardian_kit import linux_only
from fault.server_kit import PILOTLIGHT, WEIGHTS, Server, Stub, until
from pilotlight import __version__
from pilotlight.cli.main import VERBS, main
from pilotlight.weights.cache import WeightCache

pytestmark = linux_only

NAME = "org/model:7b"
"""As models are called; a slash and a colon are part of it."""


class Said:
    def __init__(self, process: "subprocess.CompletedProcess[bytes]") -> None:
        self.code = process.returncode
        self.out = process.stdout.decode(errors="replace")
        self.err = process.stderr.decode(errors="replace")

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n--- stderr\n{self.err}"


class Shell:
    """Runs the command line in a folder of its own, where no server but the test's is found."""

    def __init__(
        self, folder: Path, runtime: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._patch, self._capsys = patch, capsys
        cache = folder / "cache" / "pilotlight"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PILOTLIGHT")},
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(cache.parent),
            "HF_ENDPOINT": "http://127.0.0.1:1",
            "COLUMNS": "100",
        }

    def popen(self, *words: str | bytes, **more: Any) -> "subprocess.Popen[bytes]":
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        env = {**self.env, **more.pop("env", {})}
        return subprocess.Popen([str(PILOTLIGHT), *words], cwd=self.folder, env=env, **{**pipes, **more})

    def __call__(self, *words: str | bytes, text: str | None = None, **more: Any) -> Said:
        with self.popen(*words, **more, **({} if text is None else {"stdin": subprocess.PIPE})) as process:
            try:
                out, err = process.communicate(None if text is None else text.encode(), timeout=60)
            finally:
                process.kill()  # nothing, unless it did not end
        said = Said(subprocess.CompletedProcess(words, process.returncode, out or b"", err or b""))
        assert "Traceback" not in said.out + said.err, said
        assert "Exception ignored" not in said.err, said
        assert "an error of its own" not in said.err, said
        return said

    def quick(self, *words: str) -> Said:
        """Without a process of its own, which takes a quarter of a second: for what differs only in its words."""
        with self._patch.context() as patch:
            patch.chdir(self.folder)
            for name in [n for n in os.environ if n.startswith("PILOTLIGHT")]:
                patch.delenv(name)
            for name, value in self.env.items():
                patch.setenv(name, value)
            code = main(words)
        out, err = self._capsys.readouterr()
        said = Said(subprocess.CompletedProcess(words, code, out.encode(), err.encode()))
        assert "an error of its own" not in said.err, said
        return said

    def fails(self, *words: str | bytes, code: int = 1, **more: Any) -> str:
        """What it says on stderr."""
        texts = [w for w in words if isinstance(w, str)]
        said = self(*words, **more) if more or len(texts) < len(words) else self.quick(*texts)
        assert said.code == code, said
        assert said.out == "", said
        assert said.err.strip(), "silence is no explanation"
        return said.err


@pytest.fixture(scope="module")
def demo() -> Path:
    """The weights of the demo model, made once for all runs."""
    return WeightCache(WEIGHTS).fetch("demo://50m")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cli")
    good = Stub(folder, NAME, ttl="1h", aliases=["short"])
    bad = Stub(folder, "bad", startup_timeout="5s")
    bad.switch("fail")
    with Server(folder, good, bad) as running:
        yield running


@pytest.fixture
def sh(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    return Shell(tmp_path, server.runtime, monkeypatch, capsys)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Where no server runs."""
    (tmp_path / "run").mkdir()
    return Shell(tmp_path, tmp_path / "run", monkeypatch, capsys)


@pytest.fixture
def up(server: Server) -> Server:
    """The good model is up and has served."""
    assert server.chat(NAME).status == 200
    return server


# -- what needs no server --------------------------------------------------------------------------------------------


def test_version(alone: Shell):
    assert alone("version").out == f"pilotlight {__version__}\n"
    assert alone("--version").out == f"pilotlight {__version__}\n"
    assert alone("version", "--json").json["version"] == __version__


def test_the_overview_names_every_verb(alone: Shell):
    for words in ((), ("--help",), ("help",), ("-h",)):
        said = alone.quick(*words)
        assert said.code == 0
        assert all(verb in said.out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps(alone: Shell, verb: str):
    said = alone.quick(verb, "--help")
    assert said.code == 0
    assert f"pilotlight {verb}" in said.out


@pytest.mark.parametrize("words", [("sreve",), ("",), ("--port", "1"), ("\x1b[31m",), (b"\xff\xfe",)])
def test_an_unknown_verb(alone: Shell, words: tuple[str | bytes, ...]):
    said = alone.fails(*words, code=2)
    assert "the verbs are serve, run" in said


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option(alone: Shell, verb: str):
    assert "usage:" in alone.fails(verb, "--no-such-option", code=2)


def test_init_writes_a_file_that_checks(alone: Shell):
    said = alone("init")
    assert said.code == 0
    assert "pilotlight serve" in said.out
    assert alone("check").out.startswith("pilotlight.yaml: no problems; ")
    assert "there already; --force" in alone.fails("init")
    assert alone("init", "--force").code == 0
    assert "cannot be written" in alone.fails("init", "no/such/folder/x.yaml")
    assert "cannot be written" in alone.fails("init", "--force", ".")


def test_check_says_everything_that_is_wrong(alone: Shell):
    config = alone.folder / "c.yaml"
    config.write_text("port: 99999\nmodels:\n  m:\n    source: demo://50m\n    tll: 5m\n    gpus: many\n")
    said = alone.fails("check", "c.yaml", code=2)
    assert "c.yaml:1: port:" in said
    assert "c.yaml:5: models.m.tll:" in said
    assert "c.yaml:6: models.m.gpus:" in said
    as_json = alone("check", "c.yaml", "--json")
    assert as_json.code == 2
    assert not as_json.json["ok"]
    assert {p["key"] for p in as_json.json["problems"]} >= {"port", "models.m.tll", "models.m.gpus"}


def test_check_asks_the_engine_about_its_arguments(alone: Shell):
    (alone.folder / "c.yaml").write_text("models: {m: {source: 'demo://50m', engine_args: {n_ctxx: 5}}}")
    assert "models.m.engine_args" in alone.fails("check", "c.yaml", code=2)


def test_check_prints_the_schema(alone: Shell):
    assert alone("check", "--schema").json["title"] == "pilotlight config"


def test_check_json_of_a_good_file(alone: Shell):
    (alone.folder / "c.yaml").write_text("models: {m: {source: 'demo://50m'}}")
    assert alone("check", "c.yaml", "--json").json == {"ok": True, "models": ["m"], "problems": []}


FILES = {
    "missing": None,
    "a folder": "/",
    "binary": b"\xff\xfe\0",
    "empty": b"",
    "a list": b"- a",
    "huge": b"#" * 2**20,
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("verb", ["check", "serve", "list"])
def test_a_file_that_is_no_configuration(alone: Shell, verb: str, what: str):
    config = alone.folder / "c.yaml"
    if what == "a folder":
        config.mkdir()
    elif FILES[what] is not None:
        config.write_bytes(FILES[what])  # type: ignore[arg-type]
    assert "c.yaml" in alone.fails(verb, "c.yaml", code=2)


@pytest.mark.parametrize("name", [b"\xff\xfe.yaml", "a" * 300, "new\nline", "~nobody/x"])
@pytest.mark.parametrize("verb", ["check", "serve", "list", "init"])
def test_a_hostile_file_name(alone: Shell, verb: str, name: str | bytes):
    said = alone(verb, name) if isinstance(name, bytes) else alone.quick(verb, name)
    assert said.code in ((0, 1) if verb == "init" else (2,)), said


def test_list_shows_models_and_weights(alone: Shell, demo: Path):
    (alone.folder / "c.yaml").write_text(
        f"cache_dir: {WEIGHTS}\nmodels: {{m: {{source: 'demo://50m'}}, c: {{engine: command, cmd: 'x ${{PORT}}'}}}}"
    )
    said = alone("list", "c.yaml").out
    assert "demo://50m" in said
    assert "IN THE CACHE" in said
    rows = alone("list", "c.yaml", "--json").json
    assert {m["model"]: m["here"] for m in rows["models"]} == {"m": True, "c": None}
    assert any(w["bytes"] == demo.stat().st_size for w in rows["weights"])
    assert alone("list").out == "the cache is empty\n"
    assert alone("list", "--json").json == {"models": [], "weights": []}


# -- weights ---------------------------------------------------------------------------------------------------------


def test_pull(alone: Shell, demo: Path):
    said = alone("pull", "demo://50m", "--cache-dir", str(WEIGHTS))
    assert said.out.strip() == str(demo)
    row = alone("pull", "demo://50m", "--cache-dir", str(WEIGHTS), "--json").json
    assert row == {"source": "demo://50m", "path": str(demo), "bytes": demo.stat().st_size}


@pytest.mark.parametrize(
    "source",
    [
        "demo://7000b", "no/such/file.gguf", "gopher://x/y.gguf", "hf://", "hf://org", "https://", "", " ", "://", "/",
        "http://127.0.0.1:99999/x.gguf", "https://[::1", "hf://a/b/../../c.gguf",
        "a" * 5000, b"\xff\xfe.gguf", "hf://org/repo/\x1b.gguf",
    ],
)  # fmt: skip
def test_a_source_that_is_none(alone: Shell, source: str | bytes):
    alone.fails("pull", "--cache-dir", "weights", "--", source)


def test_a_cache_that_cannot_be_written(alone: Shell):
    (alone.folder / "file").write_text("")
    alone.fails("pull", "demo://50m", "--cache-dir", "file/below")
    alone.fails("pull", "demo://50m", "--cache-dir", "file")


def test_ctrl_c_during_a_pull_leaves_no_half_file_and_the_next_one_works(alone: Shell):
    cache = alone.folder / "weights"
    with alone.popen("pull", "demo://50m", "--cache-dir", str(cache)) as process:
        until(lambda: process.poll() is not None or any(f.is_file() for f in cache.rglob("*")), "it writes")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode in (130, 0), err
    assert b"Traceback" not in err
    if process.returncode == 130:
        assert out == b""
        assert not list(cache.rglob("*.gguf"))
    assert alone("pull", "demo://50m", "--cache-dir", str(cache)).code == 0


# -- run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_demo(alone: Shell, demo: Path) -> Shell:
    (alone.folder / "cache").mkdir()
    (alone.folder / "cache" / "pilotlight").symlink_to(WEIGHTS)
    return alone


def test_run_answers_a_prompt_and_shows_where_the_wait_went(with_demo: Shell):
    said = with_demo(
        "run", "demo://50m", "hello", "--max-tokens", "5", "--seed", "1", "--trace", "--context", "256"
    )
    assert said.code == 0, said
    assert said.out.strip()
    for stage in ("spawn", "load", "first_token", "cold"):
        assert stage in said.err


def test_run_reads_its_prompt_from_stdin_and_takes_a_path(with_demo: Shell, demo: Path):
    said = with_demo("run", str(demo), "--max-tokens", "3", "--context", "256", text="hello from a pipe")
    assert said.code == 0, said
    assert said.out.strip()


@pytest.mark.parametrize(
    "words",
    [
        ("no/such.gguf", "hi"), ("demo://nothing", "hi"), ("", "hi"), (".", "hi"), ("/etc/passwd", "hi"),
        ("demo://50m", "x " * 3000, "--context", "64"),
    ],
)  # fmt: skip
def test_run_says_what_is_wrong(with_demo: Shell, words: tuple[str, ...]):
    with_demo.fails("run", *words)


@pytest.mark.parametrize("option", ["--context", "--max-tokens"])
@pytest.mark.parametrize("value", ["-5", "0", "many", "1.5"])
def test_run_takes_counts_only(with_demo: Shell, option: str, value: str):
    assert f"argument {option}" in with_demo.fails("run", "demo://50m", "hi", option, value, code=2)


def test_ctrl_c_during_a_run_leaves_nothing(with_demo: Shell):
    with with_demo.popen(
        "run", "demo://50m", "tell me", "--max-tokens", "4000", "--temperature", "1"
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    until(lambda: not any(p.is_running() and p.status() != "zombie" for p in family), "its engine is gone")


# -- a running server ------------------------------------------------------------------------------------------------


def test_ps(sh: Shell, up: Server):
    head, *rows = sh("ps").out.splitlines()
    assert head.split() == [
        "MODEL",
        "REPLICA",
        "STATE",
        "AGE",
        "MEMORY",
        "DEVICE",
        "IN",
        "FLIGHT",
        "IDLE",
        "LEFT",
    ]
    (row,) = [r for r in rows if r.startswith(NAME)]
    assert "ready" in row
    assert "cpu" in row
    (replica,) = [r for r in sh("ps", "--json").json["replicas"] if r["model"] == NAME]
    assert replica["state"] == "ready"
    assert {"model", "replica", "state", "pid", "since_s", "memory_bytes", "in_flight"} <= set(replica)


def test_warm_and_stop(sh: Shell, server: Server):
    said = sh("warm", NAME, "--wait")
    assert said.out == f"{NAME}: 1 ready\n"
    assert sh("warm", "short", "--wait", "--json").json == {"model": NAME, "replicas": {"ready": 1}}
    assert sh("stop", NAME).out.startswith(f"{NAME}: 1 ")
    server.until_states(model=NAME)
    assert sh("stop", NAME).out == f"{NAME}: nothing was up\n"
    assert sh("stop", "short", "--json").json == {"model": NAME, "replicas": {}}


def test_warm_says_when_it_came_to_nothing(sh: Shell):
    said = sh.fails("warm", "bad", "--wait")
    assert "bad did not come up; " in said and " is gone: the engine exited with status " in said
    assert "the stub was told to fail" in said
    assert "the stub was told to fail" in sh("logs", "bad").out


@pytest.mark.parametrize("verb", ["warm", "stop", "sleep", "wake"])
@pytest.mark.parametrize(
    "model", ["nobody", "", "../../health", "a b?c#d", "%00", "é" * 50, "x" * 5000, b"\xff\xfe"]
)
def test_an_unknown_model(sh: Shell, verb: str, model: str | bytes):
    sh.fails(verb, "--", model)


def test_logs(sh: Shell, up: Server):
    assert sh("logs", NAME).out == "the stub is born\n"
    assert sh("logs", NAME, "-n", "0").out == ""
    assert re.search("no log of 'nobody' .* 'nobody' does not exist", sh.fails("logs", "nobody"))
    sh.fails("logs", "")
    sh.fails("logs", "..")
    sh.fails("logs", b"\xff")


@pytest.mark.parametrize("written", [True, False])
def test_where_an_engine_has_written_nothing_the_reason_is_said(sh: Shell, server: Server, written: bool):
    sh.fails("warm", "bad", "--wait")
    for log in (server.state / "logs" / "bad").glob("*.log"):
        log.write_bytes(b"") if written else log.unlink()
    said = sh("logs", "bad").err if written else sh.fails("logs", "bad")
    assert " is gone: the engine exited with status " in said


def test_logs_can_be_followed_until_ctrl_c(sh: Shell, server: Server):
    server.post(f"/models/{NAME}/stop")
    server.until_states(model=NAME)
    with sh.popen("logs", NAME, "-f") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"the stub is born\n"
        server.chat(NAME)
        assert process.stdout.readline() == b"the stub is born\n", "the next replica's"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == b""


def test_trace(sh: Shell, up: Server):
    request = up.chat(NAME).headers["x-pilotlight-request-id"]
    said = sh("trace", request).out
    assert said.startswith(f"{request}  {NAME}  warm  ok (200)")
    assert "first byte" in said
    told = sh("trace", request, "--json").json
    assert (told["request_id"], told["prices"]["date"]) == (request, "2026-06-30")
    assert sh("trace", "--model", NAME, "--json").json["model"] == NAME
    assert sh("trace").out
    assert "at the server's prices" in said
    assert "prices are examples of 2026-06-30 until you set your own" in said.splitlines()[-1]


@pytest.mark.parametrize("id", ["req-unknown", "../running", "a b", "?", b"\xff"])
def test_an_unknown_trace(sh: Shell, id: str | bytes):
    sh.fails("trace", "--", id)


def test_a_trace_of_a_model_that_nobody_asked(sh: Shell):
    assert "no request" in sh.fails("trace", "--model", "nobody")


def test_reload(sh: Shell, server: Server):
    assert sh("reload").out == "nothing changed\n"
    server.write(objective={"wait": "3s"})
    assert sh("reload", "--json").json == {
        "changes": ["objective changed; it takes effect at the next start"]
    }
    good = server.config_path.read_text()
    server.config_path.write_text("models: 5")
    assert str(server.config_path) in sh.fails("reload")
    server.config_path.write_text(good)
    server.write(objective={"wait": "2s"})
    assert sh("reload").code == 0


# -- no server, the wrong one, several -------------------------------------------------------------------------------

TALK = [("ps",), ("warm", "m"), ("stop", "m"), ("sleep", "m"), ("wake", "m"), ("trace",), ("reload",)]


@pytest.mark.parametrize("words", TALK)
def test_no_server(alone: Shell, words: tuple[str, ...]):
    assert "no pilotlight server of yours runs on this machine; start one, or give --url" in alone.fails(
        *words
    )
    assert "on port 12345" in alone.fails(*words, "--port", "12345")


def test_logs_outlive_their_server_and_say_where_they_were_looked_for(alone: Shell):
    assert "no log of 'm' under" in alone.fails("logs", "m")
    log = alone.folder / "state" / "pilotlight" / "logs" / "m" / "1.log"
    log.parent.mkdir(parents=True)
    log.write_text("last words")
    assert alone("logs", "m").out == "last words\n"


URLS = [
    "", "x", "ftp://127.0.0.1", "file:///etc/passwd", "http://", "http://[::1", "http://127.0.0.1:99999",
    "http://127.0.0.1:port", "http://127.0.0.1:1", "http://exa mple", "http://a\nb", "http://" + "a" * 70 + ".invalid",
    "https://127.0.0.1:1", "http://\u2603\u2603", b"http://\xff", "http://127.0.0.1:1/\u00e9",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_an_address_where_nothing_is(alone: Shell, url: str | bytes):
    alone.fails("ps", "--url", url)


class Other(http.server.BaseHTTPRequestHandler):
    """A server that is none of ours."""

    answer = b""

    def do_GET(self) -> None:
        self.wfile.write(self.answer)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


ANSWERS = {
    "html": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>hello</html>",
    "a list": b"HTTP/1.1 200 OK\r\n\r\n[]",
    "an object": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "a number": b"HTTP/1.1 200 OK\r\n\r\n1",
    "404": b"HTTP/1.1 404 Not Found\r\n\r\nno",
    "a strange error": b'HTTP/1.1 500 X\r\n\r\n{"error": "text"}',
    "no http": b"SSH-2.0-OpenSSH_9\r\n",
    "nothing": b"",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_server_that_is_none_of_ours(alone: Shell, what: str):
    handler = type("Handler", (Other,), {"answer": ANSWERS[what]})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        for words in TALK:
            assert url in alone.fails(*words, "--url", url)
        other.shutdown()


def test_several_servers_are_told_apart_by_their_port(sh: Shell, server: Server, tmp_path: Path):
    stub = Stub(tmp_path)
    second = Server(tmp_path, stub)
    second.runtime = server.runtime
    second.env["XDG_RUNTIME_DIR"] = str(server.runtime)
    with second:
        ports = [s.url.rsplit(":", 1)[1] for s in (server, second)]
        said = sh.fails("ps")
        assert "several servers run on this machine; choose one with --port" in said
        assert all(port in said for port in ports)
        assert sh("ps", "--port", ports[1]).out == "no replicas are up\n"
        assert sh("ps", env={"PILOTLIGHT_URL": second.url}).code == 0
    assert sh("ps").code == 0, "the one that is left"


def test_what_dead_servers_and_others_leave_in_the_runtime_folder_is_passed_over(alone: Shell):
    folder = alone.folder / "run" / "pilotlight"
    folder.mkdir()
    (folder / "torn.json").write_text('{"pid": 1')
    (folder / "binary.json").write_bytes(b"\xff\0")
    (folder / "folder.json").mkdir()
    dead = {
        "pid": 2**22 + 1,
        "started": 1.0,
        "url": "http://127.0.0.1:1",
        "port": 1,
        "token": "",
        "state_dir": "",
        "config": None,
    }
    (folder / "dead.json").write_text(json.dumps(dead))
    assert "no pilotlight server of yours" in alone.fails("ps")


def test_a_key_that_is_wrong(alone: Shell, tmp_path: Path):
    stub = Stub(tmp_path)
    keys = [{"name": "user", "key_env": "KEY_USER"}, {"name": "root", "key_env": "KEY_ROOT", "admin": True}]
    with Server(
        tmp_path, stub, api_keys=keys, env={"KEY_USER": "user-secret", "KEY_ROOT": "root-secret"}
    ) as server:
        assert "API key" in alone.fails("ps", "--url", server.url)
        key = {"PILOTLIGHT_API_KEY": "user-secret"}
        assert "not an admin key" in alone.fails("ps", "--url", server.url, env=key)
        assert alone("ps", "--url", server.url, env={"PILOTLIGHT_API_KEY": "root-secret"}).code == 0
        alone.fails("ps", "--url", server.url, env={"PILOTLIGHT_API_KEY": "line\nbreak"})
        alone.env["XDG_RUNTIME_DIR"] = str(server.runtime)
        assert alone("ps").code == 0, "this machine's own token"


# -- serve -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--port", "99999"), 2), (("--port", "-1"), 2), (("--port", "x"), 2), (("--host", "no.such.host.invalid"), 1),
        (("--host", "203.0.113.1", "--insecure"), 1), (("--host", "0.0.0.0"), 1), (("--host", ""), 1),
        (("--host", "a b"), 1), (("--host", b"\xff", "--insecure"), 1),
    ],
)  # fmt: skip
def test_serve_where_it_cannot(alone: Shell, words: tuple[str, ...], code: int):
    (alone.folder / "pilotlight.yaml").write_text("models: {m: {source: 'demo://50m'}}")
    said = alone.fails("serve", *words, code=code)
    assert code == 2 or said.startswith("pilotlight: "), said


def test_serve_with_a_wrong_file_says_all_of_it(alone: Shell):
    (alone.folder / "pilotlight.yaml").write_text("port: x\nmodels: {m: {source: 'demo://9b', ttl: soon}}")
    said = alone.fails("serve", code=2)
    assert len(said.splitlines()) == 3


def test_serve_with_wrong_arguments_for_the_engine_opens_no_door(alone: Shell):
    (alone.folder / "pilotlight.yaml").write_text(
        "port: 0\nmodels: {m: {source: 'demo://50m', engine_args: {n_ctxx: 5}}}"
    )
    said = alone.fails("serve", "--json", code=2)
    assert "models.m.engine_args" in said
    assert "n_ctx" in said
    assert said.strip() == alone.fails("check", code=2).strip()
    assert list((alone.folder / "run" / "pilotlight").glob("*.json")) == []


def test_two_servers_on_one_state_folder(alone: Shell, server: Server):
    (alone.folder / "pilotlight.yaml").write_text(
        f"port: 0\nstate_dir: {server.state}\nmodels: {{m: {{source: 'demo://50m'}}}}"
    )
    said = alone.fails("serve", code=1)
    assert f"another server (pid {server.process.pid}) uses the state folder {server.state}" in said
    assert len(said.splitlines()) == 1
    assert server.chat(NAME).status == 200


# -- output that nobody takes ----------------------------------------------------------------------------------------

OUTPUT = [("version",), ("check", "--schema"), ("list",), ("ps",), ("logs", NAME)]


@pytest.mark.parametrize("words", OUTPUT)
def test_a_reader_that_has_left(sh: Shell, up: Server, words: tuple[str, ...]):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        said = sh(*words, stdout=gone)
    assert said.code == 0, said
    assert said.err == ""


@pytest.mark.parametrize("words", OUTPUT)
def test_a_disk_that_is_full(sh: Shell, up: Server, words: tuple[str, ...]):
    with Path("/dev/full").open("wb") as full:
        said = sh(*words, stdout=full)
    assert said.code == 1, said
    assert said.err == "pilotlight: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", OUTPUT)
def test_no_output_at_all(sh: Shell, up: Server, words: tuple[str, ...]):
    quoted = " ".join(f"'{w}'" for w in (str(PILOTLIGHT), *words))
    done = subprocess.run(
        ["sh", "-c", f"{quoted} >&-"], env=sh.env, cwd=sh.folder, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr


def test_run_whose_reader_leaves_ends(with_demo: Shell):
    with with_demo.popen(
        "run", "demo://50m", "tell me", "--max-tokens", "2000", "--temperature", "1"
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(30) == 0, err
    assert err == b""
