"""Writes a Llama with random weights in Hugging Face's layout: for vLLM and others where nothing can be downloaded.

    python tools/make_random_llama.py FOLDER [--size 10m|1b|8b]

Same bytes for same arguments. Its tokenizer is that of the demo models. Needs numpy and pilotlight, not torch.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pilotlight.weights import demo_tokenizer as tokenizer

SIZES = {
    "10m": {"layers": 4, "width": 256, "heads": 4, "kv_heads": 2, "feed_forward": 1024, "vocabulary": 8192},
    "1b": {"layers": 16, "width": 2048, "heads": 32, "kv_heads": 8, "feed_forward": 8192, "vocabulary": 32768},
    "8b": {"layers": 32, "width": 4096, "heads": 32, "kv_heads": 8, "feed_forward": 14336, "vocabulary": 128256},
}  # fmt: skip
CONTEXT = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="10m")
    args = parser.parse_args()
    make(args.folder, args.size)
    print(args.folder)


def make(folder: Path, size: str = "10m") -> Path:
    """The folder, whole; one that is there whole already is left as it is."""
    if (folder / "config.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    shape = SIZES[size]
    _write_tokenizer(folder)
    _write_weights(folder / "model.safetensors", shape)
    _write_json(folder / "generation_config.json", {"do_sample": False})
    _write_json(folder / "config.json", _config(shape))  # last: without it this is no model
    return folder


def _config(shape: dict[str, int]) -> dict[str, Any]:
    ids = {token: i for i, token in enumerate(tokenizer.load().tokens)}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape["width"],
        "intermediate_size": shape["feed_forward"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"],
        "head_dim": shape["width"] // shape["heads"],
        "vocab_size": shape["vocabulary"],
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
        "bos_token_id": ids[tokenizer.BOS],
        "eos_token_id": ids[tokenizer.EOS],
    }


def _tensors(shape: dict[str, int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, inner = shape["width"], shape["feed_forward"]
    kv = width // shape["heads"] * shape["kv_heads"]
    yield "model.embed_tokens.weight", (shape["vocabulary"], width)
    for layer in range(shape["layers"]):
        at = f"model.layers.{layer}."
        yield f"{at}input_layernorm.weight", (width,)
        yield f"{at}self_attn.q_proj.weight", (width, width)
        yield f"{at}self_attn.k_proj.weight", (kv, width)
        yield f"{at}self_attn.v_proj.weight", (kv, width)
        yield f"{at}self_attn.o_proj.weight", (width, width)
        yield f"{at}post_attention_layernorm.weight", (width,)
        yield f"{at}mlp.gate_proj.weight", (inner, width)
        yield f"{at}mlp.up_proj.weight", (inner, width)
        yield f"{at}mlp.down_proj.weight", (width, inner)
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (shape["vocabulary"], width)


def _write_weights(path: Path, shape: dict[str, int]) -> None:
    """The format: eight bytes of length, a JSON object that says where each tensor lies, then their bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dims in _tensors(shape):
        begin, end = end, end + 2 * math.prod(dims)
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, dims in _tensors(shape):
            file.write(_numbers(random, dims))


def _numbers(random: np.random.Generator, dims: tuple[int, ...]) -> bytes:
    """As bfloat16, the upper half of a float: ones for a norm, else noise that keeps a row's length."""
    if len(dims) == 1:
        numbers = np.ones(dims, np.float32)
    else:
        numbers = random.standard_normal(dims, np.float32) / math.sqrt(dims[1])
    return (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()


def _write_tokenizer(folder: Path) -> None:
    source = tokenizer.load()
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = [
        {
            "id": source.id(token), "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for token in tokenizer.SPECIAL
    ]  # fmt: skip
    model = {
        "type": "BPE",
        "vocab": {token: i for i, token in enumerate(source.tokens)},
        "merges": list(source.merges),
        "byte_fallback": False,
        "ignore_merges": False,
    }
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": bytewise, "post_processor": None, "decoder": bytewise, "model": model,
    }  # fmt: skip
    _write_json(folder / "tokenizer.json", whole)
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokenizer.BOS,
        "eos_token": tokenizer.EOS,
        "chat_template": tokenizer.CHAT_TEMPLATE,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", about)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
