"""What a proxy adds to the median latency of a small request when nothing else goes on (one connection)."""

from compare import arguments, compare
from harness import run_load
from peers import Target
from rounds import report, table


def measure(target: Target, seconds: float) -> dict[str, float]:
    window = ["--connections", "1", "--seconds", str(seconds), "--warmup", "0.3"]
    load = run_load(target.port, [*window, *target.load_options], cpu=target.cpu_ns)
    if load.result["errors"] or not load.result["requests"]:
        raise RuntimeError(f"{target.name}: {load.result}")
    return {key: load.result[key] for key in ("requests", "p50_us", "p90_us", "p99_us")}


def main() -> None:
    given = arguments(__doc__, rounds=7, seconds=3, peers="nginx,bare").parse_args()
    if given.quick:
        given.rounds, given.seconds = 2, 1.0
    result = compare(given, lambda target: measure(target, given.seconds), quiet_by="p50_us")
    rounds = result.rounds
    rows = [
        (
            name,
            rounds.median(name, "p50_us"),
            rounds.median(name, "p99_us"),
            None if name == "direct" else rounds.difference(name, "p50_us", "direct"),
            None if name in ("direct", "nginx") else rounds.difference(name, "p50_us", "nginx"),
        )
        for name in ("direct", *result.proxies)
    ]
    text = table(["target", "p50 us", "p99 us", "p50 over direct us", "p50 over nginx us"], rows)
    report("gateway_latency", result.figures, "\n".join([text, "", *result.notes]), given.json)


if __name__ == "__main__":
    main()
