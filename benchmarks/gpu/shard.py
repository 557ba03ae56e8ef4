"""Writes a model as vLLM's workers hold it, which is what `load_format: sharded_state` reads: each its own part.

    HOME/bin/python shard.py SOURCE FOLDER FLAGS

Run by the Python of vLLM's environment, which loads the model once; FLAGS is a JSON object of its arguments. How many
parts there are follows from `tensor_parallel_size`, and a start has to say the same.
"""

import json
import sys

if __name__ == "__main__":
    from vllm import LLM

    source, folder, flags = sys.argv[1:]
    engine = LLM(model=source, enforce_eager=True, **json.loads(flags)).llm_engine.engine_core
    engine.save_sharded_state(path=folder)
    engine.shutdown()
