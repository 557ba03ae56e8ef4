"""pilotlight sleep"""

import argparse
import json
import time
from typing import Any

from pilotlight.cli import client
from pilotlight.errors import ServerError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument(
        "--level",
        type=int,
        choices=(1, 2),
        help="vLLM: 1 keeps the weights in host memory, 2 drops them; default: the model's sleep_level",
    )
    parser.add_argument("--wait", action="store_true", help="return once it sleeps")
    parser.add_argument("--json", action="store_true", help="for programs")
    client.arguments(parser)


def run(args: argparse.Namespace) -> None:
    server = client.Client(args)
    level = f"?level={args.level}" if args.level is not None else ""
    answer = server.post(f"/models/{client.quote(args.model)}/sleep{level}", "model", "replicas")
    if args.wait:
        answer = _wait(server, answer["model"])
    if args.json:
        print(json.dumps(answer))
    else:
        print(f"{answer['model']}: {_words(answer['replicas'])}")


def _wait(server: client.Client, model: str) -> dict[str, Any]:
    """Raises ServerError when none of it sleeps in the end."""
    while True:
        running = server.get("/running", "replicas")
        states = [r["state"] for r in running["replicas"] if r["model"] == model]
        counts = {state: states.count(state) for state in states}
        if "going_to_sleep" not in states:
            break
        time.sleep(0.1)
    if "asleep" in counts:
        return {"model": model, "replicas": counts}
    raise ServerError(f"{model} does not sleep: {_words(counts)}; the server's log says why")


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in counts.items()) or "nothing was up"
