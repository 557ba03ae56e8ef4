import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.errors import SourceError
from pilotlight.weights.gguf_header import Header, read_header

U32, F32, STRING, ARRAY, U64 = 4, 6, 8, 9, 10


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def u32(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", U32, value)


def string(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", STRING) + text(value)


def strings(key: str, values: list[str]) -> bytes:
    return text(key) + struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def numbers(key: str, values: list[int]) -> bytes:
    return text(key) + struct.pack(f"<IIQ{len(values)}I", ARRAY, U32, len(values), *values)


def gguf(*pairs: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


LLAMA = (
    string("general.architecture", "llama"),
    u32("llama.block_count", 4),
    u32("llama.context_length", 4096),
    u32("llama.embedding_length", 256),
    u32("llama.attention.head_count", 8),
    u32("llama.attention.head_count_kv", 2),
)


@pytest.fixture
def write(tmp_path: Path):
    def to_file(data: bytes, name: str = "m.gguf") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return to_file


def test_numbers_of_a_plain_model(write):
    data = gguf(
        *LLAMA, strings("tokenizer.ggml.tokens", ["a"] * 1000), string("tokenizer.chat_template", "{{ x }}")
    )
    assert read_header(write(data + bytes(100))) == Header(
        architecture="llama",
        n_layer=4,
        n_ctx_train=4096,
        n_embd=256,
        n_head=8,
        n_head_kv=2,
        kv_heads=8,
        key_length=32,
        value_length=32,
        file_size=len(data) + 100,
        has_chat_template=True,
    )


def test_cache_bytes_follow_from_heads_and_lengths(write):
    header = read_header(write(gguf(*LLAMA, u32("llama.attention.key_length", 64))))
    assert (header.key_length, header.value_length, header.has_chat_template) == (64, 32, False)
    assert header.kv_bytes_per_token() == 4 * 2 * (64 + 32) * 2
    assert header.kv_bytes_per_token(1.0625) == 816


def test_heads_may_differ_by_layer(write):
    header = read_header(write(gguf(*LLAMA[:5], numbers("llama.attention.head_count_kv", [1, 2, 0, 4]))))
    assert (header.n_head_kv, header.kv_heads) == (4, 7)


def test_without_kv_heads_every_head_has_its_own(write):
    header = read_header(write(gguf(*LLAMA[:5])))
    assert (header.n_head_kv, header.kv_heads) == (8, 32)


def test_the_architecture_may_come_last_and_long_values_are_passed_over(write):
    pairs = (string("x", "y" * 3_000_000), strings("t", ["z" * 50_000] * 60), *reversed(LLAMA))
    assert read_header(write(gguf(*pairs))).n_layer == 4


def test_the_sizes_of_all_parts_count(write):
    write(b"GGUF" + bytes(996), "m-00002-of-00002.gguf")
    first = write(gguf(*LLAMA), "m-00001-of-00002.gguf")
    assert read_header(first).file_size == 1000 + len(gguf(*LLAMA))
    assert read_header(first.with_name("m-00002-of-00002.gguf")).n_layer == 4


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "is not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"GGUF", "cut off"),
        (gguf(*LLAMA, version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (gguf(*LLAMA[1:]), "general.architecture"),
        (gguf(LLAMA[0]), "not a language model"),
        (gguf(*LLAMA)[:-3], "cut off"),
        (gguf(LLAMA[0], text("k") + struct.pack("<I", 77)), "unknown type 77"),
        (gguf(LLAMA[0], text("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1)), "unknown type 9"),
        (gguf(text("k") + struct.pack("<IIQ", ARRAY, U64, 1 << 61)), "damaged"),
        (gguf(text("k") + struct.pack("<IIQQ", ARRAY, STRING, 1 << 61, 1 << 63)), "damaged"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 40) + b"k", "damaged"),
        (gguf(*LLAMA, u32("llama.block_count", 0xFFFFFFFF)), "block_count is not"),
        (gguf(LLAMA[0], text("llama.block_count") + struct.pack("<If", F32, 2.0)), "block_count is not"),
    ],
)
def test_what_cannot_be_read_is_named(write, data, says):
    path = write(data)
    with pytest.raises(SourceError, match=says) as error:
        read_header(path)
    assert str(path) in str(error.value)


def test_missing_file_and_missing_part(tmp_path, write):
    with pytest.raises(SourceError, match="does not exist"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(SourceError, match=r"m-00002-of-00002\.gguf does not exist"):
        read_header(write(gguf(*LLAMA), "m-00001-of-00002.gguf"))


WHOLE = gguf(*LLAMA, strings("tokenizer.ggml.tokens", ["ab", "c", ""]), numbers("n", [1, 2, 3]))


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8), st.booleans())
def test_damage_is_either_harmless_or_a_source_error(tmp_path_factory, at, junk, cut):
    path = tmp_path_factory.getbasetemp() / "fuzz.gguf"
    path.write_bytes(WHOLE[:at] + junk + (b"" if cut else WHOLE[at + len(junk) :]))
    try:
        header = read_header(path)
    except SourceError as error:
        assert str(path) in str(error)
    else:
        assert header.n_layer > 0
        assert header.kv_bytes_per_token() >= 0


@given(st.binary(max_size=200))
def test_junk_behind_the_magic_is_a_source_error(tmp_path_factory, junk):
    path = tmp_path_factory.getbasetemp() / "junk.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + junk)
    with pytest.raises(SourceError):
        read_header(path)
