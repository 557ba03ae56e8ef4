"""What every benchmark here shares: building the C programs, pinned processes, CPU time of a tree, rounds.

The method: all proxies run at once, pinned to one core, and one of them is under load at a time; the
stand-in engine and the load client share another core. The order alternates from round to round, "direct"
(no proxy) is in every round and tells how quiet the machine was, and what is reported is the median of the
ratios *within* a round.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pilotlight-bench"
CACHE = CACHE.resolve()

CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]

MARKER = "PILOTLIGHT_BENCH_TREE"


# ---- programs ------------------------------------------------------------------------------------


def build(name: str) -> Path:
    """The path of the C program `name` (upstream, load), compiled into the cache when its source is newer."""
    source, binary = HERE / name / f"{name}.c", CACHE / "bin" / name
    if binary.exists() and binary.stat().st_mtime > source.stat().st_mtime:
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise SystemExit("a C compiler (cc) is needed to build the load client and the stand-in engine")
    binary.parent.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_name(f"{name}.{os.getpid()}")
    subprocess.run([compiler, "-O2", "-std=gnu17", "-o", fresh, source], check=True)
    fresh.replace(binary)
    return binary


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def raise_file_limit() -> int:
    """Raises the limit of open files as far as it goes, for this process and its children; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (200_000, max(hard, 200_000)))
        return 200_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# ---- process trees -------------------------------------------------------------------------------


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command name; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def _has_marker(pid: int, marker: bytes) -> bool:
    try:
        return marker in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _exe(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def _cpu_ns(pid: int, fields: Sequence[str]) -> int:
    """CPU time of a process with all its threads, ended ones too, and of the children it has waited for.

    Its CPU clock (clock_getcpuclockid) is the sum of what /proc/PID/task/*/schedstat shows, without losing
    threads that have ended; time of waited-for children comes in ticks of 10 ms.
    """
    waited = (int(fields[13]) + int(fields[14])) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) + waited
    except OSError:
        return waited


class Tree:
    """A process and everything it has started, found by parentage and by a variable in the environment.

    The variable finds those whose parent has ended. `exclude` names programs (by path) that run inside the
    tree but are not what is measured: the stand-in engine under the gateway that started it.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        env: dict[str, str] | None = None,
        core: int | None = None,
        log: Path | None = None,
        cwd: Path | None = None,
        exclude: Iterable[Path] = (),
    ) -> None:
        self.marker = f"{MARKER}={uuid.uuid4().hex}".encode()
        self.exclude = {str(path) for path in exclude}
        self.log = log
        name, _, value = self.marker.decode().partition("=")
        with open(log or os.devnull, "ab") as out:
            self.started_ns = time.monotonic_ns()
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                env={**os.environ, **(env or {}), name: value},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
            )

    def pids(self) -> list[int]:
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(int(entry))):
                parents[int(entry)] = int(fields[1])
        found = {pid for pid in parents if pid == self.process.pid or _has_marker(pid, self.marker)}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def measured(self) -> list[int]:
        return [pid for pid in self.pids() if _exe(pid) not in self.exclude]

    def cpu_ns(self) -> int:
        return sum(_cpu_ns(pid, fields) for pid in self.measured() if (fields := _stat(pid)))

    def memory(self) -> list[dict[str, object]]:
        """PSS and RSS in bytes of each process, and its command line."""
        rows = []
        for pid in self.measured():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                command = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
            except OSError:
                continue
            kib = {key: int(value) for key, value in re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE)}
            if "Pss" in kib:
                rows.append({"pss": kib["Pss"] << 10, "rss": kib["Rss"] << 10, "command": command})
        return rows

    def pss(self) -> int:
        return sum(row["pss"] for row in self.memory())  # type: ignore[misc]

    def stop(self, grace: float = 10.0) -> None:
        """TERM to the first process, and KILL to whatever of the tree is left after `grace` seconds."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in self.pids():
            if pid == self.process.pid or _has_marker(pid, self.marker):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def tail(self, lines: int = 20) -> str:
        if not self.log:
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Bench(contextlib.ExitStack):
    """Everything one run starts, and the folder it writes to; all of it ends with the block."""

    def __enter__(self) -> "Bench":
        super().__enter__()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="pilotlight-bench-")))
        os.sched_setaffinity(0, {LOAD_CORE})
        self.callback(os.sched_setaffinity, 0, set(CORES))
        self.file_limit = raise_file_limit()
        return self

    def start(self, name: str, argv: Sequence[str | Path], **options: object) -> Tree:
        tree = Tree(argv, log=self.folder / f"{name}.log", **options)  # type: ignore[arg-type]
        self.callback(tree.stop)
        return tree

    def start_upstream(self, *options: str) -> tuple[int, Tree]:
        """Starts a stand-in engine on the load core; returns its port and its process."""
        port = free_port()
        argv = [build("upstream"), "--port", str(port), "--core", str(LOAD_CORE), *options]
        tree = self.start(f"upstream-{port}", argv)
        wait_for(port, tree, "/health")
        return port, tree


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str]


def fetch(port: int, path: str, *, body: object = None, key: str = "", timeout: float = 5.0) -> Reply:
    """One request on loopback; a `body` makes it a POST. Raises OSError when there is no answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Reply(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read(), error.headers)


def wait_for(
    port: int, tree: Tree, path: str, *, body: object = None, key: str = "", timeout: float = 60.0
) -> None:
    """Returns when `path` answers 200; raises RuntimeError with the end of the log when that never comes."""
    until, last = time.monotonic() + timeout, "no answer"
    while time.monotonic() < until:
        if tree.process.poll() is not None:
            raise RuntimeError(f"ended with {tree.process.returncode} before it served\n{tree.tail()}")
        try:
            reply = fetch(port, path, body=body, key=key)
        except OSError as error:
            last = str(error)
        else:
            if reply.status == 200:
                return
            last = f"{reply.status} {reply.body[:200]!r}"
        time.sleep(0.02)
    raise RuntimeError(f"did not serve {path} within {timeout:g} s: {last}\n{tree.tail()}")


def wait_until(check: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)


# ---- load ----------------------------------------------------------------------------------------


@dataclass
class Load:
    """What one run of the load client saw; `cpu_ns` is what the proxy's tree used between its edges."""

    result: dict[str, float]
    cpu_ns: int


def run_load(port: int, options: Sequence[str], *, cpu: Callable[[], int], timeout: float = 120.0) -> Load:
    """Runs the load client against `port`, reading `cpu` when its measured window begins and ends."""
    argv = [str(build("load")), "--port", str(port), "--core", str(LOAD_CORE), *options]
    edges: dict[str, int] = {}
    last = ""
    client = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert client.stdout and client.stderr
    try:
        for line in client.stdout:
            word = line.split()[0]
            if word in ("begin", "end"):
                edges[word] = cpu()
            last = line
        client.wait(timeout)
        complaints = client.stderr.read()
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
        client.stderr.close()
    if not last.startswith("{") or len(edges) != 2:
        raise RuntimeError(f"the load client failed: {last}{complaints}")
    if complaints:
        print(complaints, file=sys.stderr)
    return Load(json.loads(last), edges["end"] - edges["begin"])
