"""Weights that lie on the disk alone are read into memory from the first moment on, while the process comes up.

It removes nothing from a start whose weights are in memory already.
"""

from pilotlight.fleet.plan import Plan, Stage, Step

NAME = "read_ahead"


def rewrite(plan: Plan) -> Plan:
    """Nothing waits for it: who comes to what is not there yet reads it. The plan as it was where nobody sees what
    reads the weights, for they may not be what it reads."""
    if not any(s.name is Stage.LOAD and "runtime" in s.needs for s in plan.steps):
        return plan
    fetched = frozenset(g for s in plan.steps if s.name is Stage.FETCH for g in s.gives)
    return Plan((*plan.steps, Step(Stage.READ, fetched, frozenset())), (*plan.techniques, NAME))
