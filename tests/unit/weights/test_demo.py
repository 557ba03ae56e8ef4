import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from pilotlight.weights import demo, demo_model, demo_tokenizer
from pilotlight.weights.cache import WeightCache
from pilotlight.weights.demo_model import SHAPES, Shape, parameters
from pilotlight.weights.gguf_header import read_header

DIGEST = "c6058f4056ba3efd9416191b047aa2f2f2ee12e1b85f7712cc4088f091d8654a"
"""Of version 1 of demo://50m. When it changes, so must VERSION."""
TINY = Shape("tiny", layers=2, width=128, heads=2, kv_heads=1, feed_forward=256, file_size=0)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    return "demo://tiny"


def test_version_1_of_the_small_model_is_the_same_everywhere(tmp_path):
    cache = WeightCache(tmp_path)
    seen: list[tuple[int, int | None]] = []
    path = cache.fetch("demo://50m", lambda done, total: seen.append((done, total)))
    assert path.name == "demo-50m-v1.gguf"
    assert demo_model.VERSION == 1
    assert hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST
    assert path.stat().st_size == cache.size_hint("demo://50m") == seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)
    assert [(e.source, e.path, e.bytes) for e in cache.entries()] == [
        ("demo://50m", path, path.stat().st_size)
    ]
    assert cache.local("demo://50m") == path
    assert list((tmp_path / "parts").iterdir()) == []


@pytest.mark.parametrize(("name", "millions"), [("50m", 50), ("1b", 1007)])
def test_sizes_are_what_the_names_say(name, millions):
    shape = SHAPES[name]
    assert round(parameters(shape) / 1e6) == millions
    weights = sum(demo._padded(t.size) for t in demo_model.tensors(shape))
    assert len(demo._header(shape)) + weights == shape.file_size


def test_the_file_is_what_the_gguf_package_reads(tmp_path, tiny):
    import gguf
    import numpy as np

    path = WeightCache(tmp_path).fetch(tiny)
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}
    assert list(tensors) == [t.name for t in demo_model.tensors(TINY)]
    values = gguf.dequantize(tensors["blk.1.ffn_up.weight"].data, gguf.GGMLQuantizationType.Q8_0)
    assert values.shape == (256, 128)
    assert abs(values.std() - 0.02) < 1e-3
    assert abs(values.mean()) < 1e-3
    assert np.all(tensors["output_norm.weight"].data == 1)
    again = gguf.dequantize(tensors["blk.0.ffn_up.weight"].data, gguf.GGMLQuantizationType.Q8_0)
    assert not np.array_equal(values, again)
    header = read_header(path)
    assert (header.n_layer, header.n_head_kv, header.key_length, header.has_chat_template) == (2, 1, 64, True)
    text = reader.fields["general.description"].contents()
    assert "noise" in text


def test_only_whole_printable_tokens_can_be_said(tmp_path, tiny):
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(WeightCache(tmp_path).fetch(tiny))
    output = next(t for t in reader.tensors if t.name == "output.weight")
    values = gguf.dequantize(output.data, gguf.GGMLQuantizationType.Q8_0)
    silent = ~np.any(values != 0, axis=1)
    tokenizer = demo_tokenizer.load()
    assert silent.tolist() == [not ok for ok in tokenizer.speakable]
    for token in demo_tokenizer.SPECIAL:
        assert silent[tokenizer.id(token)]
    assert 7500 < sum(tokenizer.speakable) < 8192 - 4


def test_the_vocabulary_is_whole():
    tokenizer = demo_tokenizer.load()
    assert (
        len(tokenizer.tokens) == len(set(tokenizer.tokens)) == len(tokenizer.kinds) == demo_model.VOCABULARY
    )
    known = set(tokenizer.tokens)
    for merge in tokenizer.merges:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= known
    assert set(demo_tokenizer.byte_alphabet().values()) == set(range(256))


def test_importing_the_cache_is_cheap():
    code = (
        "import sys, pilotlight.weights.cache, pilotlight.weights.gguf_header;"
        "print([m for m in ('numpy', 'gguf', 'huggingface_hub', 'psutil', 'ssl', 'asyncio') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "numpy" not in out.stdout
    assert "gguf" not in out.stdout
    assert "huggingface_hub" not in out.stdout
    assert "ssl" not in out.stdout


def test_the_shipped_merges_are_small():
    merges = Path(demo.__file__).with_name("demo_merges.txt.gz")
    assert merges.stat().st_size < 60_000
