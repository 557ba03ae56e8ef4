"""The command `pilotlight`. Only the file of the verb that was asked for is imported."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

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
    "explain": "show why a model has the replicas that it has: decisions, and what each policy asks for",
    "providers": "show the providers that models burst to: health, latency, spend, budget left",
    "engine": "install engines that do not come with pilotlight, such as vLLM",
    "list": "show models, and weights in the cache",
    "warm": "start a replica before anybody asks",
    "sleep": "put a model's idle replicas aside, so that their memory is free",
    "wake": "bring a model's replica back from sleep, or start one",
    "stop": "let a model's replicas go",
    "logs": "show an engine's log",
    "trace": "show where a request's wait went",
    "bench": "measure what a start from zero costs and what each technique takes off it",
    "simulate": "replay request traces through the scaling policies, and say what it would have cost",
    "cost": "show what it has cost, on what, and what the same traffic would have cost otherwise",
    "prices": "print the price book: examples until you set your own",
    "advise": "say which tier serves a traffic at the least cost, from simulations of it",
    "version": "print the version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 for an error, 2 for a wrong configuration or command line, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Without them (`>&-`) their numbers would be given to files that we open.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except ConfigError as e:
        print(e, file=sys.stderr)
        return 2
    except PilotlightError as e:
        text = str(e)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as e:
        _drop_output()
        text = _of_system(e)
    except Exception as e:
        if os.environ.get("PILOTLIGHT_DEBUG"):
            raise
        text = f"met an error of its own, {type(e).__name__}: {e}; with PILOTLIGHT_DEBUG=1 it shows where"
    print(f"pilotlight: {text}", file=sys.stderr)
    return 1


def _run(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else ""
    if verb not in VERBS:
        return _overview(arguments)
    _tell_where_temporary_files_go()
    module = import_module(f"pilotlight.cli.{verb}_verb")
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # see command.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog=f"pilotlight {verb}", description=VERBS[verb].capitalize() + ".")
    module.arguments(parser)
    try:
        args = parser.parse_args(arguments[1:])
    except SystemExit as e:  # it has shown its help, or what is wrong
        return int(e.code or 0)
    return module.run(args) or 0


def _tell_where_temporary_files_go() -> None:
    """Where that is not where they were to go: what is written to a folder that nobody named may be much."""
    named = os.environ.get("TMPDIR")
    if not named or (Path(named).is_dir() and os.access(named, os.W_OK | os.X_OK)):
        return
    from tempfile import gettempdir  # noqa: PLC0415

    with contextlib.suppress(OSError):  # there is none at all, which whoever needs one will say
        text = f"TMPDIR={named} is no folder that can be written; temporary files go to {gettempdir()}"
        print(f"pilotlight: {text}. Make it one, or point TMPDIR elsewhere", file=sys.stderr)


def _of_system(e: OSError) -> str:
    why = e.strerror or str(e)
    if e.filename:
        return f"{e.filename} cannot be used: {why}"
    if "temporary directory" in why:
        return f"temporary files have no place: {why}; set TMPDIR to a folder that can be written"
    return f"the output cannot be written: {why}"


def _drop_output() -> None:
    """Whoever read it has gone, or its disk is full: the interpreter shall not try again, and complain, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _overview(arguments: list[str]) -> int:
    if arguments[:1] in (["--version"], ["-V"]):
        print(f"pilotlight {__version__}")
        return 0
    asked = not arguments or arguments[0] in {"-h", "--help", "help"}
    lines = ["Serverless LLM inference without the cold start.", "", "usage: pilotlight VERB ...", ""]
    width = max(map(len, VERBS))
    lines += [f"  {verb:{width}} {text}" for verb, text in VERBS.items()]
    lines += ["", "pilotlight VERB --help says more."]
    if not asked:
        lines = [f"pilotlight: there is no verb {arguments[0]!r}; the verbs are {', '.join(VERBS)}"]
    print("\n".join(lines), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    raise SystemExit(main())
