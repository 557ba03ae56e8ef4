"""How much of the time there is work for a level, as of late."""

from math import exp

from pilotlight.fleet.demand import Level


def pass_time(level: Level, now: float) -> None:
    """Works up what was seen since; exponentially weighted over the level's horizon."""
    busy = level.new_busy
    if level.busy and not level.guessed:
        since = max(level.busy_since, level.as_of)
        busy += now - since
    passed = now - level.as_of
    if passed <= 0.0:
        return
    keep = exp(-passed / level.horizon)
    new = level.horizon * (1.0 - keep)
    level.over = level.over * keep + new
    level.busy_seconds = level.busy_seconds * keep + min(1.0, busy / passed) * new
    level.spells = level.spells * keep + level.new_spells / passed * new
    level.new_busy, level.new_spells = 0.0, 0
    level.as_of = now
