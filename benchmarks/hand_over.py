"""From "the engine could answer" to "the held request reached it", over many cold starts.

Stand-in engines with a start of 2 s note both moments themselves; half of them refuse connections until they
are ready, half answer 503. For the embedded llama.cpp, whose side cannot be seen from outside, the trace of
each request tells: its `hand_over` stage, from the replica's readiness to the request's leaving for it.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from harness import CACHE, Bench, fetch, wait_until
from peers import CHAT, Target, admin, start_pilotlight, upstream_command
from rounds import quantile, report, table


def ask(target: Target, model: str, timeout: float = 60) -> str:
    """Sends a short request, expects a cold start, and returns the request's id."""
    body = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}
    reply = fetch(target.port, CHAT, body=body, key=target.key, timeout=timeout)
    if reply.status != 200:
        raise RuntimeError(f"{model}: {reply.status} {reply.body[:500]!r}\n{target.tree.tail()}")
    if reply.headers["x-pilotlight-start"] != "cold":
        print(f"{model}: not a cold start, but {reply.headers['x-pilotlight-start']}", file=sys.stderr)
    return reply.headers["x-pilotlight-request-id"]


# ---- stand-in engines ------------------------------------------------------------------------------


def stand_in(program: str | None, starts: int, parallel: int, start_s: float) -> list[float]:
    """Seconds of hand-over of `starts` models, each started once, `parallel` at a time."""
    with Bench() as bench:
        models: dict[str, object] = {}
        for number in range(starts):
            before = "refuse" if number % 2 else "503"
            options = ["--ready-after", f"{start_s:g}", "--before", before]
            models[f"m{number}"] = {
                "engine": "command",
                "cmd": upstream_command(*options, "--events", str(bench.folder / f"m{number}.events")),
                "ttl": 0,
                "memory": "64MiB",
            }
        target = start_pilotlight(bench, models, program=program)
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(lambda model: ask(target, model), models))
        events = [json.loads((bench.folder / f"{model}.events").read_text()) for model in models]
    return [(event["first_ns"] - event["ready_ns"]) / 1e9 for event in events]


# ---- llama.cpp -------------------------------------------------------------------------------------


def stages_of(trace: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Seconds of each stage in a trace as the gateway's /traces/{id} gives it."""
    return {str(span["stage"]): span["seconds"] for span in trace["spans"]}


def nothing_runs(target: Target) -> bool:
    return not json.loads(admin(target, "/running"))["replicas"]


def llamacpp(program: str | None, starts: int, source: str) -> list[dict[str, float]]:
    """The stages of `starts` cold starts, one after the other; the weights are in the cache before."""
    with Bench() as bench:
        model = {"source": source, "ttl": 0}
        target = start_pilotlight(
            bench, {"m": model}, program=program, core=None, cache_dir=str(CACHE / "weights")
        )
        traces = []
        for number in range(starts + 1):
            request = ask(target, "m", timeout=600)
            wait_until(lambda: nothing_runs(target), 60, "scale to zero")
            if number:
                traces.append(stages_of(json.loads(admin(target, f"/traces/{request}"))))
    return traces


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--starts", type=int, default=32, help="cold starts of each kind; default %(default)s"
    )
    parser.add_argument("--parallel", type=int, default=4, help="stand-in starts at a time")
    parser.add_argument("--start-seconds", type=float, default=2.0, help="how long a stand-in takes to start")
    parser.add_argument("--source", default="demo://50m", help="what llama.cpp serves; default %(default)s")
    parser.add_argument("--only", choices=["stand-in", "llamacpp"])
    parser.add_argument("--quick", action="store_true", help="four starts of each, the stand-in's of 0.5 s")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    starts, start_s = (4, 0.5) if given.quick else (given.starts, given.start_seconds)

    figures: dict[str, object] = {}
    rows = []

    def add(name: str, seconds: list[float]) -> None:
        rows.append((name, len(seconds), *(1000 * quantile(seconds, q) for q in (0.5, 0.99))))

    if given.only != "llamacpp":
        handed = stand_in(given.pilotlight, starts, given.parallel, start_s)
        figures["stand_in_s"] = handed
        add("stand-in: hand_over", handed)
        add("  port closed before", handed[1::2])
        add("  503 before", handed[::2])
    if given.only != "stand-in":
        traces = llamacpp(given.pilotlight, starts, given.source)
        figures["llamacpp_stages_s"] = traces
        for stage in traces[0]:
            add(f"llama.cpp: {stage}", [trace[stage] for trace in traces if stage in trace])
    report("hand_over", figures, table(["stage", "starts", "p50 ms", "p99 ms"], rows), given.json)


if __name__ == "__main__":
    main()
