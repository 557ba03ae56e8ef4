"""Which file was the matter, looked for once vLLM could not serve a model, and what to do about it.

The libraries below vLLM say what they stumbled over and often not where: `JSONDecodeError: Unterminated string`,
`header too small`, `No space left on device`. Standard library only; of weights no more than headers are read.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import re
import sys
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model",
    "tekken.json", "*.tiktoken", "tokenization_*.py",
)  # fmt: skip
"""One of them is what transformers and vLLM read a tokenizer from."""
_JSON = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json")
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
_HEADER_MAX = 100 * 2**20
"""Bytes; safetensors itself takes no longer header."""
_LITTLE = 2**20
"""Bytes of room below which a disk counts as full."""
_FULL = ("No space left on device", "Disk quota exceeded")
_LACKING = re.compile(r"No module named '([\w.]+)'")
_PLACES = ("TMPDIR", "VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "HF_HOME", "HOME")
"""Variables that name folders which a start writes to."""
_LFS = b"version https://git-lfs.github.com/spec/"


class Wrong(Exception):
    """One sentence: the file, what is wrong with it, and the remedy."""


def why(reason: str, model: str, args: Mapping[str, object], env: Mapping[str, str]) -> str:
    """`reason` with what was found, where something was. `model`: a folder, or a name on the Hub; `args`: flags."""
    try:
        if lacking := _LACKING.search(reason):
            name = lacking[1].partition(".")[0]
            found = f"{sys.prefix} has no {name}; run {sys.executable} -m pip install {name}"
        elif any(words in reason for words in _FULL):
            found = full_place(env)
        else:
            found = fault(model, args)
    except Exception:  # a folder that cannot be looked through explains nothing
        return reason
    return f"{found} (vLLM: {reason})" if found else reason


def waits_for(model: str) -> str:
    """A file of its folder that whoever reads it would wait for: a pipe. Empty where there is none."""
    folder = pathlib.Path(model)
    if not folder.is_absolute() or not folder.is_dir():
        return ""
    files = (file for pattern in ("*.json", *_WEIGHTS) for file in folder.glob(pattern))
    piped = next((file for file in files if file.is_fifo()), None)
    return f"{piped} is a pipe; {_anew(piped)}" if piped is not None else ""


# -- disks -------------------------------------------------------------------------------------------------------


def full_place(env: Mapping[str, str]) -> str:
    """The first that has no room; empty where all have some."""
    places = {name: env[name] for name in _PLACES if env.get(name)}
    for name, place in {"TMPDIR": tempfile.gettempdir(), **places, "shared memory": "/dev/shm"}.items():
        if (folder := _there(pathlib.Path(place))) is not None and _is_full(folder):
            return f"there is no room left on the disk of {place} ({name}); free some, or point it elsewhere"
    return ""


def _there(path: pathlib.Path) -> pathlib.Path | None:
    """Itself, or the nearest folder above it that exists."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), None)


def _is_full(folder: pathlib.Path) -> bool:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize < _LITTLE or (room.f_files > 0 and room.f_favail == 0)


# -- files of a model --------------------------------------------------------------------------------------------


def fault(model: str, args: Mapping[str, object]) -> str:
    """The first that is found in its folder; empty where there is none, or the folder is not known."""
    tokenizer = str(args.get("tokenizer") or "")
    try:
        if os.path.isabs(tokenizer) and not os.path.exists(tokenizer):
            raise Wrong(f"{tokenizer} is not there; correct engine_args: {{tokenizer: ...}}")
        if os.path.isabs(model):
            _look(pathlib.Path(model), args, fetched=False)
        elif (folder := _fetched(model, args.get("revision"))) is not None:
            _look(folder, args, fetched=True)
    except Wrong as wrong:
        return str(wrong)
    return ""


def _fetched(model: str, revision: object) -> pathlib.Path | None:
    """Where the Hub's own library keeps it."""
    hub: Any = importlib.import_module("huggingface_hub")
    path = hub.try_to_load_from_cache(model, "config.json", revision=revision)
    return pathlib.Path(path).parent if isinstance(path, str) else None


def _look(folder: pathlib.Path, args: Mapping[str, object], fetched: bool) -> None:
    """Raises Wrong. Of a folder that was fetched nothing counts as missing: the Hub knows what belongs there."""
    if not folder.is_dir():
        raise Wrong(f"{folder} is not there; put it back, or correct `source`")
    own_tokenizer = not args.get("tokenizer")
    names = [name for name in _JSON if own_tokenizer or "token" not in name]
    read = {name: _read_json(folder / name) for name in names if (folder / name).exists()}
    weights = list(_weights(folder))
    if not fetched:
        if not (folder / "config.json").is_file():
            raise Wrong(f"{folder / 'config.json'} is not there; copy it from where the model comes from")
        if own_tokenizer and not args.get("skip_tokenizer_init") and not _any(folder, _TOKENIZERS):
            raise Wrong(
                f"{folder} has no tokenizer (none of {', '.join(_TOKENIZERS[:4])}, ...); copy tokenizer.json from "
                "where the model comes from, or set engine_args: {tokenizer: ...}"
            )
        if not weights and not _any(folder, _WEIGHTS):
            raise Wrong(
                f"{folder} has no weights (no *.safetensors); copy them from where the model comes from"
            )
    shapes: dict[str, Any] = {}
    for path in weights:
        if path.exists() or not fetched:
            shapes |= _tensors(path)
    _compare(folder / "config.json", read.get("config.json", {}), shapes)


def _any(folder: pathlib.Path, patterns: tuple[str, ...]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    _check_whole(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Wrong(
            f"{path} cannot be read ({error.strerror}); give the server's user the right to"
        ) from error
    except ValueError as error:  # also bytes that are no text
        raise Wrong(f"{path} is not JSON ({error}); {_anew(path)}") from error
    if not isinstance(value, dict):
        raise Wrong(f"{path} holds {type(value).__name__}, not an object; {_anew(path)}")
    return value


def _weights(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Those that the index names, else all."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        yield from sorted(folder.glob("*.safetensors"))
        return
    for name in sorted(set(_read_json(index).get("weight_map", {}).values())):
        yield folder / name


def _tensors(path: pathlib.Path) -> dict[str, Any]:
    """Shapes by name, of a file of safetensors: eight bytes of length, so much JSON, and tensors to the end."""
    _check_whole(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= min(size - 8, _HEADER_MAX) else b""
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Wrong(f"{path} ({size} bytes) is no whole file of safetensors; {_anew(path)}") from None
    if size != end:
        raise Wrong(f"{path} has {size} bytes where its header says {end}; {_anew(path)}")
    return {name: tensor["shape"] for name, tensor in header.items()}


def _unreadable(path: pathlib.Path, error: OSError) -> Wrong:
    remedy = "give the server's user the right to" if isinstance(error, PermissionError) else _anew(path)
    return Wrong(f"{path} cannot be read ({error.strerror}); {remedy}")


def _check_whole(path: pathlib.Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError:  # whoever reads it says it better
        return
    if start == _LFS:
        raise Wrong(f"{path} is a pointer of Git LFS and not the file; run `git lfs pull` in its folder")
    if not start:
        raise Wrong(f"{path} is empty; {_anew(path)}")


def _anew(path: pathlib.Path) -> str:
    """What the Hub's library has fetched is a link to the file."""
    if path.is_symlink():
        return f"remove {path.resolve()}, and it is fetched anew"
    return "copy it anew from where the model comes from"


def _compare(path: pathlib.Path, config: Mapping[str, Any], shapes: Mapping[str, Any]) -> None:
    """Raises Wrong when the weights are another model's than the configuration's, as far as their names tell."""
    rows, width = shapes.get("model.embed_tokens.weight", (None, None))
    layers = len({name.split(".")[2] for name in shapes if name.startswith("model.layers.")})
    counted = {"vocab_size": rows, "hidden_size": width}
    wrong = {key: number for key, number in counted.items() if number and config.get(key, number) != number}
    if layers and config.get("num_hidden_layers", 0) > layers:  # more than it says may be another head's
        wrong["num_hidden_layers"] = layers
    for key, number in wrong.items():
        raise Wrong(
            f"{path} says {key} {config[key]} and the weights beside it have {number}; they are not of one model: copy "
            "both anew from where it comes from"
        )
