"""The server under test of `pilotlight bench`: the whole one, told over its standard input, gone when that ends."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from pilotlight.bench.child import Order, Up, read_order
from pilotlight.cli.serve_verb import allow_many_files, run_loop, set_up_logging
from pilotlight.cli.server import Server
from pilotlight.errors import PilotlightError


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the benchmark ends this by its own end
    try:
        order = read_order()
    except EOFError:
        return 1
    set_up_logging(verbose=False)
    allow_many_files()
    try:
        return run_loop(_serve(order))
    except PilotlightError as e:
        print(e, file=sys.stderr)
        return 1


async def _serve(order: Order) -> int:
    server = Server(order.config, Path(order.config_dir), os.environ)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: None if os.read(0, 4096) else over.set())
    loop.add_signal_handler(signal.SIGTERM, over.set)
    try:
        await server.start()
        sys.stdout.buffer.write(msgspec.json.encode(Up(server.entrance.url, server.entrance.port)) + b"\n")
        sys.stdout.buffer.flush()
        await over.wait()
    finally:
        loop.remove_reader(0)
        await server.close(at_once=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
