"""What a rule of the whole file sees."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pilotlight.spec.model import Config
from pilotlight.spec.tree import dotted
from pilotlight.spec.written import Where, Written


class File(NamedTuple):
    """What a rule of the whole file sees."""

    config: Config
    written: Written
    env: Mapping[str, str]

    def models(self) -> list[str]:
        """The names of all models, also of those that could not be read."""
        return [str(where[1]) for where in self.written.lines if len(where) == 2 and where[0] == "models"]

    def aliases(self) -> Iterator[tuple[Where, str, str]]:
        """Where it stands, the model, the alias."""
        for name, model in self.config.models.items():
            places = self.written.items.get(("models", name, "aliases"), [])
            yield from ((where, name, alias) for where, alias in zip(places, model.aliases, strict=True))

    def place(self, where: Where) -> str:
        return f"{dotted(self.written.shown(where))} on line {self.written.lines[where]}"
