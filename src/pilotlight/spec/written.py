"""What is in the file, beside the values: for messages, and for rules that look at more than one key."""

from typing import NamedTuple

Where = tuple[str | int, ...]
"""Where a value counts, such as ("models", "chat", "aliases", 0)."""


class Written(NamedTuple):
    """All of it is by where a value counts, which is not where it is written for what stands in `scaling` or
    comes from `defaults`."""

    lines: dict[Where, int]
    bad: set[Where]
    """Keys whose value could not be read and was replaced by its default."""
    texts: dict[Where, str]
    """Scalars as written, before variables were filled in, so that no message shows a secret."""
    items: dict[Where, list[Where]]
    """Of each list, where the items that could be read stand."""
    paths: dict[Where, Where]
    """Of keys that are written elsewhere than where they count, where that is."""

    def shown(self, where: Where) -> Where:
        """Where the file has what counts at `where`."""
        for end in range(len(where), 0, -1):
            if (path := self.paths.get(where[:end])) is not None:
                return (*path, *where[end:])
        return where
