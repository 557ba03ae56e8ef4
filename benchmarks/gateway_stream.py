"""CPU time per streamed chunk and one-way latency: 500 streams at a fixed rate of chunks, as SSE.

Each chunk carries the time at which the engine sent it, so the latency needs no round trip. Nginx runs with
proxy_buffering off. "Offered" is what the engine sends in all; a proxy that keeps up delivers the same.
"""

from compare import arguments, compare
from harness import run_load
from peers import Target
from rounds import report, table

WARM_UP = 1.5


def measure(target: Target, seconds: float, streams: int) -> dict[str, float]:
    window = ["--stream", "--connections", str(streams), "--seconds", str(seconds), "--warmup", str(WARM_UP)]
    load = run_load(target.port, [*window, *target.load_options], cpu=target.cpu_ns)
    chunks = load.result["chunks"]
    if load.result["errors"] or not chunks:
        raise RuntimeError(f"{target.name}: {load.result}")
    row = {key: load.result[key] for key in ("chunks", "per_second", "p50_us", "p99_us")}
    return row | {"cpu_us": load.cpu_ns / chunks / 1000}


def main() -> None:
    parser = arguments(__doc__, rounds=5, seconds=5)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--offered", type=float, default=25_000, help="chunks per second in all")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds = 2, 1.5
    rate = given.offered / given.streams
    chunks = int(rate * (WARM_UP + given.seconds + 10))  # so that no stream ends in the measured window

    result = compare(
        given,
        lambda target: measure(target, given.seconds, given.streams),
        quiet_by="cpu_us",
        upstream_options=["--rate", f"{rate:g}", "--chunks", str(chunks)],
        streaming=True,
    )
    rounds = result.rounds
    rows = []
    for name in ("direct", *result.proxies):
        direct = name == "direct"
        delivered = rounds.median(name, "per_second")
        rows.append(
            (
                name,
                None if direct else rounds.median(name, "cpu_us"),
                None if direct else rounds.ratio(name, "cpu_us"),
                delivered,
                f"{delivered / given.offered:.1%}",
                rounds.median(name, "p50_us"),
                rounds.median(name, "p99_us"),
            )
        )
    head = ["target", "CPU us/chunk", "nginx = 1", "chunks/s", "of offered", "one-way p50 us", "p99 us"]
    text = "\n".join([table(head, rows), "", *result.notes])
    report("gateway_stream", {"offered": given.offered, **result.figures}, text, given.json)


if __name__ == "__main__":
    main()
