"""pilotlight run"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from pilotlight.cli.pull_verb import fetch
from pilotlight.cli.serve_verb import run_loop, set_up_logging
from pilotlight.cli.trace_verb import render
from pilotlight.errors import PilotlightError
from pilotlight.spec.model import Config, Model
from pilotlight.units import FOREVER

NAME = "model"


_CONTROLS = dict.fromkeys([*(n for n in range(32) if chr(n) not in "\n\t"), *range(127, 160)])
"""Without them nothing that a model says is a sequence that moves a cursor, names a window or answers for its user
(ECMA-48); what is left of such a sequence is text."""


def inert(text: str) -> str:
    """As it may be shown on a terminal."""
    return text.translate(_CONTROLS)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", help="hf://org/repo[@rev]/file.gguf, https://..., demo://50m, demo://1b or a path"
    )
    parser.add_argument("prompt", nargs="?", help="what to ask; default: read from standard input")
    parser.add_argument("--max-tokens", type=_positive, default=256, help="default: 256")
    parser.add_argument("--temperature", type=float, help="default: the engine's")
    parser.add_argument("--seed", type=int, help="default: the engine's")
    parser.add_argument("--context", type=_positive, default=4096, help="tokens of context; default: 4096")
    parser.add_argument("--trace", action="store_true", help="afterwards, show on stderr where the wait went")
    parser.add_argument(
        "--json", action="store_true", help="for programs: the answer and its trace, when it is whole"
    )
    parser.add_argument("--verbose", "-v", action="store_true", help="log what the server does")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    from pilotlight.cli.state import cache_dir  # noqa: PLC0415
    from pilotlight.weights.cache import WeightCache  # noqa: PLC0415

    set_up_logging(args.verbose)
    if not args.verbose:
        logging.getLogger().setLevel(logging.ERROR)
        logging.getLogger("pilotlight.weights").setLevel(logging.WARNING)  # that it is tried again, and why
    prompt = args.prompt if args.prompt is not None else sys.stdin.read()
    source = args.source if "://" in args.source else str(Path(args.source).resolve())
    cache = WeightCache(cache_dir(Config()))
    cache.check(source)
    fetch(cache, source)
    return run_loop(_ask(args, source, prompt))


async def _ask(args: argparse.Namespace, source: str, prompt: str) -> int:
    """The whole server on a free port, asked once: what is seen here is what serving does."""
    import aiohttp  # noqa: PLC0415

    from pilotlight.cli.server import Server  # noqa: PLC0415

    model = Model(source=source, ttl=FOREVER, engine_args={"n_ctx": args.context})
    with tempfile.TemporaryDirectory(prefix="pilotlight-run-") as state:
        config = Config(port=0, models={NAME: model}, state_dir=state)
        server = Server(config, Path.cwd(), os.environ)
        try:
            await server.start()
            body: dict[str, Any] = {
                "model": NAME,
                "stream": True,
                "max_tokens": args.max_tokens,
                "messages": [{"role": "user", "content": prompt}],
            }
            body.update({k: v for k in ("temperature", "seed") if (v := getattr(args, k)) is not None})
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
                url = f"{server.entrance.url}/v1/chat/completions"
                request_id, text = await _answer(session, url, body, quiet=args.json)
            _show(args, text, await _trace(server, request_id))
        finally:
            await server.close()
    return 0


async def _trace(server: Any, request_id: str) -> dict[str, Any]:
    """Recorded when the request's handler is done, which is a moment after its last byte."""
    from pilotlight.telemetry.stages import trace  # noqa: PLC0415

    for _ in range(500):
        if (record := server.traces.get(request_id)) is not None:
            return trace(record)
        await asyncio.sleep(0.01)
    raise PilotlightError("the request was answered but not recorded")


def _show(args: argparse.Namespace, text: str, trace: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps({"text": text, "trace": trace}))
        return
    print()
    if args.trace:
        print(render(trace), file=sys.stderr)


async def _answer(session: Any, url: str, body: dict[str, Any], quiet: bool) -> tuple[str, str]:
    """The request's id and the whole text, printed as it comes. Raises PilotlightError with the server's own words."""
    text = ""
    async with session.post(url, json=body) as answer:
        if answer.status != 200:
            raise PilotlightError(inert(_message(await answer.read())))
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            event = msgspec.json.decode(line[6:])
            if "error" in event:
                raise PilotlightError(inert(event["error"]["message"]))
            for choice in event.get("choices", ()):
                part = choice.get("delta", {}).get("content") or ""
                text += part
                if not quiet:
                    sys.stdout.write(inert(part))
                    sys.stdout.flush()
        return answer.headers["x-pilotlight-request-id"], text


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace")
