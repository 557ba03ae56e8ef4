"""The engines by the names that a config uses."""

from collections.abc import Mapping

from pilotlight.engines.command import CommandEngine
from pilotlight.engines.llamacpp import LlamaCppEngine
from pilotlight.ports import Engine

ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in (LlamaCppEngine(), CommandEngine())}
