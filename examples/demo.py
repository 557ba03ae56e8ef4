"""The main job, shown: a model at zero is asked, asked again while warm, goes back to zero, and is asked once more.

Starts a real server (`pilotlight serve`) on a free port with a small generated model, talks to it over HTTP, and
prints for each request the time to first token, stage by stage. Exit status 0 only if all of it happened.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TTL = 2.0
"""Seconds of idleness after which the model goes back to zero."""
CONFIG = f"""
port: 0
models:
  demo:
    source: demo://50m
    ttl: {TTL:g}s
    engine_args: {{n_ctx: 1024}}
"""
QUESTIONS = (
    "Why is the first answer slow?",
    "And why is the second one not?",
    "What was kept, what was not?",
)
DEADLINE = 60.0


class Failed(Exception):
    pass


def main() -> int:
    pilotlight = str(Path(sys.executable).with_name("pilotlight"))
    print(
        "A generated 50M model: its weights are random and its text is noise. What is shown is the waiting.\n"
    )
    subprocess.run([pilotlight, "pull", "demo://50m"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "demo.yaml").write_text(CONFIG)
        env = {**os.environ, "XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": folder}
        server = subprocess.Popen(
            [pilotlight, "serve", "demo.yaml"], cwd=folder, env=env, stderr=subprocess.PIPE
        )
        try:
            show(Demo(folder, server))
        except Failed as e:
            server.terminate()
            print(f"\nthe demo failed: {e}\n{server.communicate()[1].decode()}", file=sys.stderr)
            return 1
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    return 0


class Demo:
    """The server as its operator and its users see it."""

    def __init__(self, folder: str, server: subprocess.Popen[bytes]) -> None:
        found = self.until(
            lambda: [*Path(folder, "pilotlight").glob("*.json")], "the server to open its port", server
        )
        about = json.loads(found[0].read_text())
        self.url, self.token = about["url"], about["token"]

    def until(self, what, name: str, server=None):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if server is not None and server.poll() is not None:
                raise Failed("the server ended")
            if value := what():
                return value
            time.sleep(0.05)
        raise Failed(f"waited {DEADLINE:g} s for {name}")

    def get(self, path: str):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.load(answer)

    def replicas(self) -> list[str]:
        return [r["state"] for r in self.get("/running")["replicas"]]

    def ask(self, question: str) -> dict:
        """Streams an answer to its end; the request's trace."""
        body = {
            "model": "demo",
            "stream": True,
            "max_tokens": 16,
            "messages": [{"role": "user", "content": question}],
        }
        request = urllib.request.Request(
            self.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            request_id = answer.headers["x-pilotlight-request-id"]
            text = answer.read().decode()
        if '"content":' not in text or "[DONE]" not in text:
            raise Failed(f"this is no whole answer: {text[-500:]}")
        return self.until(lambda: self._trace(request_id), "the trace")

    def _trace(self, request_id: str):
        try:
            return self.get(f"/traces/{request_id}")
        except urllib.error.HTTPError:  # not recorded yet
            return None


def show(demo: Demo) -> None:
    expect(demo.replicas() == [], "no replica before anybody asks")
    traces = [("from zero", demo.ask(QUESTIONS[0]))]
    expect(demo.replicas() == ["ready"], "one replica after the first request")
    traces.append(("warm", demo.ask(QUESTIONS[1])))
    demo.until(
        lambda: demo.replicas() == [], f"the model to go back to zero, {TTL:g} s after the last request"
    )
    traces.append(("from zero again", demo.ask(QUESTIONS[2])))
    for (_, trace), start in zip(traces, ("cold", "warm", "cold"), strict=True):
        expect(trace["start"] == start, f"a {start} start, where the trace says {trace['start']}")
    table(traces)
    cold, warm = traces[2][1]["ttft_s"], traces[1][1]["ttft_s"]
    print(f"\nFrom zero, the first token came {(cold - warm) * 1000:.0f} ms later than warm.")


def expect(true: bool, what: str) -> None:
    if not true:
        raise Failed(f"expected {what}")


def table(traces: list[tuple[str, dict]]) -> None:
    stages: list[str] = []
    for _, trace in traces:
        stages += [s["stage"] for s in trace["spans"] if s["stage"] not in stages]
    rows = [["milliseconds", *(name for name, _ in traces)]]
    for stage in [*(s for s in stages if s != "first_token"), "first_token"]:
        cells = [sum(s["seconds"] for s in t["spans"] if s["stage"] == stage) for _, t in traces]
        rows.append([stage, *(f"{c * 1000:.1f}" if c else "-" for c in cells)])
    rows.append(["time to first token", *(f"{t['ttft_s'] * 1000:.1f}" for _, t in traces)])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for n, row in enumerate(rows):
        if n in (1, len(rows) - 1):
            print("  ".join("-" * w for w in widths))
        cells = [
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells))
    print("Stages may overlap: weights are fetched while the process starts.")


if __name__ == "__main__":
    raise SystemExit(main())
