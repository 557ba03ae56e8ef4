"""What is written about the config: the starter, the examples, the page and the schema in docs/."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from pilotlight.spec.load import load, parse
from pilotlight.spec.schema import schema
from pilotlight.spec.starter import starter

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
ENV = {"TEAM_A_KEY": "a", "ADMIN_KEY": "b"}


def test_the_starter_serves_as_it_stands() -> None:
    config = parse(starter(), "/etc/pilotlight.yaml", {})
    real, demo = config.models.values()  # the real model first
    assert (real.source or "").startswith("hf://") and demo.source == "demo://50m"
    assert starter().count("\n") < 40


def test_the_starter_loads_with_everything_in_it_switched_on() -> None:
    keys = "chat|big|defaults|objective|api_keys|"
    keys += "source|aliases|max_replicas|target_requests|engine_args|engine|cmd|served_name|gpus|ttl"
    on = re.sub(rf"(?m)^( *)# ( *(?:(?:{keys}):|- \{{))", r"\1\2", starter())
    config = parse(on, "/etc/pilotlight.yaml", ENV)
    assert list(config.models) == ["chat", "demo", "big"]
    assert (config.models["big"].gpus, len(config.api_keys)) == (1, 2)


def test_there_are_examples() -> None:
    assert {e.name for e in EXAMPLES} >= {"laptop-llamacpp.yaml", "gpu-box-vllm.yaml", "many-models.yaml"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_loads_and_validates(path: Path) -> None:
    config = load(path, ENV)
    assert config.models
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(path.read_text()))
    assert path.read_text().startswith("# ")


def test_the_example_on_the_page_loads() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        parse(example, "/etc/pilotlight.yaml", {})


def test_the_written_files_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "tools" / "generate_config_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((ROOT / "docs" / "pilotlight.schema.json").read_text()) == json.loads(
        json.dumps(schema())
    )


def test_every_key_of_the_schema_has_its_row_on_the_page() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    structs = [d for d in schema()["$defs"].values() if "properties" in d]
    assert len(structs) > 10
    missing = {key for d in structs for key in d["properties"] if f"| `{key}` |" not in page}
    assert not missing - {"scaling"}  # the section of that name says what stands in it
