"""pilotlight warm"""

import argparse
import json
import time

from pilotlight.cli import client
from pilotlight.errors import ServerError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("--wait", action="store_true", help="return once a replica is ready")
    parser.add_argument("--json", action="store_true", help="for programs")
    client.arguments(parser)


def run(args: argparse.Namespace, order: str = "warm") -> None:
    server = client.Client(args)
    answer = server.post(f"/models/{client.quote(args.model)}/{order}", "model", "replicas")
    if args.wait:
        answer = _wait(server, answer)
    if args.json:
        print(json.dumps(answer))
    else:
        states = ", ".join(f"{n} {state}" for state, n in answer["replicas"].items()) or "no replica yet"
        print(f"{answer['model']}: {states}")


def _wait(server: client.Client, answer: dict) -> dict:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType]
    """Raises ServerError when the start came to nothing."""
    model = answer["model"]
    while True:
        running = server.get("/running", "replicas", "waiting_for_room")
        states = [r["state"] for r in running["replicas"] if r["model"] == model]
        if "ready" in states:
            return {"model": model, "replicas": {s: states.count(s) for s in states}}
        if not states and model not in running["waiting_for_room"]:
            raise ServerError(f"{model} did not come up; {server.latest(model)}")
        time.sleep(0.1)
