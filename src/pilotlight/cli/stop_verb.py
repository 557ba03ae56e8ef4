"""pilotlight stop"""

import argparse
import json

from pilotlight.cli import client


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.add_argument("--json", action="store_true", help="for programs")
    client.arguments(parser)


def run(args: argparse.Namespace) -> None:
    answer = client.Client(args).post(f"/models/{client.quote(args.model)}/stop", "model", "replicas")
    if args.json:
        print(json.dumps(answer))
    else:
        states = ", ".join(f"{n} {state}" for state, n in answer["replicas"].items()) or "nothing was up"
        print(f"{answer['model']}: {states}")
