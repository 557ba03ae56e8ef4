"""demo://50m and demo://1b: written here, the same bytes everywhere, resumed at the last whole tensor."""

import io
import json
import os
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from pilotlight.errors import SourceError
from pilotlight.ports import Progress
from pilotlight.weights import demo_tokenizer, disk
from pilotlight.weights.blocks import Blocks
from pilotlight.weights.demo_model import (
    CONTEXT,
    HEAD,
    Q8_BLOCK,
    Q8_BYTES,
    SHAPES,
    VERSION,
    Shape,
    Tensor,
    tensors,
)
from pilotlight.weights.work import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ALIGN = 32
_PIECE = 1 << 20
"""Bytes made at a time. Small enough to stay in the processor's cache until they are written."""
_SCALE = 0.02 / 73.9
"""The odd numbers from -127 to 127 deviate by 73.9; times this by 0.02, as fresh Llama weights do."""


class DemoSource(msgspec.Struct, frozen=True):
    shape: Shape

    @property
    def file_name(self) -> str:
        return f"demo-{self.shape.name}-v{VERSION}.gguf"


def parse(source: str) -> DemoSource:
    """Raises SourceError for a size that there is not."""
    shape = SHAPES.get(source.removeprefix("demo://").lower())
    if shape is None:
        sizes = " or ".join(f"demo://{name}" for name in SHAPES)
        raise SourceError(f"{source} is not a demo model; write {sizes}")
    return DemoSource(shape)


def generate(source: DemoSource, work: Work, progress: Progress) -> None:
    """Fills `work.data`. Tensors that the journal knows and whose bytes still match it are kept.

    Raises SourceError when the disk is full (nothing is left behind then) or cannot be written.
    """
    shape = source.shape
    what = f"demo://{shape.name}"
    header = _header(shape)
    total = len(header) + sum(_padded(t.size) for t in tensors(shape))
    with work.writing(what, total):
        kept, offset = _kept(work, shape, header)
        disk.need(work.cache_dir, total - offset, what)
        fd = os.open(work.data, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(fd, "r+b", buffering=0) as data, work.journal.open("a") as journal:
            if not offset:
                data.write(header)
                offset = len(header)
            data.seek(offset)
            blocks = Blocks(data, offset)
            notes = _Notes(journal)
            for index, tensor in enumerate(tensors(shape)):
                if index < kept:
                    continue
                crc = 0
                for piece in _pieces(shape, index, tensor):
                    blocks.write(piece)
                    crc = zlib.crc32(piece, crc)
                    offset += len(piece)
                    work.beat()
                    progress(offset, total)
                notes.add(offset, json.dumps({"tensor": tensor.name, "crc32": crc}))
                notes.write(blocks.written)
            blocks.flush()


class _Notes:
    """Lines of the journal that wait until what they speak of is written."""

    def __init__(self, journal: IO[str]) -> None:
        self._journal = journal
        self._lines: deque[tuple[int, str]] = deque()

    def add(self, end: int, line: str) -> None:
        self._lines.append((end, line))

    def write(self, written: int) -> None:
        while self._lines and self._lines[0][0] <= written:
            self._journal.write(self._lines.popleft()[1] + "\n")
        self._journal.flush()


def _kept(work: Work, shape: Shape, header: bytes) -> tuple[int, int]:
    """How many tensors of an earlier run can stay, and the offset behind them; (0, 0) to start afresh.

    No byte is taken on trust: a power cut may have kept the journal and lost the data.
    """
    try:
        lines = work.journal.read_text().splitlines()
        with work.data.open("rb") as data:
            kept, offset = 0, len(header)
            if data.read(len(header)) == header:
                for line, tensor in zip(lines, tensors(shape), strict=False):
                    if not _matches(data, line, tensor, work):
                        break
                    kept, offset = kept + 1, offset + _padded(tensor.size)
                # The journal goes on behind what was kept; a torn last line must not stay in it.
                work.journal.write_text("".join(f"{line}\n" for line in lines[:kept]))
                return kept, offset
    except (FileNotFoundError, UnicodeDecodeError):
        pass
    work.journal.unlink(missing_ok=True)
    work.data.unlink(missing_ok=True)
    return 0, 0


def _matches(data: io.BufferedReader, line: str, tensor: Tensor, work: Work) -> bool:
    try:
        noted: Any = json.loads(line)
        expected = noted["crc32"] if noted["tensor"] == tensor.name else None
    except (ValueError, KeyError, TypeError):
        return False
    crc, left = 0, _padded(tensor.size)
    while left and (piece := data.read(min(left, _PIECE))):
        crc, left = zlib.crc32(piece, crc), left - len(piece)
        work.beat()
    return not left and crc == expected


def _padded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _pieces(shape: Shape, index: int, tensor: Tensor) -> Iterator[memoryview]:
    """The tensor's bytes with their padding, a piece at a time; the same ones every time."""
    import numpy as np  # noqa: PLC0415 - 60 ms that only this needs

    if not tensor.rows:
        yield memoryview(np.ones(tensor.columns, "<f4").tobytes().ljust(_padded(tensor.size), b"\0"))
        return
    # Raw words of a bit generator are the one thing numpy promises never to change.
    words = np.random.SFC64(np.random.SeedSequence([VERSION, shape.layers, shape.width, index]))
    scale = np.frombuffer(np.array(_SCALE, "<f2").tobytes(), np.int8)
    silent = _silent_rows() if tensor.name == "output.weight" else None
    step = max(1, _PIECE // tensor.row_bytes)
    for row in range(0, tensor.rows, step):
        rows = min(step, tensor.rows - row)
        raw = words.random_raw(rows * tensor.row_bytes // 8)
        # Odd bytes only: their mean is 0, and they leave out -128, which no quantiser writes and some
        # kernels cannot negate.
        np.bitwise_or(raw, 0x0101010101010101, out=raw)
        blocks = raw.astype("<u8", copy=False).view(np.int8).reshape(-1, Q8_BYTES)
        if silent is not None:
            blocks.reshape(rows, -1)[silent[row : row + rows]] = 0
        blocks[:, :2] = scale
        yield blocks.view(np.uint8).reshape(-1).data
    if pad := _padded(tensor.size) - tensor.size:
        yield memoryview(bytes(pad))


def _silent_rows() -> "NDArray[np.bool_]":
    """Rows of the output matrix for tokens never to be said: the end of the text, broken characters.

    A row of noughts gives them the middling score, and greedy or top-k sampling takes a high one.
    """
    import numpy as np  # noqa: PLC0415

    return ~np.array(demo_tokenizer.load().speakable)


def _header(shape: Shape) -> bytes:
    """Everything before the first tensor, padding included."""
    import gguf  # noqa: PLC0415 - 260 ms that only this needs

    class HeaderWriter(gguf.GGUFWriter):
        """Writes to memory, where the file's own name and place do not matter."""

        def open_output_file(self, path: Path | None = None) -> None:
            if self.fout is None:
                self.fout = [io.BytesIO()]  # type: ignore[list-item]
                self.state = gguf.gguf_writer.WriterState.EMPTY

    writer = HeaderWriter(None, "llama")
    _describe(writer, shape)
    _add_tokenizer(writer)
    for tensor in tensors(shape):
        _announce(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    data: Any = writer.fout
    head: bytes = data[0].getvalue()
    return head.ljust(_padded(len(head)), b"\0")


def _describe(writer: Any, shape: Shape) -> None:
    writer.add_name(f"pilotlight demo {shape.name}")
    writer.add_description("Seeded random weights with a real tokenizer: what it writes is noise.")
    writer.add_version(str(VERSION))
    writer.add_size_label(shape.name.upper())
    writer.add_license("apache-2.0")
    writer.add_block_count(shape.layers)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(7)  # mostly q8_0
    writer.add_quantization_version(2)


def _add_tokenizer(writer: Any) -> None:
    tokenizer = demo_tokenizer.load()
    writer.add_vocab_size(len(tokenizer.tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(demo_tokenizer.PRE)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.kinds)
    writer.add_token_merges(tokenizer.merges)
    writer.add_bos_token_id(tokenizer.id(demo_tokenizer.BOS))
    writer.add_eos_token_id(tokenizer.id(demo_tokenizer.EOS))
    writer.add_eot_token_id(tokenizer.id(demo_tokenizer.IM_END))
    writer.add_pad_token_id(tokenizer.id(demo_tokenizer.EOS))
    writer.add_add_bos_token(True)
    writer.add_chat_template(demo_tokenizer.CHAT_TEMPLATE)


def _announce(writer: Any, tensor: Tensor) -> None:
    import gguf  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if tensor.rows:
        raw = gguf.GGMLQuantizationType.Q8_0
        shape = (tensor.rows, tensor.columns // Q8_BLOCK * Q8_BYTES)  # in bytes: the writer counts back
        writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), tensor.size, raw)
    else:
        writer.add_tensor_info(tensor.name, (tensor.columns,), np.dtype(np.float32), tensor.size)
