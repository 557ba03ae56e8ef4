"""What techniques share: putting one step in the place of others."""

from collections.abc import Collection

from pilotlight.fleet.plan import Plan, Stage, Step


def replaced(plan: Plan, technique: str, old: Collection[Stage], new: Stage) -> Plan:
    """One step for those named: it needs what they needed from others and gives all that they gave.

    The plan as it was when one of them is not in it.
    """
    out = [s for s in plan.steps if s.name in old]
    if len(out) != len(old):
        return plan
    gives = frozenset(g for s in out for g in s.gives)
    needs = frozenset(n for s in out for n in s.needs) - gives
    stay = [s for s in plan.steps if s.name not in old]
    return Plan((*stay, Step(new, needs, gives)), (*plan.techniques, technique))
