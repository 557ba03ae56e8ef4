"""A cold start of llama.cpp: plain, by each technique, and what a sleeping replica keeps.

`pilotlight bench cold-start` does the measuring, in interleaved runs, on a 50M and a 1B model whose weights are in
the page cache. Beside it the memory of a replica is read while it serves and while it sleeps. With `--plot FOLDER`
a page is written for each model.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import CACHE, Bench, fetch, wait_until
from peers import ADMIN_KEY, CHAT, admin, pilotlight_program, start_pilotlight
from rounds import report, table

SOURCES = {"50m": "demo://50m", "1b": "demo://1b"}
GOALS = {("50m", "zygote"): 0.65, ("1b", "zygote"): 0.9}
"""Of plain, at most."""
WAKE_GOAL = 1.1
"""Of a start through the zygote, at most."""
ASLEEP_GOAL = 0.1
"""Of the awake replica's memory, at most."""


ONE_SLOT = {"engine_args": {"n_ctx": 2048}, "max_requests": 1}
"""In place of the default's four slots of 4096 tokens, all of which llama.cpp fills with zeros when it loads."""


def cold_starts(
    program: Path, name: str, runs: int, techniques: str | None, plot: Path | None, settings: dict
) -> dict:
    """What `pilotlight bench cold-start --json` says of one model."""
    with tempfile.TemporaryDirectory(prefix="pilotlight-bench-") as folder:
        config = Path(folder, "models.json")  # JSON is YAML
        models = {size: {"source": source, **settings} for size, source in SOURCES.items()}
        config.write_text(json.dumps({"cache_dir": str(CACHE / "weights"), "models": models}))
        words = ["bench", "cold-start", name, "--config", str(config), "--runs", str(runs), "--json"]
        words += ["--with", techniques] if techniques else []
        words += ["--plot", str(plot / f"cold-start-{name}.html")] if plot else []
        done = subprocess.run([str(program), *words], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def pss(pid: int) -> int:
    """Bytes of memory that the process accounts for; shared pages count in part."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) << 10


def memory(program: str | None, name: str) -> dict[str, int]:
    """Bytes of a replica that has answered, and of the same one asleep."""
    with Bench() as bench:
        model = {"source": SOURCES[name], "ttl": -1}
        target = start_pilotlight(
            bench, {"m": model}, program=program, core=None, cache_dir=str(CACHE / "weights")
        )

        def replica() -> dict:
            return json.loads(admin(target, "/running"))["replicas"][0]

        body = {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
        reply = fetch(target.port, CHAT, body=body, key=target.key, timeout=600)
        assert reply.status == 200, reply.body
        time.sleep(1)
        pid = replica()["pid"]
        awake = pss(pid)
        reply = fetch(target.port, "/models/m/sleep?level=1", body={}, key=ADMIN_KEY)
        assert reply.status < 300, reply.body
        wait_until(lambda: replica()["state"] == "asleep", 60, "the replica to sleep")
        return {"awake": awake, "asleep": pss(pid)}


def medians(found: dict) -> dict[str, float]:
    return {r["technique"]: statistics.median(r["ttft_s"]) for r in found["results"]}


def rows(name: str, found: dict) -> list[tuple]:
    of = medians(found)
    lines = []
    for result in found["results"]:
        technique, times = result["technique"], result["ttft_s"]
        ratio, goal = of[technique] / of["plain"], GOALS.get((name, technique))
        span = f"{1000 * min(times):.0f} to {1000 * max(times):.0f}"
        lines.append((name, technique, result["runs"], 1000 * of[technique], span, ratio, goal))
    if "sleep" in of and "zygote" in of:
        lines.append((name, "wake / zygote", None, None, None, of["sleep"] / of["zygote"], WAKE_GOAL))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=11, help="timed starts of each kind; default %(default)s")
    parser.add_argument("--models", default="50m,1b", help="which models; default %(default)s")
    parser.add_argument("--with", dest="techniques", help="only these techniques: a,b")
    parser.add_argument("--plot", type=Path, help="write a page for each model into this folder")
    parser.add_argument("--one-slot", action="store_true", help="one slot of 2048 tokens, not four of 4096")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory asleep")
    parser.add_argument("--quick", action="store_true", help="two runs of the 50M model")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    names = ["50m"] if given.quick else given.models.split(",")
    runs = 2 if given.quick else given.runs
    program = pilotlight_program(given.pilotlight)

    settings = ONE_SLOT if given.one_slot else {}
    figures: dict[str, object] = {}
    lines: list[tuple] = []
    for name in names:
        found = cold_starts(program, name, runs, given.techniques, given.plot, settings)
        figures[name] = found
        lines += rows(name, found)
        for note in found["notes"]:
            print(note, file=sys.stderr)
    text = table(["model", "technique", "runs", "median ms", "ms", "x plain", "goal"], lines)
    if not given.no_memory:
        kept = {name: memory(given.pilotlight, name) for name in names}
        figures["memory"] = kept
        sizes = [
            (name, m["awake"] / 2**20, m["asleep"] / 2**20, m["asleep"] / m["awake"], ASLEEP_GOAL)
            for name, m in kept.items()
        ]
        text += "\n\n" + table(["model", "awake MiB", "asleep MiB", "share", "goal"], sizes)
    report("cold_start", figures, text, given.json)


if __name__ == "__main__":
    main()
