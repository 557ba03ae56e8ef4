"""Which file of a model was the matter, and which disk."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pilotlight_guest import vllm_why
from pilotlight_guest.vllm_why import why

FULL = "InductorError: OSError: [Errno 28] No space left on device"
ANEW = "copy it anew from where the model comes from"


def safetensors(shapes: dict[str, list[int]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * shape[-1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


SHAPES = {"model.embed_tokens.weight": [8, 4], "model.layers.0.mlp": [4, 4], "model.layers.1.mlp": [4, 4]}
WHOLE = safetensors(SHAPES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {"model_type": "llama", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(WHOLE)
    return folder


def said(folder: Path, reason: str = "ValueError: no", **args: object) -> str:
    return why(reason, str(folder), args, {}).replace(str(folder), "F")


def test_of_a_whole_model_vllm_has_said_what_there_is_to_say(folder: Path) -> None:
    assert said(folder) == "ValueError: no"


def edit(**values: object) -> Callable[[Path], object]:
    def work(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return work


def write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


INDEX = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}).encode()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n"


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (remove("config.json"), "F/config.json is not there; copy it from where the model comes from"),
        (write("config.json", b""), f"F/config.json is empty; {ANEW}"),
        (
            write("config.json", b'{"a": "b'),
            f"F/config.json is not JSON (Unterminated string starting at: line 1 column 7 (char 6)); {ANEW}",
        ),
        (write("config.json", b"[]"), f"F/config.json holds list, not an object; {ANEW}"),
        (write("tokenizer_config.json", b"{"), "F/tokenizer_config.json is not JSON (Expecting property"),
        (remove("tokenizer.json"), "F has no tokenizer (none of tokenizer.json, tokenizer.model, vocab.json"),
        (remove("model.safetensors"), "F has no weights (no *.safetensors); copy them"),
        (
            write("model.safetensors", WHOLE[:-9]),
            f"F/model.safetensors has {len(WHOLE) - 9} bytes where its header says {len(WHOLE)}; {ANEW}",
        ),
        (write("model.safetensors", WHOLE + b"\0"), f"F/model.safetensors has {len(WHOLE) + 1} bytes where"),
        (write("model.safetensors", WHOLE[:30]), "F/model.safetensors (30 bytes) is no whole file of safe"),
        (write("model.safetensors", b"\xff" * 64), "F/model.safetensors (64 bytes) is no whole file"),
        (write("model.safetensors", b""), f"F/model.safetensors is empty; {ANEW}"),
        (
            write("model.safetensors", LFS),
            "F/model.safetensors is a pointer of Git LFS and not the file; run",
        ),
        (write("model.safetensors.index.json", INDEX), "F/model-2.safetensors cannot be read (No such file"),
        (write("model.safetensors.index.json", b"{"), "F/model.safetensors.index.json is not JSON"),
        (
            edit(hidden_size=8),
            "F/config.json says hidden_size 8 and the weights beside it have 4; they are not",
        ),
        (edit(vocab_size=9), "F/config.json says vocab_size 9 and the weights beside it have 8"),
        (
            edit(num_hidden_layers=3),
            "F/config.json says num_hidden_layers 3 and the weights beside it have 2",
        ),
        (edit(num_hidden_layers=1), "ValueError: no"),
    ],
)
def test_the_file_and_the_remedy(folder: Path, harm: Callable[[Path], object], expected: str) -> None:
    harm(folder)
    text = said(folder)
    assert text.startswith(expected), text
    assert text == expected or text.endswith("(vLLM: ValueError: no)")


def test_one_that_cannot_be_read_is_not_to_be_copied_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refused)
    expected = "F/config.json cannot be read (Permission denied); give the server's user the right to"
    assert said(folder).startswith(expected)


def test_a_tokenizer_elsewhere_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    text = said(folder, tokenizer=str(tmp_path / "none"))
    assert text.startswith(f"{tmp_path / 'none'} is not there; correct engine_args: {{tokenizer: ...}} (vLLM")


def test_a_package_that_a_load_format_needs_is_installed_where_vllm_is(folder: Path) -> None:
    text = said(folder, "ModuleNotFoundError: No module named 'tensorizer.serialization'")
    assert text.startswith(
        f"{sys.prefix} has no tensorizer; run {sys.executable} -m pip install tensorizer ("
    )


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert said(tmp_path / "gone").startswith("F is not there; put it back, or correct `source`")


@pytest.mark.parametrize("args", [{"tokenizer": "other/model"}, {"skip_tokenizer_init": True}])
def test_a_model_that_needs_no_tokenizer_of_its_own(folder: Path, args: dict[str, object]) -> None:
    (folder / "tokenizer.json").unlink()
    assert said(folder, **args) == "ValueError: no"


def test_of_what_the_hub_gave_the_damaged_file_is_named_that_has_to_go(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = tmp_path / "blob"
    (folder / "model.safetensors").rename(blob)
    blob.write_bytes(WHOLE[:-1])
    (folder / "tokenizer.json").unlink()  # not asked for yet, as far as we know
    (folder / "model.safetensors").symlink_to(blob)

    def cached(model: str, name: str, revision: object) -> str:
        assert (model, name, revision) == ("org/model", "config.json", "v1")
        return str(folder / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(try_to_load_from_cache=cached))
    text = why("no", "org/model", {"revision": "v1"}, {})
    assert f"; remove {blob}, and it is fetched anew (vLLM: no)" in text, text


def test_a_model_of_the_hub_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = SimpleNamespace(try_to_load_from_cache=lambda *_, **__: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert why("no", "org/model", {}, {}) == "no"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert why("no", "org/model", {}, {}) == "no"


def test_the_disk_that_is_full_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"TMPDIR": str(tmp_path), "VLLM_CACHE_ROOT": str(tmp_path / "cache" / "not" / "yet")}
    assert why(FULL, str(folder), {}, env) == FULL, "somebody has made room meanwhile"
    monkeypatch.setattr(vllm_why, "_is_full", lambda path: path == tmp_path)
    text = why(FULL, str(folder), {}, {"VLLM_CACHE_ROOT": env["VLLM_CACHE_ROOT"]})
    assert text.startswith(
        f"there is no room left on the disk of {env['VLLM_CACHE_ROOT']} (VLLM_CACHE_ROOT); free some"
    )
    assert text.endswith(f"(vLLM: {FULL})")


def test_a_folder_that_cannot_be_looked_at_hides_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(vllm_why, "_look", broken)
    assert said(folder) == "ValueError: no"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pipe_is_named_before_anybody_waits_for_it(folder: Path, name: str) -> None:
    assert vllm_why.waits_for(str(folder)) == ""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert vllm_why.waits_for(str(folder)) == f"{folder / name} is a pipe; {ANEW}"
    assert vllm_why.waits_for("org/model") == ""
