"""Replicas as processes of this machine.

server ── guardian            one, forks keepers and inherits what a killed keeper leaves behind
             ├── keeper       one per replica, talks to the server; inherits every orphan of its command
             │     └── command and whatever it starts
             ├── keeper       of a zygote, which is as any command to it
             │     └── zygote has imported an engine's runtime, and is a guardian to the keepers that it forks
             │           ├── keeper
             │           │     └── a fork of the zygote, and whatever it starts
             │           └── spare  forked ahead, a keeper once it is ordered
             └── keeper ...

    killed                    what follows
    the server                guardian and keepers see its sockets (and its pidfd) end: everything is killed
    a keeper                  the kernel kills its command, the guardian what was below; the exit is reported
    the guardian              replicas keep running under their keepers; the next spawn starts a new guardian
    a zygote                  the keepers that it forked go on below its own keeper
    a spare                   a start that it had just been ordered for is plain; another is forked
    the keeper of a zygote    the kernel kills the zygote, and what it forked goes on below the guardian
    guardian and server       every keeper kills what it holds
    all of them               the kernel kills the commands; what those had started is found by its marks and
                              killed by `sweep` of the next server, which also runs recorded stop commands

The marks are two: PILOTLIGHT_OWNER in the environment, and the name of the pipe that standard output goes to. A fork
of a zygote writes its own over that which the system shows of the zygote's environment.
A process that sheds both is beyond `sweep`, though not beyond a keeper or the guardian.

Guardian, keepers and zygotes are `pilotlight_guest/{guardian,zygote}*.py`, which import nothing of pilotlight.
"""

from pilotlight.substrate.local.substrate import LocalSubstrate

__all__ = ["LocalSubstrate"]
