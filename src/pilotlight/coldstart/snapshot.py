"""A process that was dumped when it was ready is restored: neither process, nor imports, nor the load are waited for.

The weights have to be here: they are mapped anew from the file that was mapped.
"""

from pilotlight.coldstart.rewriting import replaced
from pilotlight.fleet.plan import Plan, Stage

NAME = "snapshot"

INSTEAD_OF = (Stage.SPAWN, Stage.IMPORT, Stage.LOAD, Stage.WARM_UP)


def rewrite(plan: Plan) -> Plan:
    """The plan as it was when it is not that of an engine that tells of its imports."""
    names = {step.name for step in plan.steps}
    if not {Stage.FETCH, *INSTEAD_OF[:3]} <= names:
        return plan
    return replaced(plan, NAME, [stage for stage in INSTEAD_OF if stage in names], Stage.RESTORE)
