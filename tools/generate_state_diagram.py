"""Writes the diagram of replica states into docs/architecture.md, from the one table of transitions."""

import argparse
import sys
from pathlib import Path

from pilotlight.fleet.states import mermaid

DOC = Path(__file__).parents[1] / "docs" / "architecture.md"
BEGIN, END = "<!-- states: generated -->", "<!-- /states -->"


def fresh(text: str) -> str:
    """The document with the diagram as the table has it now."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n```mermaid\n{mermaid()}\n```\n{END}{tail}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the file is fresh")
    args = parser.parse_args()
    text = DOC.read_text()
    if fresh(text) == text:
        return 0
    if args.check:
        print(f"{DOC.name} is not fresh; run: make docs", file=sys.stderr)
        return 1
    DOC.write_text(fresh(text))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
