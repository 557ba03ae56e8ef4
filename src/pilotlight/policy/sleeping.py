"""What sleep takes and gives back."""

from pilotlight.fleet.fleet import DeploymentState, Fleet, Replica, Stays
from pilotlight.policy.placement import Less

KEPT = 0.15
"""Share of its memory that a replica goes on taking, where none of its deployment was measured asleep yet [G]."""


def stays(d: DeploymentState, r: Replica, level: int) -> Stays:
    """What it is taken to go on taking: what was measured, else a guess that errs upwards.

    At level 1 a model leaves its devices for host memory.
    """
    if d.asleep is not None:
        return d.asleep
    memory = r.memory if r.awake is None else r.awake.memory
    if not r.devices:
        return Stays(int(KEPT * memory), None)
    moved = sum(r.gpu_memory) if level == 1 else 0
    return Stays(memory + moved, int(KEPT * max(r.gpu_memory)))


def less(d: DeploymentState, r: Replica, level: int) -> Less:
    """What its falling asleep frees."""
    kept = stays(d, r, level)
    memory = kept.memory if r.devices else min(kept.memory, r.memory)
    return Less(
        r, r.memory - memory, tuple(size - on_device(kept, size) for size in r.gpu_memory), gone=False
    )


def on_device(kept: Stays, size: int) -> int:
    """Bytes that stay on a device of which it had `size`."""
    return size if kept.gpu_memory is None else min(kept.gpu_memory, size)


def fits(fleet: Fleet, d: DeploymentState, r: Replica, level: int) -> bool:
    """Whether the host has room for a model that moves there from its devices."""
    more = -less(d, r, level).memory
    host = fleet.hosts[r.host]
    return more <= 0 or host.memory + host.overhead + more <= host.spec.memory
