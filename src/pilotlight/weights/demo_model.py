"""The demo models: Llama in shape, random in content. What they are made of, without writing any of it."""

import math
from collections.abc import Iterator

import msgspec

VERSION = 1
"""Of everything that shapes the file. A given version writes the same bytes everywhere and always."""
VOCABULARY = 8192
HEAD = 64
CONTEXT = 8192
Q8_BLOCK, Q8_BYTES = 32, 34
"""q8_0: 32 signed bytes behind their half-precision scale."""


class Shape(msgspec.Struct, frozen=True):
    """One size of demo model."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    file_size: int
    """Bytes of the finished file, held true by a test."""


SHAPES = {
    "50m": Shape("50m", 6, 768, heads=12, kv_heads=4, feed_forward=2048, file_size=53_808_992),
    "1b": Shape(
        "1b", layers=16, width=2048, heads=32, kv_heads=8, feed_forward=8192, file_size=1_070_114_880
    ),
}


class Tensor(msgspec.Struct, frozen=True):
    """`rows` vectors of `columns` numbers, as q8_0; or, with no rows, one vector of ones as f32."""

    name: str
    rows: int
    columns: int

    @property
    def row_bytes(self) -> int:
        return self.columns // Q8_BLOCK * Q8_BYTES if self.rows else self.columns * 4

    @property
    def size(self) -> int:
        return self.row_bytes * max(self.rows, 1)


def tensors(shape: Shape) -> Iterator[Tensor]:
    """In the order of the file."""
    width, kv = shape.width, shape.kv_heads * HEAD
    yield Tensor("token_embd.weight", VOCABULARY, width)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield Tensor(f"{block}attn_norm.weight", 0, width)
        yield Tensor(f"{block}attn_q.weight", width, width)
        yield Tensor(f"{block}attn_k.weight", kv, width)
        yield Tensor(f"{block}attn_v.weight", kv, width)
        yield Tensor(f"{block}attn_output.weight", width, width)
        yield Tensor(f"{block}ffn_norm.weight", 0, width)
        yield Tensor(f"{block}ffn_gate.weight", shape.feed_forward, width)
        yield Tensor(f"{block}ffn_up.weight", shape.feed_forward, width)
        yield Tensor(f"{block}ffn_down.weight", width, shape.feed_forward)
    yield Tensor("output_norm.weight", 0, width)
    yield Tensor("output.weight", VOCABULARY, width)


def parameters(shape: Shape) -> int:
    """How many numbers the model has."""
    return sum(math.prod((max(t.rows, 1), t.columns)) for t in tensors(shape))
