"""The claims that take no time to try come out as the page says."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks" / "claims"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """By subject."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("claim", "worlds", "waste", "pings", "functions", "tokens", "untested")
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    modules = [importlib.import_module(name) for name in names]
    yield {c.subject: c for module in modules[2:] for c in module.claims()}
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def test_verdicts(tried: dict[str, Any]) -> None:
    assert tried["a cold start for each request"].verdict == "reproduced"
    assert "85.7 %" in tried["a cold start for each request"].found
    assert tried["billed initialisation"].verdict == "reproduced"
    assert tried["provisioned concurrency"].verdict == "refuted"
    assert tried["active-CPU billing"].verdict == "refined"
    assert tried["keep-warm pings"].verdict == "refined"


def test_what_the_page_says_is_what_comes_out(tried: dict[str, Any]) -> None:
    page = (FOLDER.parents[1] / "docs" / "claims.md").read_text()
    for claim in tried.values():
        assert f"| {claim.subject} | {claim.claimed} |" in page
        assert claim.found in page, f"{claim.subject}: make docs/claims.md anew with benchmarks/claims"
