"""One published claim, and what came of it here."""

import msgspec

REPRODUCED, REFINED, REFUTED, NOT_HERE = "reproduced", "refined", "refuted", "not testable here"


class Claim(msgspec.Struct, frozen=True):
    subject: str
    claimed: str
    source: str
    """What kind of text says so."""
    found: str
    """What was measured or computed, with its numbers."""
    verdict: str
    how: str
    """`simulated`, `measured` (on this machine), `computed`, or why it is not testable."""
    detail: str = ""
    """What the page has below the table, for one that has more figures than a cell takes."""
