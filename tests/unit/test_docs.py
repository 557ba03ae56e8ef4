"""The documentation says what the code does: links, verbs, routes, codes, metrics, generated parts, examples."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from pilotlight.cli.main import VERBS
from pilotlight.clock import VirtualClock
from pilotlight.cost.declared import told
from pilotlight.cost.history import History
from pilotlight.fleet.fleet import Fleet
from pilotlight.fleet.plan import Stage
from pilotlight.fleet.states import State
from pilotlight.gateway.admin import Admin
from pilotlight.gateway.front import Directory, Front
from pilotlight.http.keys import KeyRing
from pilotlight.spec.load import load
from pilotlight.spec.simulation import Prices
from pilotlight.spec.starter import starter
from pilotlight.telemetry.bill_metrics import BillMetrics
from pilotlight.telemetry.cold_rate import ColdRate
from pilotlight.telemetry.prometheus import Metrics
from pilotlight.telemetry.providers import ProviderCounts
from pilotlight.telemetry.request_log import RequestLine

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
HTTP = ROOT / "docs" / "http.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
BESIDE = [ROOT / "Dockerfile", *sorted((ROOT / "examples").iterdir())]
NOTHING = cast(Any, None)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


# -- links ---------------------------------------------------------------------------------------------------------


def slugs(page: Path) -> set[str]:
    """Anchors as GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in slugs(there)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=name_of)
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    if page.suffix in {".md", ".yaml", ".service", ".py", ""}:
        assert not re.findall(r"(?<![\w.~}])/(?:tmp|home|root|work|Users|mnt)/\S*", page.read_text())


# -- what there is ---------------------------------------------------------------------------------------------------


def test_the_readme_has_every_verb() -> None:
    named = re.findall(r"^\| `pilotlight (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert named == list(VERBS)


def routes() -> Iterator[tuple[str, str]]:
    front = Front(NOTHING, KeyRing((), {}, {}, VirtualClock()), Directory({}), 0)
    parts = Admin.__init__.__annotations__.keys() - {"front", "return"}
    admin = Admin(front=front, **dict.fromkeys(parts, NOTHING))
    for route in [*front.routes(), *admin.routes()]:
        yield route.method, route.path


def test_http_has_every_route_and_no_other() -> None:
    written = re.findall(r"^\| `(GET|POST) (\S+)` \|", HTTP.read_text(), re.MULTILINE)
    assert sorted(written) == sorted(routes())


def refusals() -> Iterator[tuple[int | None, str]]:
    """(status, code) of every refusal in the code; no status where it is not a number."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called not in {"RequestError", "Refuse", "refuse_held"}:
                continue
            constants = [a.value for a in node.args if isinstance(a, ast.Constant)]
            status = next((c for c in constants if isinstance(c, int)), None)
            codes = [
                k.value.value for k in node.keywords if k.arg == "code" and isinstance(k.value, ast.Constant)
            ]
            if called != "RequestError":
                codes += [c for c in constants if isinstance(c, str) and re.fullmatch(r"[a-z_]+", c)]
            yield from ((status, str(code)) for code in codes)


def test_http_has_every_error_code_with_its_status_and_no_other() -> None:
    written = re.findall(r"^\| (\d{3}|as the engine's) \| `(\w+)` \|", HTTP.read_text(), re.MULTILINE)
    found = set(refusals())
    assert {code for _, code in found} >= {"start_failed", "invalid_api_key", "shutting_down"}
    assert {(str(status) if status else "as the engine's", code) for status, code in found} == set(written)


def test_http_has_every_metric_and_no_other() -> None:
    clock = VirtualClock()
    text = Metrics(clock, Fleet, ColdRate(2.0, 3600.0)).text().decode()
    text += generate_latest(cast(Any, BillMetrics(History, lambda: told(Prices())))).decode()
    text += generate_latest(cast(Any, ProviderCounts(clock, Fleet))).decode()
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert names == set(re.findall(r"^\| `(pilotlight_\w+)` \|", HTTP.read_text(), re.MULTILINE))


def test_http_has_every_field_of_the_request_log_and_every_stage() -> None:
    table = HTTP.read_text().partition("## The request log")[2].partition("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(RequestLine.__struct_fields__)
    assert set(re.findall(r"^\| `(\w+)` \|", HTTP.read_text(), re.MULTILINE)) >= {s.value for s in Stage}


def test_http_has_every_state_that_running_tells() -> None:
    row = next(line for line in HTTP.read_text().splitlines() if line.startswith("| `state` |"))
    assert set(re.findall(r"`(\w+)`", row)) == {"state", *(s.value for s in State if s is not State.GONE)}


# -- what is generated -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["generate_state_diagram.py", "generate_config_docs.py"])
def test_what_is_generated_is_fresh(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / tool), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# -- examples --------------------------------------------------------------------------------------------------------


def configs() -> Iterator[Any]:
    for page in PAGES:
        for number, text in enumerate(blocks(page.read_text(), "yaml"), 1):
            yield pytest.param(text, id=f"{name_of(page)}-{number}")
    for file in sorted((ROOT / "examples").glob("*.yaml")):
        yield pytest.param(file.read_text(), id=name_of(file))
    yield pytest.param(starter(), id="pilotlight init")
    # Every line `  # key: ...` of the starter is meant to be uncommented.
    yield pytest.param(
        re.sub(r"^( *)# (?= *(\w+:|- \{))", r"\1", starter(), flags=re.MULTILINE), id="init, all of it"
    )


@pytest.mark.parametrize("text", list(configs()))
def test_example_configs_load(text: str, tmp_path: Path) -> None:
    variables = set(re.findall(r"key_env: (\w+)|\$\{(\w+)", text))
    env = {name: f"dummy-{name}" for pair in variables for name in pair if name}
    file = tmp_path / "pilotlight.yaml"
    file.write_text(text)
    assert load(file, env).models
