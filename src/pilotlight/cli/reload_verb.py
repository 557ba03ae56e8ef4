"""pilotlight reload"""

import argparse
import json

from pilotlight.cli import client


def arguments(parser: argparse.ArgumentParser) -> None:
    client.arguments(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> None:
    answer = client.Client(args).post("/reload", "changes")
    if args.json:
        print(json.dumps(answer))
    else:
        print("\n".join(answer["changes"]) or "nothing changed")
