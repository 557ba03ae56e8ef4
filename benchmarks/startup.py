"""How fast the server is there and how little it needs while idle.

`pilotlight serve` to the first 200 of /health; the command line's import time, as `pilotlight version` minus
`python -c pass` run in turn; memory of the idle server, process by process.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness import Bench, free_port
from peers import ADMIN_KEY, KEY, pilotlight_config, pilotlight_program
from rounds import report, table

MODELS = {"m": {"engine": "command", "cmd": "false ${PORT}", "memory": "64MiB"}}


def healthy(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def serve_once(program: Path, idle_s: float) -> tuple[float, list[dict[str, object]]]:
    """Seconds until /health answered, and the memory of each process after `idle_s` more."""
    with Bench() as bench:
        port = free_port()
        config = pilotlight_config(bench, MODELS, port)
        keys = {"BENCH_KEY": KEY, "BENCH_ADMIN_KEY": ADMIN_KEY}
        tree = bench.start("pilotlight", [program, "serve", config], env=keys)
        while not healthy(port):
            if tree.process.poll() is not None or time.monotonic_ns() - tree.started_ns > 30e9:
                raise RuntimeError(f"pilotlight serve does not answer\n{tree.tail()}")
            time.sleep(0.002)
        seconds = (time.monotonic_ns() - tree.started_ns) / 1e9
        time.sleep(idle_s)
        return seconds, tree.memory() if idle_s else []


def run_times(argv: list[str]) -> tuple[float, float]:
    """Wall and CPU milliseconds of one run of a short command."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}")
    return 1000 * (time.monotonic() - started), 1000 * (usage.ru_utime + usage.ru_stime)


def import_times(program: Path, runs: int) -> dict[str, float]:
    """Median wall and CPU milliseconds of `pilotlight version` above those of an empty Python program."""
    python = program.parent / "python"
    pairs = []
    for number in range(runs + 1):
        ours, empty = run_times([str(program), "version"]), run_times([str(python), "-c", "pass"])
        if number:  # the first pair warms the page cache and writes .pyc files
            pairs.append((ours[0] - empty[0], ours[1] - empty[1]))
    return {key: statistics.median(pair[i] for pair in pairs) for i, key in enumerate(("wall_ms", "cpu_ms"))}


def show_imports(program: Path, count: int = 15) -> None:
    """The modules with the largest import time of their own, from `python -X importtime`."""
    argv = [str(program.parent / "python"), "-X", "importtime", str(program), "version"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:")]
    timed = sorted(((int(own), name.strip()) for own, _, name in rows if own.strip().isdigit()), reverse=True)
    print(table(["module", "own ms"], [(name, own / 1000) for own, name in timed[:count]]), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--idle", type=float, default=5.0, help="seconds before memory is read")
    parser.add_argument("--imports", action="store_true", help="also list the slowest modules")
    parser.add_argument("--quick", action="store_true", help="two runs of each")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    program, runs = pilotlight_program(given.pilotlight), 2 if given.quick else given.runs

    imports = import_times(program, runs)
    health = [serve_once(program, 0)[0] for _ in range(runs)]
    seconds, memory = serve_once(program, given.idle)
    health.append(seconds)
    if given.imports:
        show_imports(program)

    mib = {key: sum(row[key] for row in memory) / 2**20 for key in ("pss", "rss")}  # type: ignore[misc]
    rows = [
        ("serve to /health, median ms", 1000 * statistics.median(health)),
        ("serve to /health, slowest ms", 1000 * max(health)),
        ("importing the CLI, wall ms", imports["wall_ms"]),
        ("importing the CLI, CPU ms", imports["cpu_ms"]),
        ("idle server, PSS MiB", mib["pss"]),
        ("idle server, RSS MiB", mib["rss"]),
    ]
    for row in memory:
        name = " ".join(Path(word).name for word in str(row["command"]).split()[:4])
        rows.append((f"  {name}, PSS MiB", row["pss"] / 2**20))  # type: ignore[operator]
    figures = {"health_s": health, "imports": imports, "memory": [{**row, "command": ""} for row in memory]}
    report("startup", figures, table(["startup", ""], rows), given.json)


if __name__ == "__main__":
    main()
