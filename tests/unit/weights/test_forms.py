"""How sources are written, and what is said of those that cannot be."""

import os
from pathlib import Path

import pytest

from pilotlight.errors import SourceError
from pilotlight.weights import http, hub, index, split
from pilotlight.weights.cache import WeightCache

HEX = "ab" * 32


@pytest.fixture
def cache(tmp_path: Path) -> WeightCache:
    return WeightCache(tmp_path / "cache")


@pytest.mark.parametrize(
    "source",
    [
        "demo://50m",
        "demo://1B",
        "hf://org/repo/m.gguf",
        "hf://org/repo@v1.0/sub/m.gguf",
        "https://example.com/m.gguf",
        "https://example.com:8443/a%20b/m.gguf?signature=x#sha256=" + HEX,
        "http://127.0.0.1:9/m.gguf",
        "http://localhost/m.gguf",
        "http://example.com/m.gguf#sha256=" + HEX.upper(),
    ],
)
def test_these_can_be(cache, tmp_path, source):
    cache.check(source)
    assert cache.local(source) is None
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "is empty"),
        ("demo://7b", "demo://50m or demo://1b"),
        ("s3://bucket/m.gguf", "no s3:// source"),
        ("hf://repo/m.gguf", "write hf://"),
        ("hf://org/repo", "write hf://"),
        ("hf://org/repo/m.bin", "write hf://"),
        ("hf://org/repo/../m.gguf", "write hf://"),
        ("hf://org/repo//m.gguf", "write hf://"),
        ("hf://org/repo@/m.gguf", "write hf://"),
        ("https://example.com/", "does not name a .gguf"),
        ("https://example.com/m.bin", "does not name a .gguf"),
        ("https:///m.gguf", "does not name a .gguf"),
        ("https://example.com/%2e%2e%2fm.gguf", "does not name a .gguf"),
        ("https://me:secret@example.com/m.gguf", "a password in a URL"),
        ("https://me:secret@example.com:x/m.gguf", "is not a URL"),
        ("https://example.com/m.gguf#md5=1", "sha256="),
        ("https://example.com/m.gguf#sha256=12", "64 hexadecimal"),
        ("http://example.com/m.gguf", "use https"),
        ("https://example.com/m-00001-of-00002.gguf#sha256=" + HEX, "one digest cannot"),
        ("/nowhere/m.gguf", "/nowhere/m.gguf does not exist"),
    ],
)
def test_these_cannot(cache, source, says):
    with pytest.raises(SourceError, match=says) as error:
        cache.check(source)
    assert "secret" not in str(error.value)
    with pytest.raises(SourceError):
        cache.fetch(source)
    assert cache.local(source) is None
    assert cache.size_hint(source) is None


def test_a_path_is_used_where_it_is(cache, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(60))
    cache.check(str(path))
    assert cache.fetch(str(path)) == cache.local(str(path)) == path
    assert cache.size_hint(str(path)) == 64
    assert cache.entries() == []


def test_a_pipe_is_refused_without_a_wait_for_its_writer(cache, tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(SourceError, match="is a pipe"):
        cache.check(str(tmp_path / "m.gguf"))
    assert cache.local(str(tmp_path / "m.gguf")) is None


def test_a_folder_and_a_foreign_file_are_refused(cache, tmp_path):
    with pytest.raises(SourceError, match="is a folder"):
        cache.check(str(tmp_path))
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(SourceError, match="is not a GGUF file"):
        cache.check(str(tmp_path / "page.gguf"))


def test_all_parts_of_a_split_path_must_be_there(cache, tmp_path):
    names = split.parts("m-00002-of-00003.gguf")
    assert names == [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    for name in names[:2]:
        (tmp_path / name).write_bytes(b"GGUF1234")
    with pytest.raises(SourceError, match=r"00003-of-00003\.gguf does not exist"):
        cache.check(str(tmp_path / names[1]))
    (tmp_path / names[2]).write_bytes(b"GGUF1234")
    assert cache.fetch(str(tmp_path / names[1])) == tmp_path / names[0]
    assert cache.size_hint(str(tmp_path / names[0])) == 24


def test_names_that_only_look_split_are_whole():
    for name in ("m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-1-of-2.gguf"):
        assert split.parts(name) == [name]


def test_the_parts_of_a_url_keep_their_query():
    source = http.parse("https://h/a%20b-00002-of-00002.gguf?x=1")
    assert [f.url for f in source.files] == [f"https://h/a%20b-0000{n}-of-00002.gguf?x=1" for n in (1, 2)]
    assert source.names == ("a b-00001-of-00002.gguf", "a b-00002-of-00002.gguf")
    assert source.files[0].name == "https://h/a b-00001-of-00002.gguf"


def test_a_hub_source_has_its_revision_and_folders():
    assert hub.parse("hf://o/r@refs%2Fpr%2F1/q/m.gguf") == hub.HubSource("o/r", "refs/pr/1", ("q/m.gguf",))
    assert hub.parse("hf://o/r/q/m-00001-of-00002.gguf").files[1] == "q/m-00002-of-00002.gguf"


def test_what_is_secret_in_a_url_is_not_shown():
    assert index.public("https://h/m.gguf?signature=x#sha256=1") == "https://h/m.gguf"
    assert index.public("hf://o/r/m.gguf") == "hf://o/r/m.gguf"


def test_the_size_of_a_folder_in_hugging_faces_layout(tmp_path):
    cache = WeightCache(tmp_path / "cache")
    assert cache.size_hint(str(tmp_path)) is None
    for name in ("model-1.safetensors", "model-2.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"1234")
    assert cache.size_hint(str(tmp_path)) == 8
