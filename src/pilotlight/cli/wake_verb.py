"""pilotlight wake"""

import argparse

from pilotlight.cli import warm_verb

arguments = warm_verb.arguments


def run(args: argparse.Namespace) -> None:
    warm_verb.run(args, order="wake_up")
