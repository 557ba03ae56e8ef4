"""Replicas as processes of this machine.

server ── guardian            one, forks keepers and inherits what a killed keeper leaves behind
             ├── keeper       one per replica, talks to the server; inherits every orphan of its command
             │     └── command and whatever it starts
             └── keeper ...

    killed                    what follows
    the server                guardian and keepers see its sockets (and its pidfd) end: everything is killed
    a keeper                  the kernel kills its command, the guardian what was below; the exit is reported
    the guardian              replicas keep running under their keepers; the next spawn starts a new guardian
    guardian and server       every keeper kills what it holds
    all of them               the kernel kills the commands; what those had started is found by its marks and
                              killed by `sweep` of the next server, which also runs recorded stop commands

The marks are two: PILOTLIGHT_OWNER in the environment, and the name of the pipe that standard output goes to.
A process that sheds both is beyond `sweep`, though not beyond a keeper or the guardian.

Guardian and keepers are `pilotlight_guest/guardian*.py`, which import nothing of pilotlight.
"""

from pilotlight.substrate.local.substrate import LocalSubstrate

__all__ = ["LocalSubstrate"]
