"""CPU time per request of the whole process tree: non-streaming, 1 KB in and out, 32 connections, keep-alive.

Pilotlight has keys, a rate limit, metrics and the request log on; nginx and haproxy only forward, with an
access log. Ray Serve answers by itself, LiteLLM forwards with its key check on and without a database.
"""

from compare import arguments, compare
from harness import run_load
from peers import Target
from rounds import report, table


def measure(target: Target, seconds: float, connections: int) -> dict[str, float]:
    window = ["--connections", str(connections), "--seconds", str(seconds), "--warmup", "1"]
    load = run_load(target.port, [*window, *target.load_options], cpu=target.cpu_ns)
    requests = load.result["requests"]
    if load.result["errors"] or not requests:
        raise RuntimeError(f"{target.name}: {load.result}")
    row = {key: load.result[key] for key in ("requests", "per_second", "p50_us", "p99_us")}
    return row | {"cpu_us": load.cpu_ns / requests / 1000, "us_per_request": 1e6 / load.result["per_second"]}


def main() -> None:
    parser = arguments(__doc__, rounds=7, seconds=4, peers="nginx,haproxy,bare")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument(
        "--burst",
        action="store_true",
        help="beside it one that could burst to a provider, and what that costs it",
    )
    given = parser.parse_args()
    if given.burst:
        given.peers += ",burst"
    if given.quick:
        given.rounds, given.seconds = 2, 1.0

    result = compare(
        given, lambda target: measure(target, given.seconds, given.connections), quiet_by="us_per_request"
    )
    rounds = result.rounds
    columns = ("per_second", "p50_us", "p99_us")
    rows = [("direct", None, None, *(rounds.median("direct", column) for column in columns))]
    for name in result.proxies:
        cpu = (rounds.median(name, "cpu_us"), rounds.ratio(name, "cpu_us"))
        rows.append((name, *cpu, *(rounds.median(name, column) for column in columns)))
    notes = result.notes
    if given.burst and (ratio := rounds.ratio("burst", "cpu_us", "pilotlight")) is not None:
        notes = [*notes, f"with burst configured and idle: {ratio:.3f} of the CPU without"]
    text = table(["target", "CPU us/request", "nginx = 1", "requests/s", "p50 us", "p99 us"], rows)
    report("gateway_cpu", result.figures, "\n".join([text, "", *notes]), given.json)


if __name__ == "__main__":
    main()
