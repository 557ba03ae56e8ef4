"""The plain start plans, as values: what a start is when no technique has rewritten it.

What a step gives is a word that another step needs:

    place     a port, a log file, the devices
    weights   the weights on this machine's disk
    header    their first part, where the rest is still arriving
    process   a process that runs our first instruction (or, for a command, exists)
    runtime   the engine's runtime imported in it
    loaded    the same as `model`, but for weights that are still arriving
    model     the weights in memory and the engine able to answer
    warm      a first pass done
"""

from pilotlight.fleet.plan import Plan, Stage, Step, step

ALLOCATE = step(Stage.ALLOCATE, gives=["place"])
FETCH = step(Stage.FETCH, gives=["weights"])


def embedded(warm_up: bool = False) -> Plan:
    """An engine of ours that imports its runtime while the weights are still on their way."""
    steps = [
        ALLOCATE,
        FETCH,
        step(Stage.SPAWN, ["place"], ["process"]),
        step(Stage.IMPORT, ["process"], ["runtime"]),
        step(Stage.LOAD, ["runtime", "weights"], ["model"]),
    ]
    if warm_up:
        steps.append(step(Stage.WARM_UP, ["model"], ["warm"]))
    return Plan(tuple(steps))


def self_fetching() -> Plan:
    """An engine of ours that gets its weights by itself while it loads."""
    return Plan(
        (
            ALLOCATE,
            step(Stage.SPAWN, ["place"], ["process"]),
            step(Stage.IMPORT, ["process"], ["runtime"]),
            step(Stage.LOAD, ["runtime"], ["model"]),
        )
    )


def command(fetch: bool = False) -> Plan:
    """A command line: nobody sees inside, so loading lasts until its health answers.

    What it may be told to read has to be there before it runs, so a fetch comes first.
    """
    first: list[Step] = [ALLOCATE, FETCH] if fetch else [ALLOCATE]
    needs = ["place", "weights"] if fetch else ["place"]
    return Plan((*first, step(Stage.SPAWN, needs, ["process"]), step(Stage.LOAD, ["process"], ["model"])))
