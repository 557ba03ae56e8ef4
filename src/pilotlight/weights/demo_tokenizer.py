"""The demo models' tokenizer: byte-level BPE of 8192 tokens in the manner of GPT-2.

The merge rules were counted in the text of Python's `pydoc_data.topics` (Python Software Foundation
License) by tools/train_demo_tokenizer.py; none of that text is in them.
"""

import gzip

import msgspec

PRE = "smollm"
"""llama.cpp's name for how text is cut before the merges: single digits, then the splits of GPT-2."""
BOS, EOS, IM_START, IM_END = SPECIAL = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")
NORMAL, CONTROL = 1, 3
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Tokenizer(msgspec.Struct, frozen=True):
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    speakable: tuple[bool, ...]
    """Whether a token is whole printable text by itself, so that a stream of noise is at least clean text."""

    def id(self, token: str) -> int:
        return self.tokens.index(token)


def load() -> Tokenizer:
    from importlib import resources  # noqa: PLC0415 - 10 ms that only generation needs

    packed = resources.files("pilotlight.weights").joinpath("demo_merges.txt.gz").read_bytes()
    merges = tuple(gzip.decompress(packed).decode().splitlines())
    alphabet = byte_alphabet()
    plain = (*alphabet, *(merge.replace(" ", "") for merge in merges))
    readable = {letter for letter, byte in alphabet.items() if 32 <= byte < 127}
    return Tokenizer(
        tokens=(*plain, *SPECIAL),
        kinds=(NORMAL,) * len(plain) + (CONTROL,) * len(SPECIAL),
        merges=merges,
        speakable=(*(readable.issuperset(token) for token in plain), *(False for _ in SPECIAL)),
    )


def byte_alphabet() -> dict[str, int]:
    """GPT-2's letter for each byte: printable ones are themselves, the others follow from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
    return dict(sorted(letters.items()))
