"""pilotlight init"""

import argparse
import json
from pathlib import Path

from pilotlight.errors import PilotlightError
from pilotlight.spec.starter import starter


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", default="pilotlight.yaml", help="where; default: pilotlight.yaml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")


def run(args: argparse.Namespace) -> None:
    path = Path(args.path)
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(starter())
    except FileExistsError:
        raise PilotlightError(f"{path} is there already; --force overwrites it") from None
    except OSError as e:
        raise PilotlightError(f"{path} cannot be written: {e.strerror}") from None
    if args.json:
        print(json.dumps({"path": str(path)}))
        return
    print(f"wrote {path}; next: pilotlight serve {path}")
