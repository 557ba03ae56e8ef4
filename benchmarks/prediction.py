"""Does the simulator say beforehand what happens? A trace is simulated, then replayed against llama.cpp.

A server with four models of 50M parameters, each of which leaves after seconds without a request, first answers a
short trace, from which it learns what its starts take, and this script what a first and a further token take. From
that alone `pilotlight simulate` predicts another trace of more than 1,000 requests, which is then replayed three
times. Compared are the cold rate, the replica-seconds and the median time to the first token.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import CACHE, CORES, Bench, wait_until
from peers import KEY, Target, admin, pilotlight_program, start_pilotlight
from replaying import (
    Answered,
    Asked,
    Figures,
    Row,
    compared,
    figures,
    logged,
    metric,
    replay,
    service_times,
    write_csv,
)
from rounds import quantile, report, table

WAIT = 0.2
"""objective.wait in seconds: well above a warm request's time to first token, and below a cold one's."""
MODELS = 4
TRAFFIC = (
    "synthetic://bursty?rate={rate}/s&hours={hours}&models={models}&cv=1.2&prompt=8&output=4&seed={seed}"
)
LEARN, PLAY = 101, 202
"""Seeds of the trace that is learned from, and of the one that is predicted."""
SECONDS_METRIC = "pilotlight_replica_seconds_total"


def models(given: argparse.Namespace) -> dict[str, object]:
    model = {
        "source": "demo://50m",
        "max_replicas": 2,
        "target_requests": 4,
        "ttl": given.ttl,
        "techniques": given.techniques.split(",") if given.techniques else [],
        # More replicas than cores may be busy, each with the one thread.
        "engine_args": {"n_threads": 1, "n_threads_batch": 1, "n_ctx": given.context},
    }
    return {f"model-{i + 1}": model for i in range(MODELS)}


def traffic(rate: float, minutes: float, seed: int) -> list[Asked]:
    from pilotlight.sim.traffic_text import synthetic

    trace = synthetic(TRAFFIC.format(rate=rate, hours=minutes / 60, models=MODELS, seed=seed))
    of = zip(trace.t, trace.model, trace.prompt_tokens, trace.output_tokens, strict=True)
    return [Asked(float(t), trace.models[m], int(p), int(o)) for t, m, p, o in of]


# ---- the simulation ------------------------------------------------------------------------------


def simulated(program: Path, trace: Path, config: Path) -> dict:
    words = [program, "simulate", trace, "--config", config, "--json"]
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)[0]


def predicted(program: Path, bench: Bench, trace: Path, first_token: float, per_token: float) -> Figures:
    """From the config that is served and what was learned. The second simulation leaves the time of the first token
    out of what counts as cold: what remains waited that long for a replica."""
    served = json.loads((bench.folder / "pilotlight.yaml").read_text())
    assumed = {"first_token": first_token, "per_token": per_token, "warm_up": 0}
    found = []
    for wait in (WAIT, WAIT + first_token):
        config = bench.folder / "simulated.yaml"
        config.write_text(json.dumps({**served, "objective": {"wait": wait}, "simulation": assumed}))
        found.append(simulated(program, trace, config))
    whole, by_wait = found
    if whole["start_time_from"] != "learned":
        raise SystemExit(f"the start time is not the learned one: {whole['start_time_from']}")
    print(f"start time learned: {1000 * whole['start_time']:.0f} ms", file=sys.stderr)
    return Figures(
        cold_rate=whole["cold_rate"],
        held_rate=by_wait["cold_rate"],
        replica_seconds=3600 * whole["replica_hours"],
        ttft_p50=whole["ttft_p50"],
        ttft_p99=whole["ttft_p99"],
        starts=whole["starts"],
    )


# ---- the replay ----------------------------------------------------------------------------------


def at_zero(target: Target) -> bool:
    return not json.loads(admin(target, "/running"))["replicas"]


def played(bench: Bench, target: Target, rows: list[Asked]) -> tuple[Figures, list[Answered], dict]:
    """One replay, from zero."""
    wait_until(lambda: at_zero(target), 120, "all replicas to go")
    before, after = admin(target, "/metrics").decode(), []
    began = time.monotonic()
    cpu = target.cpu_ns()
    answers = asyncio.run(
        replay(
            f"http://127.0.0.1:{target.port}",
            KEY,
            rows,
            lambda: after.append(admin(target, "/metrics").decode()),
            seed=int(time.time()),
        )
    )
    cores = (target.cpu_ns() - cpu) / 1e9 / (time.monotonic() - began)
    log = bench.folder / "pilotlight-state" / "requests.jsonl"
    wanted = {a.request_id for a in answers}
    wait_until(lambda: wanted <= logged(log.read_text().splitlines()).keys(), 10, "the request log")
    waits = logged(log.read_text().splitlines())

    def grew(name: str, **labels: str) -> float:
        return metric(after[0], name, **labels) - metric(before, name, **labels)

    starts = round(grew("pilotlight_cold_start_seconds_count"))
    of = figures(answers, waits, WAIT, grew(SECONDS_METRIC), starts)
    aside = {
        "cold_by_start": statistics.fmean(waits[a.request_id][0] > WAIT for a in answers),
        "late_ms_max": 1000 * max(a.late for a in answers),
        "cores": cores,
        "start_s_mean": grew("pilotlight_cold_start_seconds_sum") / max(1, starts),
        "stopping_s": grew(SECONDS_METRIC, state="stopping"),
        "warm_ttft_p50": statistics.median(a.ttft for a in answers if a.start == "warm"),
        "ttft_warm_p95": quantile([a.ttft for a in answers if a.start == "warm"], 0.95),
        "per_token": service_times(answers)[1],
    }
    return of, answers, aside


# ---- the report ----------------------------------------------------------------------------------


def shown(row: Row) -> tuple[object, ...]:
    def number(value: float) -> str:
        if row.is_rate:
            return f"{100 * value:.2f} %"
        return f"{1000 * value:.1f}" if row.name.endswith("ms") else f"{value:,.0f}"

    unit = "points" if row.is_rate else "%"
    apart = f"{100 * row.difference:+.2f} {unit}"
    limit = None if row.limit is None else f"{100 * row.limit:g} {unit}"
    verdict = {None: None, True: "pass", False: "miss"}[row.holds]
    each = ", ".join(map(number, row.measured))
    return row.name, number(row.predicted), number(row.median), each, apart, limit, verdict


HEAD = ["", "predicted", "measured, median", "each", "difference", "at most", ""]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="replays; default %(default)s")
    parser.add_argument("--rate", type=float, default=5.8, help="requests a second; default %(default)s")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the trace; default %(default)s")
    parser.add_argument("--learn", type=float, default=1.5, help="minutes to learn from; default %(default)s")
    parser.add_argument("--ttl", default="3s", help="idle time before a replica goes; default %(default)s")
    parser.add_argument("--context", type=int, default=16384, help="tokens a slot; default %(default)s")
    parser.add_argument("--techniques", default="zygote", help="of starts, a,b; default %(default)s")
    parser.add_argument(
        "--realtime", action="store_true", help="before other work on the machine (SCHED_RR; root may)"
    )
    parser.add_argument("--quick", action="store_true", help="half a minute, once")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file, and every answer beside it")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.minutes, given.learn = 1, 0.5, 0.5
    program = pilotlight_program(given.pilotlight)

    with Bench() as bench:
        os.sched_setaffinity(0, set(CORES))  # nothing is pinned here: replicas take the cores there are
        if given.realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        target = start_pilotlight(
            bench,
            models(given),
            program=given.pilotlight,
            core=None,
            cache_dir=str(CACHE / "weights"),
            objective={"wait": WAIT},
        )
        _, answers, aside = played(bench, target, traffic(given.rate, given.learn, LEARN))
        first_token, per_token = service_times(answers)
        print(
            f"learned: first token {1000 * first_token:.1f} ms, per token {1000 * per_token:.1f} ms",
            file=sys.stderr,
        )
        print(json.dumps(aside), file=sys.stderr)
        wait_until(lambda: at_zero(target), 60, "all replicas to go")

        rows = traffic(given.rate, given.minutes, PLAY)
        trace = bench.folder / "trace.csv"
        write_csv(trace, rows)
        before = predicted(program, bench, trace, first_token, per_token)
        print(f"predicted: {before}", file=sys.stderr)

        measured, asides = [], []
        for i in range(given.runs):
            of, answers, aside = played(bench, target, rows)
            if given.json:
                Path(f"{given.json}.raw{i}").write_text(json.dumps([dataclasses.asdict(a) for a in answers]))
            measured.append(of)
            asides.append(aside)
            print(f"replay {i + 1} of {given.runs}: {of} {json.dumps(aside)}", file=sys.stderr)

    lines = compared(before, measured)
    text = f"{len(rows):,} requests in {rows[-1].t - rows[0].t:.0f} s, {given.runs} replays\n\n"
    text += table(HEAD, [shown(line) for line in lines])
    everything = {
        "requests": len(rows),
        "learned": {"first_token": first_token, "per_token": per_token},
        "predicted": dataclasses.asdict(before),
        "measured": [dataclasses.asdict(m) for m in measured],
        "aside": asides,
    }
    report("prediction", everything, text, given.json)
    return int(any(line.holds is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
