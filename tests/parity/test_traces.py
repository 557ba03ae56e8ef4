"""From the file to the kernel: what a trace says of classes and stand-ins is decided on as the server decides."""

from pathlib import Path
from random import Random

import pytest

from pilotlight.fleet import actions as ac
from pilotlight.fleet.classes import RANKS
from pilotlight.sim import declared, loop
from pilotlight.sim.requests import Replayed
from pilotlight.sim.simulate import simulate
from pilotlight.sim.starts import constant
from pilotlight.sim.traces.read import read
from pilotlight.spec.load import parse

from .shipped import Scene, live, simulated

STARTS = constant(5.0)
LEAVES = 3
"""Of so many scenes one has a provider."""
PROVIDER = (
    "providers: {p: {base_url: 'https://p.example.com/v1', price: {second_usd: 0.001}, first_token: 700ms}}"
)
HEAD = "t,model,prompt_tokens,output_tokens,class,stand_in"

Row = tuple[float, str, int, str, str]
"""Second, model, tokens of the answer, class and stand-in, as they stand in the file."""


def rows(dice: Random) -> list[Row]:
    at, found = 0.0, list[Row]()
    for i in range(60):
        at += dice.choice([0.0, 0.13, 1.7, 9.1]) + (100.0 if i % 20 == 19 else 0.0)
        said = dice.choice(["", "standard", "critical", "batch"]), dice.choice(["", "allow"])
        found.append((at, dice.choice(["large", "small", "other"]), dice.choice([0, 10, 70]), *said))
    return found


def config_of(dice: Random, *, leaving: bool) -> str:
    slots = dice.choice([1, 2])
    burst = "burst: {provider: p}, " if leaving else ""
    return f"""
{PROVIDER if leaving else ""}
defaults:
  {{{burst}stand_in: {dice.choice(["small", "null"])}, target_requests: {slots}, max_requests: {slots}, ttl: 20s,
   max_replicas: {dice.choice([1, 3])}, batch_deadline: {dice.choice(["0s", "4s", "1m"])},
   max_pending_requests: {dice.choice([2, 50])}}}
simulation: {{first_token: 0s, per_token: 100ms, warm_up: 0%}}
models:
  large: {{source: "demo://1b", stand_in: small}}
  small: {{source: "demo://50m", stand_in: null, min_replicas: 1}}
"""


def replayed(folder: Path, seed: int) -> tuple[list[Row], Scene, dict[str, str | None], int]:
    """What is in the file, the scene that becomes of it, each model's stand-in, and how many requests a stand-in had,
    as the figures tell."""
    dice = Random(seed)
    asked = rows(dice)
    file = folder / "trace.csv"
    file.write_text("\n".join([HEAD, *(f"{t},{name},1,{n},{of},{may}" for t, name, n, of, may in asked)]))
    text = config_of(dice, leaving=seed % LEAVES == 0)
    config, trace = parse(text, "c.yaml", {}, simulated=True), read(file, strict=True)
    models = declared.models(config, trace.models)
    bursting = {name for name, model in models.items() if model.burst is not None}
    others = {"large": "small", "small": None, "other": config.default_model.stand_in}
    stand_ins = [others[name] for name in trace.models]
    requests = Replayed(trace, trace.models, config.simulation, bursting, seed, stand_ins)
    arrivals = list(requests.arrivals())
    assert arrivals == list(loop.ends((arrival, seconds) for arrival, seconds, _ in arrivals))
    configured = declared.configured(config, trace.models, STARTS, float(trace.t[0]))
    scene = Scene(configured, tuple((arrival, seconds) for arrival, seconds, _ in arrivals), STARTS, seed)
    stood_in = simulate(trace, config, STARTS, seed).stood_in
    assert stood_in is not None
    return asked, scene, others, stood_in


@pytest.mark.parametrize("seed", range(30))
def test_what_a_trace_says_is_decided_on_as_the_server_does(seed: int, tmp_path: Path):
    asked, scene, others, stood_in = replayed(tmp_path, seed)
    for (t, name, _, of, may), (arrival, _) in zip(asked, scene.arrivals, strict=True):
        assert (arrival.at, arrival.deployment) == (t, name)
        assert arrival.rank == RANKS[of or "standard"]
        assert arrival.stand_in == (others[name] if may else None)
    log = simulated(scene)
    assert log == live(scene)
    if seed % LEAVES:  # a scene's requests have other sizes than the trace's, which providers go by
        assert stood_in == sum(isinstance(a, ac.Assign) and a.stands_in is not None for a in log)


def test_the_comparison_sees_classes_and_stand_ins(tmp_path: Path):
    seen = [a for seed in range(30) for a in simulated(replayed(tmp_path, seed)[1])]
    assert sum(isinstance(a, ac.Assign) and a.stands_in is not None for a in seen) > 30
    assert {"it waits for idle capacity", "was held until capacity was idle"} <= {
        a.because for a in seen if isinstance(a, ac.Hold | ac.Assign)
    }
    assert any(isinstance(a, ac.Send) for a in seen) and any(isinstance(a, ac.Refuse) for a in seen)
