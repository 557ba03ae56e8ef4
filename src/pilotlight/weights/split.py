"""Models in several files: `name-00001-of-00003.gguf` and its siblings, as llama.cpp splits them."""

import re

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def parts(name: str) -> list[str]:
    """Every file of the model that `name` belongs to, first one first; only itself when it is not split."""
    match = _SPLIT.fullmatch(name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return [name]
    count = int(match["count"])
    return [f"{match['stem']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
