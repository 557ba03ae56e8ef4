"""pilotlight serve"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from pilotlight.cli.engine_problems import no_snapshots, not_installed, wrong_args
from pilotlight.cli.server import Server
from pilotlight.errors import ConfigError
from pilotlight.spec.load import load
from pilotlight.spec.model import Config

log = logging.getLogger(__name__)

DEFAULT = "pilotlight.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default=DEFAULT, help=f"the configuration; default: {DEFAULT}")
    parser.add_argument("--host", help="listen here instead of the configuration's host")
    parser.add_argument(
        "--port", type=_port, help="listen here instead of the configuration's port; 0 takes a free one"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="allow an address that is not loopback without api_keys"
    )
    parser.add_argument(
        "--json", action="store_true", help="for programs: one line on standard output once the port is open"
    )
    parser.add_argument("--verbose", "-v", action="store_true", help="log every decision's details")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; they go from 0 to 65535")
    return int(text)


def tell_of_missing(path: Path, config: Config) -> None:
    """A model whose engine is not installed answers 503 with these words, and the others are served. Raises
    ConfigError where there is nothing else to serve."""
    missing = not_installed(path, config)
    if missing and all(model.engine in missing for model in config.models.values()):
        raise ConfigError([*missing.values()])
    for problem in missing.values():
        log.warning("%s; its models answer 503 until then", problem)
    if why := no_snapshots(config):
        log.warning("%s", why)


def run(args: argparse.Namespace) -> int:
    set_up_logging(args.verbose)
    allow_many_files()
    collect_less()
    path = Path(args.config)

    def read() -> Config:
        import msgspec  # noqa: PLC0415

        config = load(path, os.environ)
        tell_of_missing(path, config)
        changes = {k: v for k, v in (("host", args.host), ("port", args.port)) if v is not None}
        return msgspec.structs.replace(config, **changes) if changes else config

    def check(config: Config) -> None:
        if problems := wrong_args(path, config):
            raise ConfigError(problems)

    def read_and_check() -> Config:
        config = read()
        check(config)
        return config

    config = read()
    server = Server(config, path.resolve().parent, os.environ, read_and_check, args.insecure)
    return run_loop(_serve(server, str(path.resolve()), lambda: check(config), args.json))


def allow_many_files() -> None:
    """Every held request is an open socket, and a shell allows 1024 files by default: takes what the system allows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on every platform

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def collect_less() -> None:
    """Looks for unreachable circles of objects less often: a busy server makes thousands of objects a second, hardly
    any of them in circles, and looking for those takes 5 % of its time."""
    gc.set_threshold(20_000, 20, 50)


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """On uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def set_up_logging(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    for noisy in ("aiohttp.access", "asyncio", "urllib3", "httpx", "filelock", "gguf"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


async def _serve(server: Server, config_file: str, check: Callable[[], None], tell: bool) -> int:
    log = logging.getLogger("pilotlight")
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()
    hurry = asyncio.Event()

    def asked_to_leave() -> None:
        (hurry if leave.is_set() else leave).set()

    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, asked_to_leave)
    with contextlib.suppress(AttributeError):  # a platform without SIGHUP
        loop.add_signal_handler(signal.SIGHUP, server.reload_and_log)
    # Beside what the server does before it opens its port: some engines have to be imported for it, which takes 100 ms.
    checked = asyncio.ensure_future(asyncio.to_thread(check))
    try:
        await server.start(config_file, checked)
        if tell:
            about = {
                "url": server.entrance.url,
                "port": server.entrance.port,
                "pid": os.getpid(),
                "models": [*server.config.models],
            }
            print(json.dumps(about), flush=True)
        log.info("serving %s on %s", ", ".join(server.config.models) or "no models", server.entrance.url)
        await leave.wait()
        log.info("leaving: running requests are finished; a second signal ends them")
        await server.drain(hurry)
    finally:
        await asyncio.gather(checked, return_exceptions=True)
        await server.close(at_once=hurry.is_set())
    return 0
