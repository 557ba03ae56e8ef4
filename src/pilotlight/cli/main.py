"""The command `pilotlight`. Only the file of the verb that was asked for is imported."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from pilotlight import __version__
from pilotlight.errors import ConfigError, PilotlightError

VERBS = {
    "serve": "serve the models of a configuration file",
    "run": "ask a model one thing, from its weights' source, with nothing set up",
    "pull": "fetch weights into the cache",
    "init": "write a commented starter configuration",
    "check": "say everything that is wrong with a configuration",
    "reload": "have a running server read its configuration again",
    "ps": "show a running server's replicas",
    "list": "show models, and weights in the cache",
    "warm": "start a replica before anybody asks",
    "stop": "let a model's replicas go",
    "logs": "show an engine's log",
    "trace": "show where a request's wait went",
    "version": "print the version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 for an error, 2 for a wrong configuration or command line, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments else ""
    if verb not in VERBS:
        return _overview(arguments)
    module = import_module(f"pilotlight.cli.{verb}_verb")
    parser = argparse.ArgumentParser(prog=f"pilotlight {verb}", description=VERBS[verb].capitalize() + ".")
    module.arguments(parser)
    try:
        return module.run(parser.parse_args(arguments[1:])) or 0
    except ConfigError as e:
        print(e, file=sys.stderr)
        return 2
    except PilotlightError as e:
        print(f"pilotlight: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _overview(arguments: list[str]) -> int:
    if arguments[:1] in (["--version"], ["-V"]):
        print(f"pilotlight {__version__}")
        return 0
    asked = not arguments or arguments[0] in {"-h", "--help", "help"}
    lines = ["Serverless LLM inference without the cold start.", "", "usage: pilotlight VERB ...", ""]
    lines += [f"  {verb:8} {text}" for verb, text in VERBS.items()]
    lines += ["", "pilotlight VERB --help says more."]
    if not asked:
        lines = [f"pilotlight: there is no verb {arguments[0]!r}; the verbs are {', '.join(VERBS)}"]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    raise SystemExit(main())
