"""Where the command begins, before anything is imported that takes time.

An interrupt that Python turns into an exception leaves a traceback while our own modules are imported, for nobody can
catch it yet, and a crash while some of others' are (numpy's). Until the verb is there it ends the process at once, as
it does any other.
"""

import signal


def main() -> int:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as by nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pilotlight.cli.main import main as run  # noqa: PLC0415

    return run()
