"""How much memory `pilotlight simulate` takes, by the length of its trace.

    python benchmarks/long_traces.py                   # 0.3 to 10 million requests, made up and from files: 6 minutes
    python benchmarks/long_traces.py 1e6 1e7 --of csv  # kinds: synthetic, csv, parquet, log

Each is run as an operator runs it, in a process of its own; its peak is the resident memory that the kernel says it had
(ru_maxrss). The traffic is the same day by day, so a longer trace lasts longer. A log has its requests in the order in
which they ended, some of them as batch requests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rounds import report, table

SIZES = (0.3e6, 1e6, 3e6, 10e6)
KINDS = ("synthetic", "csv", "parquet", "log")
RATE = 7
"""Requests a second on a weekday."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", type=float, default=SIZES)
    parser.add_argument("--of", default=",".join(KINDS), help="default %(default)s")
    parser.add_argument("--start-time", default="40s")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--write", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        write(*args.write, made_up(args.sizes[0]))
        return
    rows: list[list[object]] = []
    for kind in args.of.split(","):
        first = 0.0
        for size in args.sizes:
            found = measured(kind, size, args.start_time)
            first = first or found["mib"]
            rows.append([kind, f"{found['requests']:,}", f"{found['mib']:.1f}", f"{found['mib'] / first:.2f}",
                         f"{found['cpu_s']:.1f}", f"{found['starts']:,}"])  # fmt: skip
    head = ("trace", "requests", "peak MiB", "x the shortest", "CPU s", "starts")
    report("long_traces", {"rows": rows}, table(head, rows), args.json)


def made_up(size: float) -> str:
    return f"synthetic://daily?rate={RATE}/s&hours={size / RATE / 3600:.2f}&models=8&seed=1"


def measured(kind: str, size: float, start: str) -> dict[str, float]:
    """Of one simulation: `requests`, `starts`, peak `mib` and `cpu_s`."""
    with tempfile.TemporaryDirectory(prefix="pilotlight-bench-") as folder:
        trace = made_up(size)
        if kind != "synthetic":
            trace = str(Path(folder) / "trace")
            # In another process, for one that begins takes the peak of the one that started it for its own.
            subprocess.run([sys.executable, __file__, str(size), "--write", kind, trace], check=True)
        command = [
            sys.executable,
            "-m",
            "pilotlight.cli.main",
            "simulate",
            trace,
            "--start-time",
            start,
            "--json",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        found = json.loads(process.stdout.read())[0]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return {
            "requests": found["requests"],
            "starts": found["starts"],
            "mib": usage.ru_maxrss / 1024,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }


# ---- files -----------------------------------------------------------------------------------------


def write(kind: str, path: str, text: str) -> None:
    from pilotlight.sim.load import load

    trace = load(text)
    writer = {"csv": csv_lines, "log": log_lines}.get(kind)
    if writer is None:
        write_parquet(path, trace)
        return
    with open(path, "w") as file:
        file.writelines(writer(trace))


def csv_lines(trace) -> Iterator[str]:
    yield "t,model,prompt_tokens,output_tokens\n"
    for t, model, prompt, output in rows_of(trace):
        yield f"{t!r},{model},{prompt},{output}\n"


def log_lines(trace) -> Iterator[str]:
    """Unix times; each request runs 30 ms for a token, and no longer than a minute."""
    waiting: list[tuple[float, str]] = []
    for i, (t, model, prompt, output) in enumerate(rows_of(trace)):
        row = {
            "t": 1.7e9 + t,
            "model": model,
            "prompt_tokens": prompt,
            "output_tokens": output,
            "key": f"k{i % 9}",
        }
        row["request_class"] = "batch" if i % 10 == 0 else "standard"
        waiting.append((t + min(60.0, 0.03 * output), json.dumps(row) + "\n"))
        if len(waiting) >= 10_000 or i + 1 == len(trace):
            waiting.sort()
            done = [line for at, line in waiting if at <= t or i + 1 == len(trace)]
            waiting = waiting[len(done) :]
            yield from done


def rows_of(trace) -> Iterator[tuple[float, str, int, int]]:
    for rows in trace.pieces():
        some = (trace.t, trace.model, trace.prompt_tokens, trace.output_tokens)
        for t, model, prompt, output in zip(*(column[rows].tolist() for column in some), strict=True):
            yield t, trace.models[model], prompt, output


def write_parquet(path: str, trace) -> None:
    import numpy as np
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    names = np.array(trace.models)[trace.model].tolist()
    numbers = {name: getattr(trace, name).copy() for name in ("t", "prompt_tokens", "output_tokens")}
    columns = {name: Array.from_numpy(values) for name, values in numbers.items()}
    write_parquet(Table.from_pydict({**columns, "model": Array(names, type=DataType.string())}), path)


if __name__ == "__main__":
    main()
