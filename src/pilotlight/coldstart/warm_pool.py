"""A process that waits with the runtime imported and no model: the start takes it, and another is primed behind it."""

from pilotlight.coldstart.rewriting import replaced
from pilotlight.fleet.plan import Plan, Stage

NAME = "warm_pool"


def rewrite(plan: Plan) -> Plan:
    return replaced(plan, NAME, (Stage.SPAWN, Stage.IMPORT), Stage.TAKE)
