"""The engine loads while its weights arrive: as soon as their header is here, and in the file they arrive in.

An engine that maps its weights reads the header when it loads, and tensors only when it computes. Nothing is computed
before the file is whole and verified: the replica is ready once both the load and the fetch are over and the engine
has been told so. It removes the load from a start that has to fetch, and nothing from one that has not.
"""

from pilotlight.fleet.plan import Plan, Stage, Step, step

NAME = "stream"

HEADER, LOADED = "header", "loaded"


def rewrite(plan: Plan) -> Plan:
    """The plan as it was when it has no load that waits for a fetch."""
    fetched = frozenset(g for s in plan.steps if s.name is Stage.FETCH for g in s.gives)
    load = next((s for s in plan.steps if s.name is Stage.LOAD), None)
    if load is None or not fetched or not fetched <= load.needs:
        return plan
    early = Step(Stage.LOAD, load.needs - fetched | {HEADER}, frozenset({LOADED}))
    gate = Step(Stage.WHOLE, fetched | {LOADED}, load.gives)
    others = (s for s in plan.steps if s is not load)
    return Plan((step(Stage.HEADER, gives=[HEADER]), *others, early, gate), (*plan.techniques, NAME))
