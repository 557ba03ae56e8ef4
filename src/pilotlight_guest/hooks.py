"""What has to be done before a process is copied and in each copy. Standard library only, Python >= 3.8.

A zygote is copied by fork. What cannot be shared by several processes (a connection, a lock file, a thread, a seed) is
let go of before and made anew after; code that a zygote preloads says so here:

    from pilotlight_guest import hooks

    @hooks.before_snapshot
    def hang_up() -> None: ...

    @hooks.after_restore
    def connect() -> None: ...

The first run in reverse order of their registration, in the process that is copied, before each copy; one that raises
calls the copy off. The others run in order, in the copy, once its environment and working folder are its own; one that
raises ends it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[], None]

_before: list[Hook] = []
_after: list[Hook] = []


def before_snapshot(hook: Hook) -> Hook:
    _before.append(hook)
    return hook


def after_restore(hook: Hook) -> Hook:
    _after.append(hook)
    return hook


def run_before_snapshot() -> None:
    for hook in reversed(_before):
        hook()


def run_after_restore() -> None:
    for hook in _after:
        hook()
