"""The claims that take no time to try come out as the page says, and the page leaves none out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "claims.md"
FAST = ("waste", "pings", "functions", "tokens", "anatomy", "untested")
VERDICTS = {"reproduced", "refined", "refuted", "not testable here"}

PUBLISHED = {
    # the anatomy of a start
    "GPU allocation, scheduling": ("queue",),
    "image pull and boot": ("8-15 GB", "10-30 s"),
    "runtime initialisation": ("1-2 s", "5-15 s"),
    "SDK imports": ("3-8 s",),
    "weights: their size": ("14 GB", "100-130 GB", "dominates"),
    "weights: host to GPU": ("2 s for 7B",),
    "KV-cache allocation": ("0.5-2 s", "grows"),
    "compile, autotune, graph capture": ("warm-up",),
    "first token, warm": ("30-50 ms",),
    "whole cold start": ("2-8 s", "> 40 s", "30 ms", "1,000"),
    "70B from download": ("110 s",),
    "how long users wait": ("2 s", "5 s", "8 s"),
    # mitigations
    "persistent workers": ("5 s -> 50 ms",),
    "persistent workers: price": ("$2,500", "$1,000-1,500"),
    "speculative warmer": ("60-70 %",),
    "hybrid: cost": ("40 %",),
    "hybrid: cold rate": ("0 %", "15 %"),
    "hybrid: latency": ("90 ms",),
    "INT8 weights": ("half the bytes", "1 s saved"),
    "container-level model cache": ("30-50 %",),
    "pre-warming before predicted peaks": ("no cold starts",),
    "keep-warm pings": ("5 minutes", "5-7 minutes"),
    "provisioned concurrency": ("10 x 512 MB", "$15", "$30"),
    "snapshot of the initialised process": ("93-95 %", "6.5 s -> 415 ms", "hooks"),
    "GPU memory snapshots": ("45 s -> 5 s", "2-4 s"),
    "managed instances": ("no cold starts", "tens of seconds", "15 %"),
    "scale-to-zero GPU containers": ("10 min", "< 5 s", "19 s"),
    "memory-mapped formats": ("40 %",),
    "sleep mode": ("18-200",),
    "overlap and parallel fetch": ("1.7-4.7",),
    "multi-tier loading, start-aware placement": ("10-200",),
    "SDK clients at module scope": ("once per container",),
    # operating rules
    "cold-start rate to aim at": ("10 %", "5 %", "2-5 %"),
    "a cold start for each request": ("5 s", "30 s", "85 %"),
    "break-even by utilisation": ("40-50 %",),
    "break-even by rate": ("200 requests an hour",),
    "functions against machines": ("35,000",),
    "dedicated against per-token prices": ("50-100M",),
    "billed initialisation": ("2 s", "512 MB", "$0.80", "$17.80"),
    "active-CPU billing": ("1.5 s", "8 s", "9.5 s", "80 %"),
    "tier by traffic": (
        "spiky",
        "steady",
        "near zero",
        "waiting users: minimum instances or snapshots",
        "batch",
        "critical",
    ),
    "sessions of agents": ("session id", "starts cold"),
    "state of agents": ("Redis", "Postgres", "S3", "a year"),
}
"""Everything that is published, by the subject of its row, with what the row has to quote of it."""

NO_CLAIMS = {
    "the cold-start rate is the share of requests over 2 s": "a definition, which `objective.wait` has",
    "warm and cold requests must be told apart": "a requirement, met by `x-pilotlight-start`",
    "N pings at once for N instances": "in the row of the pings, among what comes out",
    "inference location and session statefulness decide, too": "questions that `pilotlight advise` asks; no figure",
}
"""What stands beside them and has no row, and why."""


@pytest.fixture(scope="module")
def tried(claims: SimpleNamespace) -> dict[str, Any]:
    """By subject."""
    return {c.subject: c for name in FAST for c in getattr(claims, name).claims()}


def rows() -> dict[str, list[str]]:
    """The cells of the page's first table, by subject."""
    table = PAGE.read_text().split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row] for row in cells[1:]}


def test_verdicts(tried: dict[str, Any]) -> None:
    assert tried["a cold start for each request"].verdict == "reproduced"
    assert "85.7 %" in tried["a cold start for each request"].found
    assert tried["billed initialisation"].verdict == "reproduced"
    assert tried["provisioned concurrency"].verdict == "refuted"
    assert tried["active-CPU billing"].verdict == "refined"
    assert tried["keep-warm pings"].verdict == "refined"
    assert tried["70B from download"].verdict == "reproduced"
    assert tried["persistent workers: price"].verdict == "refined"


def test_invocations_are_at_the_price_of_provisioned_ones(tried: dict[str, Any]) -> None:
    found = tried["provisioned concurrency"].found
    millions = 15 / (0.20 + 0.5 * 9.7222)  # a second of half a GB and the request, a million of each
    assert f"{millions:.1f}M of 1 s" in found
    assert "no number of invocations makes it $30" in found


def test_what_the_page_says_is_what_comes_out(tried: dict[str, Any]) -> None:
    page = PAGE.read_text()
    for claim in tried.values():
        assert f"| {claim.subject} | {claim.claimed} |" in page
        assert claim.found in page, f"{claim.subject}: make docs/claims.md anew with benchmarks/claims"


def test_everything_that_is_published_has_its_row(tried: dict[str, Any]) -> None:
    found = rows()
    assert sorted(found) == sorted(PUBLISHED)
    for subject, quoted in PUBLISHED.items():
        claimed = found[subject][1]
        assert all(words in claimed for words in quoted), f"{subject}: {claimed}"


def test_every_row_has_a_verdict_and_what_it_rests_on() -> None:
    for subject, (_, _, source, here, verdict, how) in rows().items():
        assert verdict.strip("*") in VERDICTS, subject
        assert source, subject
        assert how, subject
        assert here != "-" or verdict == "**not testable here**", subject
        assert len(here) < 750, f"{subject}: a cell is no essay; put its figures below the table"


def test_a_row_keeps_its_columns_and_details_come_below(claims: SimpleNamespace) -> None:
    claim = claims.claim.Claim("of a|b", "c", "d", "e", "refined", "f", "more\n")
    assert claims.page.row(claim) == "| of a/b | c | d | e | **refined** | f |\n"
    assert claims.page.below(claim) == "\n## Of a|b\n\nmore\n"
    assert claims.page.below(claims.claim.Claim("a", "b", "c", "d", "refined", "e")) == ""
