"""How long `pilotlight advise` takes, beside one `pilotlight simulate` of the same traffic.

    python benchmarks/advise.py                     # 150,000 requests of 8 models that are made up
    python benchmarks/advise.py requests.parquet

Both are run as an operator runs them; CPU time is that of all their processes.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

MADE_UP = "synthetic://daily?rate=900/h&hours=168&models=8&seed=3"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", nargs="?", default=MADE_UP)
    parser.add_argument("--start-time", default="40s")
    args = parser.parse_args()
    options = [args.trace, "--start-time", args.start_time, "--json"]
    one, one_wall, one_cpu = run("simulate", *options)
    advice, wall, cpu = run("advise", *options)
    print(f"{one[0]['requests']:,} requests; {advice[0]['simulations']} simulations")
    print(f"simulate  wall {one_wall:6.1f} s  CPU {one_cpu:6.1f} s")
    print(
        f"advise    wall {wall:6.1f} s  CPU {cpu:6.1f} s  {cpu / one_cpu:.1f} times the CPU of one simulation"
    )
    print(f"advice: {advice[0]['recommended']}, then {advice[0]['runner_up']}")


def run(verb: str, *options: str) -> tuple[list[dict], float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "pilotlight.cli.main", verb, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), time.monotonic() - began, cpu


if __name__ == "__main__":
    main()
