"""Lines of a file that may be large, packed, or not made of lines at all."""

from collections.abc import Iterator
from typing import IO

import msgspec

BLOCK = 2**20
"""Bytes read at a time."""
LONGEST = 2**20
"""Bytes of a line; what is beyond is dropped. The hashes of a million tokens of prompt take a hundredth of it."""


class Lines(msgspec.Struct, frozen=True):
    """Some whole lines, without their ends. No line is blank."""

    numbers: list[int]
    """Of each line, from 1."""
    texts: list[str]
    cut_off: bool = False
    """The last one is the file's last and has no line end: it may not be whole."""


def blocks(file: IO[bytes]) -> Iterator[Lines]:
    """Needs a few times BLOCK + LONGEST of memory, whatever the file. What is no UTF-8 becomes U+FFFD."""
    line, rest = 1, b""
    while data := file.read(BLOCK):
        end = data.rfind(b"\n")
        if end < 0:
            rest += data[: max(0, LONGEST - len(rest))]
            continue
        found = _lines(line, rest[:LONGEST] + data[:end])
        rest = data[end + 1 :]
        line += data.count(b"\n")
        yield found
    if rest.strip():
        yield _lines(line, rest, cut_off=True)


def _lines(first: int, data: bytes, *, cut_off: bool = False) -> Lines:
    texts = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if first == 1:
        texts[0] = texts[0].removeprefix("\ufeff")
    numbers = list(range(first, first + len(texts)))
    if any(not text or text.isspace() for text in texts):
        kept = [(n, text) for n, text in zip(numbers, texts, strict=True) if text.strip()]
        numbers, texts = [n for n, _ in kept], [text for _, text in kept]
    return Lines(numbers, texts, cut_off)
