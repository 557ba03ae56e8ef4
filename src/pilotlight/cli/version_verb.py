"""pilotlight version"""

import argparse
import json
import platform

from pilotlight import __version__


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> None:
    if args.json:
        print(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        print(f"pilotlight {__version__}")
