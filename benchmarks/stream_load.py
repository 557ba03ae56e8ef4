"""A start that has to fetch its weights: plain, loading while they arrive, through a zygote, both.

A server on loopback sends a demo model at a fixed rate, and `pilotlight bench cold-start --fetch` asks a model at zero
that has to fetch it, in interleaved runs, each into an empty cache. Ratios to the plain start of the same sitting.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import CACHE
from peers import pilotlight_program
from rounds import report, table

from pilotlight.weights.cache import WeightCache

PIECE = 1 << 16


class Throttled(ThreadingHTTPServer):
    """Sends one file, `rate` bytes a second to each who asks."""

    daemon_threads = True

    def __init__(self, data: bytes, rate: float) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.data, self.rate = data, rate


class Answer(BaseHTTPRequestHandler):
    server: Throttled

    def do_GET(self) -> None:
        data, rate = memoryview(self.server.data), self.server.rate
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        began = time.monotonic()
        for start in range(0, len(data), PIECE):
            time.sleep(max(0.0, began + start / rate - time.monotonic()))
            self.wfile.write(data[start : start + PIECE])

    def log_message(self, format: str, *args: object) -> None:
        pass


def measured(program: Path, data: bytes, seconds: float, runs: int, techniques: str) -> dict:
    """What `pilotlight bench cold-start --json` says of a download that takes so long."""
    server = Throttled(data, len(data) / seconds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="pilotlight-bench-") as folder:
        config = Path(folder, "models.json")  # JSON is YAML
        source = f"http://127.0.0.1:{server.server_port}/m.gguf"
        config.write_text(json.dumps({"models": {"m": {"source": source}}}))
        words = ["bench", "cold-start", "m", "--config", str(config), "--runs", str(runs), "--json"]
        words += ["--fetch", "--with", techniques]
        done = subprocess.run([str(program), *words], stdout=subprocess.PIPE, check=True)
    server.shutdown()
    return json.loads(done.stdout)


def rows(model: str, seconds: float, found: dict) -> list[tuple]:
    of = {r["technique"]: statistics.median(r["ttft_s"]) for r in found["results"]}
    lines = []
    for result in found["results"]:
        name, times = result["technique"], result["ttft_s"]
        span = f"{1000 * min(times):.0f} to {1000 * max(times):.0f}"
        saved = 1000 * (of["plain"] - of[name])
        lines.append(
            (model, seconds, name, result["runs"], 1000 * of[name], span, saved, of[name] / of["plain"])
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7, help="timed starts of each kind; default %(default)s")
    parser.add_argument("--model", default="50m", help="demo model; default %(default)s")
    parser.add_argument("--seconds", default="3,0.5", help="how long its download takes; default %(default)s")
    parser.add_argument("--with", dest="techniques", default="zygote,stream", help="default %(default)s")
    parser.add_argument("--quick", action="store_true", help="two runs of one download")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    runs = 2 if given.quick else given.runs
    program = pilotlight_program(given.pilotlight)
    data = WeightCache(CACHE / "weights").fetch(f"demo://{given.model}").read_bytes()
    figures: dict[str, object] = {}
    lines: list[tuple] = []
    for seconds in map(float, given.seconds.split(",")[: 1 if given.quick else None]):
        found = measured(program, data, seconds, runs, given.techniques)
        figures[f"{given.model} {seconds:g} s"] = found
        lines += rows(given.model, seconds, found)
        for note in found["notes"]:
            print(note, file=sys.stderr)
    heads = ["model", "download s", "technique", "runs", "median ms", "ms", "saved ms", "x plain"]
    report("stream_load", figures, table(heads, lines), given.json)


if __name__ == "__main__":
    main()
