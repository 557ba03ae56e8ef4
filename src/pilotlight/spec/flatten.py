"""A model that is written in several places as one table: its `scaling:` group, and the file's `defaults:`.

Works on the tree, before values are read, so that each key keeps the line and the path that it was written at.
The tree it is given stays as it is; tables that YAML aliases share are copied.
"""

from collections.abc import Mapping

from pilotlight.errors import ConfigError, Problem
from pilotlight.spec.model import Model, Scaling
from pilotlight.spec.tree import MAX_NODES, Entry, Node, Scalar, Table, dotted
from pilotlight.spec.types import NOT_OF_COMMAND, OF_COMMAND
from pilotlight.spec.variables import fill
from pilotlight.spec.wants import DEFAULTS, GROUP, struct_type, unwrap
from pilotlight.spec.wording import unknown, wrong

Path = tuple[str, ...]

_OF_ONE_MODEL = "aliases"
"""Cannot be shared: each name may mean one model only."""


def flatten(root: Node | None, file: str, env: Mapping[str, str]) -> tuple[Node | None, list[Problem]]:
    """The tree in which every model has all its keys directly, and what is wrong with how they were given.

    Raises ConfigError where `defaults` times the number of models is more than any file needs.
    """
    if not isinstance(root, Table):
        return root, []
    work = _Flattening(file, env)
    return work.file_table(root), work.problems


class _Flattening:
    def __init__(self, file: str, env: Mapping[str, str]) -> None:
        self._file = file
        self._env = env
        self.problems: list[Problem] = []

    def file_table(self, root: Table) -> Table:
        entries = dict(root.entries)
        shared: dict[str, Entry] = {}
        if (defaults := entries.get(DEFAULTS)) and isinstance(defaults.value, Table):
            shared = self._shared(defaults.value)
            entries[DEFAULTS] = defaults._replace(value=Table(defaults.value.line, shared))
        if (models := entries.get("models")) and isinstance(models.value, Table):
            if defaults:
                self._refuse_many(defaults, len(models.value.entries))
            flat = {name: self._model(name, entry, shared) for name, entry in models.value.entries.items()}
            entries["models"] = models._replace(value=Table(models.value.line, flat))
        return Table(root.line, entries)

    def _refuse_many(self, defaults: Entry, models: int) -> None:
        if defaults.value.size * models > MAX_NODES:
            text = f"holds {defaults.value.size} values for each of {models} models, more than {MAX_NODES} in all"
            raise ConfigError([*self.problems, Problem(self._file, defaults.line, DEFAULTS, text)])

    def _shared(self, table: Table) -> dict[str, Entry]:
        entries = self._ungrouped(table, (DEFAULTS,))
        if own := entries.pop(_OF_ONE_MODEL, None):
            self._note((DEFAULTS, _OF_ONE_MODEL), own.line, "are of one model each; write them there")
        return entries

    def _model(self, name: str, entry: Entry, shared: Mapping[str, Entry]) -> Entry:
        if not isinstance(entry.value, Table):
            return entry
        entries = self._ungrouped(entry.value, ("models", name))
        engine = entries.get("engine", shared.get("engine"))
        foreign = NOT_OF_COMMAND if self._text(engine) == "command" else OF_COMMAND
        for key, given in shared.items():
            if key not in entries and key not in foreign and key in Model.__struct_fields__:
                entries[key] = given._replace(path=given.path or (DEFAULTS, key))
        return entry._replace(value=Table(entry.value.line, entries))

    def _text(self, entry: Entry | None) -> str:
        return fill(entry.value.text, self._env)[0] if entry and isinstance(entry.value, Scalar) else ""

    def _ungrouped(self, table: Table, at: Path) -> dict[str, Entry]:
        entries = dict(table.entries)
        group = entries.pop(GROUP, None)
        if group is None:
            return entries
        if not isinstance(group.value, Table):
            self._note((*at, GROUP), group.line, wrong(unwrap(struct_type(Scaling)), group.value))
            return entries
        for key, entry in group.value.entries.items():
            path = (*at, GROUP, key)
            if key not in Scaling.__struct_fields__:
                self._note(path, entry.line, _no_key(key))
            elif (direct := table.entries.get(key)) is not None:
                text = (
                    f"is given as {dotted((*at, key))} on line {direct.line} as well; leave one of them out"
                )
                self._note(path, entry.line, text)
            else:
                entries[key] = entry._replace(path=path)
        return entries

    def _note(self, at: Path, line: int, message: str) -> None:
        self.problems.append(Problem(self._file, line, dotted(at), message))


def _no_key(key: str) -> str:
    if key in Model.__struct_fields__:
        return "is not a key of `scaling`; write it directly in the model"
    return unknown(key, Scaling.__struct_fields__)
