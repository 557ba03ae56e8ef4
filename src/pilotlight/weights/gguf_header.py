"""The few numbers of a GGUF's header that say how much memory its model takes.

Only the key-values at the front are read, and arrays are skipped: some ms for a small vocabulary, a tenth
of a second for the greatest (the `gguf` package takes 260 ms to import, and maps the whole file). The file
is not trusted: every length is held against what there is.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import io
import struct
from pathlib import Path
from typing import cast

import msgspec

from pilotlight.errors import SourceError
from pilotlight.weights import split
from pilotlight.weights.path import check_magic

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_WINDOW = 1 << 20
_MAX_KEY = 1 << 16
_MAX_KEPT = 1 << 16
"""Longer texts and arrays are skipped: a name, a number, or a number per layer is all that is wanted."""
_MAX_COUNT = 1 << 31
_ALIGNMENT = 32
"""Bytes, where a file does not say; the format's own default."""

_Value = int | float | bool | bytes | tuple[int, ...]


class Header(msgspec.Struct, frozen=True):
    """What memory follows from. Numbers that a file does not have are 0."""

    architecture: str
    n_layer: int
    n_ctx_train: int
    n_embd: int
    n_head: int
    """Query heads of the widest layer."""
    n_head_kv: int
    """Key/value heads of the widest layer."""
    kv_heads: int
    """Key/value heads of all layers together; not a product where layers differ."""
    key_length: int
    """Numbers in one head's key."""
    value_length: int
    """Numbers in one head's value."""
    file_size: int
    """Bytes, all parts of a split model together."""
    has_chat_template: bool

    def kv_bytes_per_token(self, bytes_per_number: float = 2.0) -> int:
        """Bytes of cache for one token of context; a number takes 2 at half precision, 1.0625 at q8_0."""
        return int(self.kv_heads * (self.key_length + self.value_length) * bytes_per_number)


def read_header(path: Path) -> Header:
    """Raises SourceError, naming the file, for a header that is not whole and for a missing part."""
    files = [path.with_name(name) for name in split.parts(path.name)]
    for file in files:
        check_magic(file)
    try:
        with files[0].open("rb", buffering=0) as data:
            values = _Reader(data, files[0].stat().st_size).values()
        return _header(values, sum(file.stat().st_size for file in files))
    except _Damaged as error:
        raise SourceError(f"{files[0]} is not a usable GGUF file: {error}; fetch it again") from None
    except OSError as error:
        raise SourceError(f"{files[0]} cannot be read: {error}") from error


def tensor_types(path: Path, arrived: int) -> frozenset[int] | None:
    """What types of tensors a file has of which the first `arrived` bytes are there; None while its header is not.

    The numbers are those of `enum ggml_type`. Raises SourceError for a header that can never be one.
    """
    try:
        with path.open("rb", buffering=0) as data:
            return _Reader(data, arrived).types()
    except _Cut:
        return None
    except _Damaged as error:
        raise SourceError(f"{path} is not a usable GGUF file: {error}; fetch it again") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


class _Damaged(Exception):
    pass


class _Cut(_Damaged):
    """It goes on behind what there is."""


class _Reader:
    """Walks the header through a window of the file, so that a header of any size takes little memory."""

    def __init__(self, data: io.FileIO, size: int) -> None:
        self._data = data
        self._size = size
        self._window = b""
        self._base = 0  # where in the file the window begins
        self._pos = 4  # in the file, behind the magic
        self._tensors = 0

    def values(self) -> dict[str, _Value]:
        """Every number, short text and short array of numbers; of the rest the keys, with empty bytes."""
        version = self._number("I")
        if version & 0xFFFF == 0:
            raise _Damaged("it is big-endian")
        if version not in (2, 3):
            raise _Damaged(f"it has version {version}, and 2 and 3 are known")
        self._tensors = self._number("Q")
        count = self._number("Q")
        values: dict[str, _Value] = {}
        for _ in range(count):  # a wrong count ends at the end of the file at the latest
            key = self._text(_MAX_KEY)
            if key is None:
                raise _Damaged("a key is too long")
            values[key.decode("utf-8", "replace")] = self._value()
        return values

    def types(self) -> frozenset[int]:
        """Of all tensors: what follows the values is a name, the dimensions, a type and an offset for each."""
        values, found = self.values(), set[int]()
        for _ in range(self._tensors):
            if self._text(_MAX_KEY) is None:
                raise _Damaged("a tensor's name is too long")
            self._skip(8 * self._number("I"))
            found.add(self._number("I"))
            self._skip(8)
        align = values.get("general.alignment", _ALIGNMENT)
        self._skip(-self._pos % align if isinstance(align, int) and align > 0 else 0)
        return frozenset(found)

    def _value(self) -> _Value:
        kind = self._number("I")
        if kind == _STRING:
            return self._text(_MAX_KEPT) or b""
        if kind == _ARRAY:
            return self._array(self._number("I"), self._number("Q"))
        return self._number(self._code(kind))

    def _array(self, kind: int, count: int) -> tuple[int, ...] | bytes:
        if kind == _STRING:
            self._skip_texts(count)
            return b""
        code = self._code(kind)
        size = count * struct.calcsize(code)
        if size > _MAX_KEPT or code in "fd":
            self._skip(size)
            return b""
        return struct.unpack(f"<{count}{code}", self._bytes(size))

    def _skip_texts(self, count: int) -> None:
        # The hot loop: a vocabulary has hundreds of thousands of texts.
        unpack = struct.Struct("<Q").unpack_from
        while count:
            self._need(8)
            window, offset, end = self._window, self._pos - self._base, len(self._window) - 8
            while count and offset <= end:
                offset += 8 + unpack(window, offset)[0]
                count -= 1
            self._skip(self._base + offset - self._pos)

    def _text(self, keep: int) -> bytes | None:
        length = self._number("Q")
        if length > keep:
            self._skip(length)
            return None
        return self._bytes(length)

    def _code(self, kind: int) -> str:
        code = _SCALARS.get(kind)
        if code is None:
            raise _Damaged(f"there is a value of unknown type {kind} at byte {self._pos}")
        return code

    def _number(self, code: str) -> int:
        return cast(int, struct.unpack(f"<{code}", self._bytes(struct.calcsize(code)))[0])

    def _bytes(self, size: int) -> bytes:
        self._need(size)
        start = self._pos - self._base
        self._pos += size
        return self._window[start : start + size]

    def _skip(self, size: int) -> None:
        if size > self._size - self._pos:
            raise _Cut(f"its header is cut off or damaged at byte {self._pos}")
        self._pos += size

    def _need(self, size: int) -> None:
        """Moves the window so that the next `size` bytes are in it."""
        if self._base <= self._pos and self._pos + size <= self._base + len(self._window):
            return
        if size > self._size - self._pos:
            raise _Cut(f"its header is cut off at byte {self._size}")
        self._data.seek(self._pos)
        self._base, self._window = self._pos, self._data.read(max(size, _WINDOW))
        if len(self._window) < size:
            raise _Cut(f"its header is cut off at byte {self._base + len(self._window)}")


def _header(values: dict[str, _Value], file_size: int) -> Header:
    name = values.get("general.architecture")
    if not isinstance(name, bytes) or not name:
        raise _Damaged("its header has no general.architecture")
    architecture = name.decode("utf-8", "replace")

    def numbers(key: str) -> tuple[int, ...]:
        value = values.get(f"{architecture}.{key}", ())
        found = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(n, int) and 0 <= n < _MAX_COUNT for n in found):
            raise _Damaged(f"{architecture}.{key} is not a number that can be")
        return cast(tuple[int, ...], found)

    def number(key: str, default: int = 0) -> int:
        return max(numbers(key), default=default)

    layers, width = number("block_count"), number("embedding_length")
    if not layers:
        raise _Damaged(f"its header has no {architecture}.block_count, so it is not a language model")
    heads = number("attention.head_count")
    per_layer = numbers("attention.head_count_kv") or numbers("attention.head_count")
    head_width = width // heads if heads else 0
    return Header(
        architecture=architecture,
        n_layer=layers,
        n_ctx_train=number("context_length"),
        n_embd=width,
        n_head=heads,
        n_head_kv=max(per_layer, default=0),
        kv_heads=sum(per_layer) if len(per_layer) > 1 else sum(per_layer) * layers,
        key_length=number("attention.key_length", head_width),
        value_length=number("attention.value_length", head_width),
        file_size=file_size,
        has_chat_template="tokenizer.chat_template" in values,
    )
