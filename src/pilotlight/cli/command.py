"""Where the command begins, before anything is imported that takes time.

An interrupt that Python turns into an exception leaves a traceback while our own modules are imported, for nobody can
catch it yet, and a crash while some of others' are (numpy's). Until the verb is there it ends the process at once, as
it does any other.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from sys import UnraisableHookArgs
else:
    import _signal as signal  # the same; the other takes milliseconds to import


def main() -> int:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as by nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.unraisablehook = _unraisable
    from pilotlight.cli.main import main as run  # noqa: PLC0415

    return run()


def _unraisable(met: "UnraisableHookArgs") -> None:
    """An interrupt that came where nothing can be raised, as when an object is let go of, comes again."""
    if met.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(met)
        return
    import os  # noqa: PLC0415
    from threading import Timer  # noqa: PLC0415

    Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
