"""What the columns of a table are called in each format."""

from collections.abc import Sequence

import msgspec


class Layout(msgspec.Struct, frozen=True):
    """The names of the columns, as the format's publisher writes them; they are compared without case."""

    format: str
    t: str
    """Seconds, or a date."""
    prompt_tokens: str
    output_tokens: str
    model: str | None = None
    """Need not be there: all requests are then for one model, called like the file."""
    session: str | None = None
    """Need not be there, nor need the next ones."""
    request_class: str | None = None
    stand_in: str | None = None

    @property
    def required(self) -> tuple[str, ...]:
        return (self.t, self.prompt_tokens, self.output_tokens)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(n for n in (self.t, self.model, *self.required[1:], *self.more) if n)

    @property
    def more(self) -> tuple[str | None, ...]:
        return (self.session, self.request_class, self.stand_in)

    def missing(self, columns: Sequence[str]) -> list[str]:
        have = {plain(c) for c in columns}
        return [name for name in self.required if plain(name) not in have]

    def twice(self, columns: Sequence[str]) -> list[str]:
        have = [plain(c) for c in columns]
        return [name for name in self.names if have.count(plain(name)) > 1]


class Columns(msgspec.Struct, frozen=True):
    """Where each column of a layout stands in a certain table; None where it is not there."""

    t: int
    prompt_tokens: int
    output_tokens: int
    model: int | None
    session: int | None
    request_class: int | None
    stand_in: int | None


def plain(name: str) -> str:
    return name.strip().strip("\ufeff\"'").strip().lower()


def find(layout: Layout, columns: Sequence[str]) -> Columns:
    """The required ones must be there, and none twice."""
    at = {plain(column): i for i, column in enumerate(columns)}
    t, prompt, output = (at[plain(name)] for name in layout.required)
    rest = (None if name is None else at.get(plain(name)) for name in (layout.model, *layout.more))
    return Columns(t, prompt, output, *rest)
