"""How many requests can wait for one cold model, what each costs in server memory, and that all get answered.

A stand-in engine becomes ready only when this script lets it. Until then H non-streaming requests of 1 KB
wait, each on a connection of its own. Memory is the growth of the PSS of the server's tree; what the kernel
holds for the sockets (of both ends, for the clients are here too) is told apart. The limit of open files
binds first, so H is capped by it.
"""

import argparse
import json
import re
import subprocess
import time
from pathlib import Path

from harness import LOAD_CORE, Bench, build, wait_until
from peers import Target, admin, start_pilotlight, upstream_command
from rounds import report, table

RUNNING_AT_ONCE = 512


def held_now(target: Target) -> float:
    found = re.search(
        rb"^pilotlight_held_requests\{[^}]*\} ([\d.e+]+)", admin(target, "/metrics"), re.MULTILINE
    )
    return float(found.group(1)) if found else 0.0


def kernel_bytes() -> dict[str, int]:
    """Machine-wide: pages of TCP buffers, and the slab, where socket structures and open files live."""
    tcp = re.search(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    slab = re.search(r"^Slab: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert tcp and slab
    return {"tcp_buffers": int(tcp.group(1)) * 4096, "slab": int(slab.group(1)) << 10}


def hold(bench: Bench, target: Target, ready: Path, count: int) -> dict[str, object]:
    before, kernel_before = target.tree.pss(), kernel_bytes()
    number = str(count)
    argv = [str(build("load")), "--port", str(target.port), "--core", str(LOAD_CORE), *target.load_options]
    started = time.monotonic()
    with subprocess.Popen(
        [*argv, "--connections", number, "--requests", number, "--timeout", "300"],
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        bench.callback(client.kill)
        assert client.stdout
        if not client.stdout.readline().startswith("sent"):
            raise RuntimeError(f"not all {count} requests could be sent\n{target.tree.tail()}")
        wait_until(lambda: held_now(target) >= count, 120, f"{count} requests held")
        held_after = time.monotonic() - started
        time.sleep(1)
        during, kernel_during = target.tree.pss(), kernel_bytes()
        released = time.monotonic()
        ready.touch()
        result = json.loads(client.stdout.readline())
    grown = during - before
    return {
        "held": count,
        "pss_before": before,
        "pss_held": during,
        "bytes_each": grown / count,
        "per_gib": count * 2**30 / grown,
        "kernel_bytes_each": {
            key: (kernel_during[key] - kernel_before[key]) / count for key in kernel_before
        },
        "seconds_to_hold": held_after,
        "seconds_to_answer": time.monotonic() - released,
        "answered": result["requests"],
        "errors": result["errors"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--held", type=int, default=15_000, help="requests to hold; default %(default)s")
    parser.add_argument("--quick", action="store_true", help="hold 1,000")
    parser.add_argument("--pilotlight", help="the pilotlight command")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    with Bench() as bench:
        count = min(1000 if given.quick else given.held, bench.file_limit - 2 * RUNNING_AT_ONCE - 500)
        ready = bench.folder / "ready"
        model = {
            "engine": "command",
            "cmd": upstream_command("--ready-file", str(ready)),
            "max_pending_requests": count + 100,
            "max_requests": RUNNING_AT_ONCE,
            "memory": "64MiB",
        }
        figures = hold(bench, start_pilotlight(bench, {"m": model}, program=given.pilotlight), ready, count)
    kernel = figures["kernel_bytes_each"]
    assert isinstance(kernel, dict)
    rows = [
        ("requests held", figures["held"]),
        ("held per GiB of server memory (PSS)", figures["per_gib"]),
        ("KiB of server memory each", figures["bytes_each"] / 1024),  # type: ignore[operator]
        ("KiB of kernel TCP buffers each, both ends", kernel["tcp_buffers"] / 1024),
        ("KiB of kernel slab each, both ends", kernel["slab"] / 1024),
        ("seconds until all were held", figures["seconds_to_hold"]),
        ("seconds until all were answered", figures["seconds_to_answer"]),
        ("answered", figures["answered"]),
        ("errors", figures["errors"]),
    ]
    report("held_requests", figures, table(["held requests", ""], rows), given.json)
    if figures["answered"] != figures["held"]:
        raise SystemExit("not every held request was answered")


if __name__ == "__main__":
    main()
