"""Any OpenAI-compatible server that a command line starts: vLLM, SGLang, TGI, Triton, Ollama, docker run."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pilotlight.coldstart import plans
from pilotlight.engines.environment import environment, fill
from pilotlight.errors import EngineError
from pilotlight.fleet.deployment import Need
from pilotlight.fleet.plan import Plan
from pilotlight.ports import Launch, WeightsInfo
from pilotlight.spec.model import Model

GUESSED_MEMORY = 2**30
"""Bytes of host memory taken for granted until the first replica was measured: a Python process that has imported
an inference framework (vLLM on a CPU: 0.6 GB before its model)."""


class CommandEngine:
    name = "command"

    def plan(self, model: Model) -> Plan:
        return plans.command(fetch=model.source is not None)

    def techniques(self, model: Model) -> tuple[str, ...]:
        return ()

    def need(self, model: Model, weights: WeightsInfo | None) -> Need:
        guess = GUESSED_MEMORY if weights is None or model.gpus else GUESSED_MEMORY + weights.size
        memory = guess if model.memory is None else model.memory
        return Need(
            memory,
            model.gpus,
            model.gpu_memory,
            estimated=model.memory is None,
            exclusive=_exclusive(model.proxy),
        )

    def launch(self, model: Model, port: int, devices: tuple[int, ...], config_dir: Path) -> Launch:
        """Raises EngineError when there is no command line, or one that cannot be split."""
        if not model.cmd:
            raise EngineError("the model has engine: command but no cmd; say there what is to be run")
        return Launch(
            argv=_split(model.cmd, port),
            env=environment(model, port, devices),
            cwd=str((config_dir / (model.cwd or ".")).resolve()),
            url=fill(model.proxy or "http://127.0.0.1:${PORT}", port).rstrip("/"),
            health="/" + fill(model.health, port).lstrip("/"),
            stop_argv=_split(model.stop_cmd, port) if model.stop_cmd else None,
        )

    def settings(self, model: Model, weights: WeightsInfo | None) -> Mapping[str, bool | int | float | str]:
        return {}


def _exclusive(proxy: str | None) -> str | None:
    """A fixed port of this machine, which a second process cannot have."""
    if proxy is None or "${PORT}" in proxy:
        return None
    where = urlsplit(proxy)
    host = where.hostname or ""
    here = host in ("localhost", "::1") or host.startswith("127.")
    return f"port {where.port}" if here and where.port is not None else None


def _split(command: str, port: int) -> tuple[str, ...]:
    """Words as a shell would make them; the port is filled in afterwards and cannot make further words."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EngineError(f"{command!r} cannot be split into words: {error}") from None
    if not words:
        raise EngineError(f"{command!r} names nothing to run")
    return tuple(fill(word, port) for word in words)
