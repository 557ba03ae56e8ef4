"""A config as text: what an operator has, or a template, with other keys for how its models scale.

What is simulated is what is written: the text is parsed like any config. Models of an operator's that nobody asks for
in the traffic are written as they were; outside a pool they are simulated at rest, so that nobody saves what they cost,
but for those that stand in for others.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import yaml

from pilotlight.advise.fitting import NAMED
from pilotlight.advise.needs import Inference, Needs
from pilotlight.sim.declared import deployment_of
from pilotlight.spec.load import parse
from pilotlight.spec.model import Config, HostKind, Model
from pilotlight.spec.scaling import Scaling
from pilotlight.spec.types import NOT_OF_COMMAND
from pilotlight.spec.wants import DEFAULTS, GROUP
from pilotlight.units import FOREVER

Tree = dict[str, Any]

KEPT = frozenset({"target_requests", "max_requests", "batch_deadline", "pinned", "sleep_level"})
"""Keys of `scaling` that say what a replica is, and not how many there are."""

REPLACED = frozenset({*Scaling.__struct_fields__, "burst"} - KEPT)

HERE: Tree = {"source": "demo://50m", "gpus": 1, "target_requests": 8, "max_requests": 8}
REMOTE: Tree = {"engine": "command", "cmd": "python agent.py --port ${PORT}"}
"""A model of the template: its source and its command are to be put in."""


class Draft(msgspec.Struct, frozen=True):
    """Where drafts begin."""

    tree: Tree
    """Without any key that says how many replicas there are, but of those that are kept."""
    was: Tree
    """The operator's `defaults`."""
    kept: tuple[str, ...]
    """Models that nobody asks for."""
    awake: tuple[str, ...]
    """Those of them that stand in for others: they are simulated as they are, for what they cost is of use."""
    file: str
    env: Mapping[str, str]
    own: bool
    """It is an operator's, and no template."""
    hosts: Any
    """Of the operator's pool, as written, where there is one; it is not in the tree."""
    kinds: tuple[HostKind, ...]
    """Of those hosts."""

    def written(self, shared: Tree, own: Mapping[str, Tree], top: Tree) -> str:
        """`shared` holds for every model, `own` for one of them, `top` for the file."""
        tree: Tree = {**self.tree, **{k: _joined(self.tree.get(k), v) for k, v in top.items()}}
        tree[DEFAULTS] = {**tree.get(DEFAULTS, {}), **shared}
        tree["models"] = {
            name: self._kept(m, shared)
            if name in self.kept
            else {**{k: v for k, v in m.items() if k not in shared}, **own.get(name, {})}
            for name, m in tree.get("models", {}).items()
        }
        tree = {key: value for key, value in tree.items() if value != {}}
        return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110)

    def _kept(self, model: Tree, shared: Tree) -> Tree:
        """With all that it had from `defaults`, or by default, in the place of what is shared now."""
        foreign = NOT_OF_COMMAND if model.get("engine", self.was.get("engine")) == "command" else ()
        had = {k: v for k, v in self.was.items() if k in shared or k in REPLACED}
        had = {**{k: _by_default(k) for k in shared}, **had}
        return {**{k: v for k, v in had.items() if k not in foreign}, **model}

    @property
    def asked(self) -> list[str]:
        """Models that are named and in the traffic."""
        return [name for name in self.tree["models"] if name not in self.kept]

    def parsed(self, text: str) -> Config:
        """Raises ConfigError where the keys do not go with what else is in the file."""
        return self.at_rest(parse(text, self.file, self.env, simulated=True))

    def at_rest(self, config: Config) -> Config:
        """With models of which this traffic has no use at zero."""
        return resting(config, [name for name in self.kept if name not in self.awake])


def draft(
    text: str | None,
    file: str,
    config: Config,
    models: Sequence[str],
    needs: Needs,
    env: Mapping[str, str],
    stand_ins: Collection[str] = (),
) -> Draft:
    """`text` is the operator's file, `config` what it says; `models` are the trace's, and `stand_ins` those that may
    answer for them."""
    tree: Tree = {} if text is None else yaml.safe_load(text) or {}
    one = HERE if needs.inference is Inference.HERE else REMOTE
    if text is None:
        tree = {"simulation": {"first_token": "50ms", "per_token": "30ms"}}
    was = _flat(tree.get(DEFAULTS) or {})
    tree = {**tree, DEFAULTS: _plain(was)}
    declared: Tree = {name: _flat(m or {}) for name, m in (tree.get("models") or {}).items()}
    kept = tuple(name for name in declared if name not in models)
    declared = {name: m if name in kept else _plain(m) for name, m in declared.items()}
    missing = [m for m in models if deployment_of(config, m) not in declared]
    declared.update({m: dict(one) for m in missing} if len(models) <= NAMED else {})
    tree["models"] = declared
    low, high = needs.band
    simulation: Tree = dict(tree.get("simulation") or {})
    hosts = simulation.pop("hosts", None)
    tree["simulation"] = simulation
    objective = {**(tree.get("objective") or {}), "wait": duration(needs.wait)}
    tree["objective"] = {**objective, "cold_rate": [percent(low), percent(high)]}
    awake = tuple(name for name in kept if name in stand_ins)
    return Draft(tree, was, kept, awake, file, env, text is not None, hosts, config.simulation.kinds)


def resting(config: Config, names: Sequence[str]) -> Config:
    """With these models at zero; in a pool they stay as they are, and share its GPUs, which are paid for anyway."""
    if config.simulation.hosts is not None:
        return config
    still = {
        n: msgspec.structs.replace(config.models[n], min_replicas=0, base=0, schedule=(), predictive=False)
        for n in names
    }
    return msgspec.structs.replace(config, models={**config.models, **still})


def _flat(model: Tree) -> Tree:
    return {**{k: v for k, v in model.items() if k != GROUP}, **(model.get(GROUP) or {})}


def _plain(model: Tree) -> Tree:
    return {k: v for k, v in model.items() if k not in REPLACED}


def _by_default(key: str) -> Any:
    """As a config has it."""
    value = next(f.default for f in msgspec.structs.fields(Model) if f.name == key)
    return duration(value) if isinstance(value, float) else value


def _joined(old: Any, new: Any) -> Any:
    return {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new


def duration(seconds: float) -> str | int:
    """As a config has it."""
    if seconds == FOREVER:
        return -1
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:.6g}s" if seconds >= 1 or not seconds else f"{seconds * 1000:.6g}ms"


def percent(part: float) -> str:
    return f"{part * 100:.4g}%"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
