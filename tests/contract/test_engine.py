"""What every engine keeps, those of the registry and the fake that ships."""

from pathlib import Path

import msgspec
import pytest

from pilotlight.engines import homes
from pilotlight.engines.fake import FakeEngine
from pilotlight.engines.registry import ENGINES
from pilotlight.fleet.plan import Plan, Stage
from pilotlight.ports import Engine, WeightsInfo
from pilotlight.spec.model import Model
from pilotlight.spec.types import ENGINES as NAMES
from pilotlight.worker import health

ALL: dict[str, Engine] = {**ENGINES, "fake": FakeEngine(), "fake command": FakeEngine(reports=False)}
MODEL = Model(
    source="demo://50m",
    cmd="serve --port ${PORT}",
    env={"A": "b"},
    engine_args={"n_ctx": 2048},
    memory=5,
    gpus=2,
)
INFO = WeightsInfo(size=10**9, n_ctx_train=4096, k_numbers=100, v_numbers=100)


@pytest.fixture(params=ALL)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ALL[request.param]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments of engines that have one, as far as their adapters look."""
    monkeypatch.setenv("PILOTLIGHT_ENGINES", str(tmp_path / "engines"))
    for name in homes.RECIPES:
        (tmp_path / "engines" / name / "bin").mkdir(parents=True)
        (tmp_path / "engines" / name / "bin" / "python").touch()
        mark = homes.Mark(name, "", {name: "1"}, (), made=0.0, size=0)
        (tmp_path / "engines" / name / homes.MARK).write_bytes(msgspec.json.encode(mark))


def test_the_registry_knows_engines_by_their_names() -> None:
    assert set(ENGINES) == set(NAMES)
    assert all(name == engine.name for name, engine in ENGINES.items())


def test_its_plan_can_be_carried_out(engine: Engine) -> None:
    plan = engine.plan(MODEL)
    assert isinstance(plan, Plan)
    plan.check()
    assert {Stage.ALLOCATE, Stage.SPAWN, Stage.LOAD} <= {step.name for step in plan.steps}
    assert plan.techniques == ()


def test_its_plan_and_its_launch_agree(engine: Engine, tmp_path: Path) -> None:
    launch = engine.launch(MODEL, 1234, (), tmp_path)
    steps = {step.name for step in engine.plan(MODEL).steps}
    assert (Stage.IMPORT in steps) == launch.reports
    if Stage.FETCH in steps and launch.reports:
        assert launch.wants_weights


def test_the_operators_word_counts(engine: Engine) -> None:
    said = engine.need(MODEL, INFO)
    assert (said.memory, said.gpus, said.estimated) == (5, 2, False)


def test_an_estimate_grows_with_the_weights_and_comes_without_them(engine: Engine) -> None:
    unsaid = msgspec.structs.replace(MODEL, memory=None, gpus=0)
    before, after = engine.need(unsaid, None), engine.need(unsaid, INFO)
    assert before.estimated and after.estimated
    assert 0 < before.memory < after.memory and after.memory >= INFO.size


def test_its_launch_is_complete(engine: Engine, tmp_path: Path) -> None:
    launch = engine.launch(MODEL, 1234, (0, 2), tmp_path)
    assert launch.argv and all(launch.argv)
    assert launch.env["A"] == "b" and launch.env["CUDA_VISIBLE_DEVICES"] == "0,2"
    assert Path(launch.cwd).is_absolute()
    assert health.address(launch.url).port == (0 if launch.reports else 1234)
    assert not launch.url.endswith("/") and launch.health.startswith("/")


def test_its_settings_can_be_sent(engine: Engine, tmp_path: Path) -> None:
    settings = engine.settings(MODEL, INFO)
    assert msgspec.json.decode(msgspec.json.encode(settings)) == settings
    assert bool(settings) == engine.launch(MODEL, 1, (), tmp_path).wants_weights


def test_it_is_pure(engine: Engine, tmp_path: Path) -> None:
    def all_of_it() -> list[object]:
        launch = engine.launch(MODEL, 1, (0,), tmp_path)
        return [engine.plan(MODEL), engine.need(MODEL, INFO), launch, engine.settings(MODEL, INFO)]

    assert all_of_it() == all_of_it()
