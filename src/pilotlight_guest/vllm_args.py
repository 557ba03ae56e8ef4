"""A config's `engine_args` as the flags of vLLM's and SGLang's servers. Standard library only; both sides use it.

A name is that of the flag, with underscores or hyphens: `max_model_len: 4096` is `--max-model-len 4096`, true is
`--enforce-eager`, false is `--no-enforce-eager`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LOAD_FORMATS = (
    "auto", "hf", "dummy", "fastsafetensors", "instanttensor", "ipc_cache", "mistral", "modelexpress", "npcache", "pt",
    "runai_streamer", "runai_streamer_sharded", "safetensors", "sharded_state", "tensorizer",
)  # fmt: skip
"""What vLLM 0.32 knows (vllm/model_executor/model_loader). A plugin may add others, which go through `env`."""

NEEDS_CUDA = ("fastsafetensors", "instanttensor", "ipc_cache")
RESERVED = (
    "model", "host", "port", "uds", "served_model_name", "api_key", "revision", "ssl_keyfile", "ssl_certfile",
    "headless", "api_server_count", "data_parallel_size", "nnodes", "config",
)  # fmt: skip
"""Set by pilotlight, or of no sense behind it."""


def flags(args: Mapping[str, bool | int | float | str]) -> list[str]:
    """Words of a command line."""
    words: list[str] = []
    for name, value in args.items():
        flag = name.replace("_", "-").lstrip("-")
        if value is True:
            words.append(f"--{flag}")
        elif value is False:
            words.append(f"--no-{flag}")
        else:
            words.append(f"--{flag}={value}")  # one word: a value may begin with a hyphen
    return words


def faults(args: Mapping[str, object], cuda: bool, reserved: Collection[str] = RESERVED) -> list[str]:
    """What is wrong with them as far as it can be said without vLLM, a sentence each."""
    found = [f"engine_arg {n!r} is set by pilotlight; leave it out" for n in args if plain(n) in reserved]
    names = {plain(name): value for name, value in args.items()}
    kind = names.get("load_format")
    if kind is not None and kind not in LOAD_FORMATS:
        found.append(f"load_format {kind!r} is none of vLLM's; it is one of {', '.join(LOAD_FORMATS)}")
    elif kind in NEEDS_CUDA and not cuda:
        found.append(f"load_format {kind!r} needs a GPU; on a CPU use auto, safetensors or runai_streamer")
    return found


def plain(name: str) -> str:
    """As Python would write it."""
    return name.lstrip("-").replace("-", "_")
