"""Trains the tokenizer of the demo models: the merge rules in src/pilotlight/weights/demo_merges.txt.gz.

Needs the `tokenizers` package, which nothing else here needs: run it from an environment of its own,
`python tools/train_demo_tokenizer.py`, and raise `VERSION` in weights/demo_model.py when the result changes.

The text is that of Python's own `pydoc_data.topics` (the language reference, under the licence of the Python
Software Foundation). Only counts of letter pairs come out of it; none of the text is shipped.
"""

import gzip
import json
import sys
from pathlib import Path
from pydoc_data import topics

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

VOCABULARY = 8192
SPECIAL = 4  # <|bos|> <|eos|> <|im_start|> <|im_end|> come after the merged tokens
OUT = Path(__file__).parent.parent / "src/pilotlight/weights/demo_merges.txt.gz"


def main() -> None:
    tokenizer = Tokenizer(models.BPE())
    # What llama.cpp calls "smollm": single digits, then the splits of GPT-2. It is one of the pre-tokenizers
    # whose text llama.cpp gives back unchanged.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - SPECIAL,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((topics.topics[key] for key in sorted(topics.topics)), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert len(merges) == VOCABULARY - SPECIAL - 256, f"the text gave {len(merges)} merges only"
    text = "\n".join(" ".join(pair) for pair in merges) + "\n"
    OUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    sys.stdout.write(f"{len(merges)} merges, {OUT.stat().st_size} bytes in {OUT}\n")


if __name__ == "__main__":
    main()
