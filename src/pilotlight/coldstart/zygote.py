"""A process that has imported the engine's runtime forks, so neither a process nor imports are waited for.

It removes the start of a process and its imports, not the weights.
"""

from pilotlight.coldstart.rewriting import replaced
from pilotlight.fleet.plan import Plan, Stage

NAME = "zygote"


def rewrite(plan: Plan) -> Plan:
    return replaced(plan, NAME, (Stage.SPAWN, Stage.IMPORT), Stage.FORK)
