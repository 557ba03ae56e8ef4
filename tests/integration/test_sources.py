"""Sources against real servers on loopback. The hub is a stand-in (unit/weights/servers.py); llama.cpp is real."""

import base64
import hashlib
import json
import logging
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotlight.errors import SourceError
from pilotlight.weights import blocks, transfer
from pilotlight.weights.cache import WeightCache
from unit.weights.servers import FileServer, HubStandIn, gguf_bytes

DATA = gguf_bytes(1_500_000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BACK_OFF", 0.01)
    monkeypatch.setattr(transfer, "BACK_OFF_CAP", 0.02)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        running.files["/m.gguf"] = DATA
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> WeightCache:
    return WeightCache(tmp_path / "cache")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- http --------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(server, cache):
    source, seen = f"{server.url}/m.gguf?signature=secret#sha256={sha256(DATA)}", []
    assert cache.size_hint(source) is None
    path = cache.fetch(source, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA
    assert path.name == "m.gguf"
    assert seen[-1] == (len(DATA), len(DATA))
    assert cache.fetch(source) == cache.local(source) == path
    assert len(server.requests) == 1
    assert cache.size_hint(source) == len(DATA)
    entry = cache.entries()[0]
    assert (entry.source, entry.path, entry.bytes) == (f"{server.url}/m.gguf", path, len(DATA))


def test_a_cache_can_be_moved(server, tmp_path):
    path = WeightCache(tmp_path / "a").fetch(f"{server.url}/m.gguf")
    (tmp_path / "a").rename(tmp_path / "b")
    assert not path.exists()
    moved = WeightCache(tmp_path / "b").local(f"{server.url}/m.gguf")
    assert moved is not None
    assert moved.read_bytes() == DATA


def test_a_file_that_was_cut_short_behind_our_back_is_not_taken_for_whole(server, cache):
    path = cache.fetch(f"{server.url}/m.gguf")
    path.write_bytes(DATA[:1000])
    assert cache.local(f"{server.url}/m.gguf") is None
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA


def test_without_an_index_the_final_name_is_enough(server, cache, tmp_path):
    path = cache.fetch(f"{server.url}/m.gguf")
    for file in (tmp_path / "cache/index").iterdir():
        file.write_bytes(b"")
    assert cache.local(f"{server.url}/m.gguf") is None
    assert cache.fetch(f"{server.url}/m.gguf") == path
    assert len(server.gets()) == 1


def test_cuts_are_resumed_where_they_happened(server, cache):
    server.cut_after = [400_000, 300_000]
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA
    assert [h.get("range") for h in server.gets()] == [None, "bytes=400000-", "bytes=700000-"]
    assert all("if-range" in h for h in server.gets()[1:])
    assert server.sent == len(DATA)


def test_a_server_without_ranges_is_asked_for_all_again(server, cache):
    server.ranges, server.cut_after = False, [400_000]
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA
    assert server.sent == len(DATA) + 400_000


def test_without_a_validator_nothing_is_joined_unless_the_digest_is_known(server, cache):
    server.etag, server.cut_after = False, [400_000]
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA
    assert [h.get("range") for h in server.gets()] == [None, None]
    server.cut_after = [400_000]
    assert cache.fetch(f"{server.url}/m.gguf#sha256={sha256(DATA)}").read_bytes() == DATA
    assert server.gets()[-1]["range"] == "bytes=400000-"


def test_passing_refusals_are_tried_again_and_others_are_not(server, cache):
    server.statuses = [503, 429, 500]
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA
    assert len(server.requests) == 4
    for status, says in ((401, "signed URL"), (403, "expired"), (404, "check the URL"), (410, "gone")):
        server.statuses = [status]
        with pytest.raises(SourceError, match=f"{status}.*{says}"):
            cache.fetch(f"{server.url}/other.gguf")


def test_a_server_that_never_recovers_is_given_up(server, cache, caplog):
    caplog.set_level(logging.WARNING)
    server.statuses = [503] * 50
    with pytest.raises(SourceError, match=r"HTTP 503.*6 times in a row"):
        cache.fetch(f"{server.url}/m.gguf?signature=secret")
    assert [m.rpartition(" (")[2] for m in caplog.messages] == [f"{n} of 5)" for n in range(1, 6)]
    assert f"{server.url}/m.gguf: HTTP 503" in caplog.messages[0] and "secret" not in caplog.text
    assert len(server.requests) == transfer.RETRIES + 1
    with pytest.raises(SourceError, match="refused"):
        cache.fetch("http://127.0.0.1:1/m.gguf")


def test_run_says_that_it_tries_again(server, tmp_path):
    server.statuses = [503] * 50
    command = [sys.executable, "-m", "pilotlight.cli.main", "run", f"{server.url}/m.gguf", "hi"]
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.kill()
    assert f"{server.url}/m.gguf: HTTP 503 Service Unavailable; trying again in 0.5 s (1 of 5)" in said


def test_unknown_length_needs_a_digest(server, cache):
    server.length = False
    with pytest.raises(SourceError, match="how long"):
        cache.fetch(f"{server.url}/m.gguf")
    assert cache.fetch(f"{server.url}/m.gguf#sha256={sha256(DATA)}").read_bytes() == DATA


@pytest.mark.parametrize("style", ["repr", "rfc3230", "s3"])
def test_an_offered_digest_is_checked(server, cache, style):
    def offer(data: bytes) -> dict[str, str]:
        text = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return {
            "repr": {"Repr-Digest": f"md5=:xx:, sha-256=:{text}:"},
            "rfc3230": {"Digest": f"SHA-256={text}"},
            "s3": {"x-amz-checksum-sha256": text},
        }[style]

    server.extra = offer(b"another")
    with pytest.raises(SourceError, match="was expected"):
        cache.fetch(f"{server.url}/m.gguf")
    server.extra = offer(DATA)
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA


def test_what_is_not_a_gguf_is_refused_at_once(server, cache, tmp_path):
    server.files["/page.gguf"] = b"<!DOCTYPE html>" + bytes(3_000_000)
    server.files["/empty.gguf"] = b""
    for name, says in (("page", "not a GGUF"), ("empty", "is empty")):
        with pytest.raises(SourceError, match=says):
            cache.fetch(f"{server.url}/{name}.gguf")
    assert list((tmp_path / "cache/parts").iterdir()) == []


def test_redirects_are_followed_without_the_token_and_never_to_another_scheme(server, cache, tmp_path):
    server.redirects = {"/r.gguf": "/m.gguf", "/f.gguf": "ftp://127.0.0.1/m.gguf"}
    assert cache.fetch(f"{server.url}/r.gguf").read_bytes() == DATA
    with pytest.raises(SourceError, match="ftp"):
        cache.fetch(f"{server.url}/f.gguf")


def test_all_parts_of_a_split_model_are_fetched(server, cache):
    parts = {f"/x%20y-0000{n}-of-00003.gguf": gguf_bytes(1000 * n, n) for n in (1, 2, 3)}
    server.files |= parts
    seen: list[int] = []
    path = cache.fetch(f"{server.url}/x%20y-00002-of-00003.gguf", lambda done, _: seen.append(done))
    assert path.name == "x y-00001-of-00003.gguf"
    assert [f.stat().st_size for f in sorted(path.parent.iterdir())] == [1000, 2000, 3000]
    assert seen[-1] == 6000
    assert cache.entries()[0].bytes == cache.size_hint(f"{server.url}/x%20y-00002-of-00003.gguf") == 6000


def test_an_exception_from_progress_ends_the_fetch_and_the_next_resumes(server, cache, monkeypatch):
    class Stop(Exception):
        pass

    def stop(done: int, _total: int | None) -> None:
        if done > 200_000:
            raise Stop

    monkeypatch.setattr(blocks, "PATIENCE", 0.0)
    server.delay = 0.01
    with pytest.raises(Stop):
        cache.fetch(f"{server.url}/m.gguf", stop)
    server.delay = 0
    assert cache.fetch(f"{server.url}/m.gguf").read_bytes() == DATA
    assert int(server.gets()[1]["range"].removeprefix("bytes=").removesuffix("-")) > 200_000


# -- the hub -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    import huggingface_hub.constants as constants

    with HubStandIn() as running:
        running.repos["org/repo"] = {"m.gguf": DATA, "q8/big-00001-of-00002.gguf": gguf_bytes(5000, 2)}
        running.repos["org/repo"]["q8/big-00002-of-00002.gguf"] = gguf_bytes(7000, 3)
        # These variables are read when the library is imported, so a process of its own would only need them set.
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield running


def test_a_hub_file_is_fetched_verified_and_found_again(hub, cache, tmp_path):
    seen: list[tuple[int, int | None]] = []
    path = cache.fetch("hf://org/repo/m.gguf", lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "cache/hub/org--repo" / hub.commit / "m.gguf"
    assert path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    asked = len(hub.requests)
    assert cache.fetch("hf://org/repo/m.gguf") == cache.local("hf://org/repo/m.gguf") == path
    assert len(hub.requests) == asked
    assert cache.entries()[0].source == "hf://org/repo/m.gguf"
    # Another name of the same commit costs a question, not another download.
    assert cache.fetch(f"hf://org/repo@{hub.commit}/m.gguf") == path
    assert hub.sent == len(DATA)


def test_all_parts_in_a_folder_are_fetched(hub, cache):
    path = cache.fetch("hf://org/repo/q8/big-00002-of-00002.gguf")
    assert path.parts[-2:] == ("q8", "big-00001-of-00002.gguf")
    assert path.with_name("big-00002-of-00002.gguf").stat().st_size == 7000
    # The second part is asked for at the commit of the first.
    assert [p for m, p, _ in hub.requests if m == "HEAD"][-1].split("/")[4] == hub.commit


def test_cut_hub_downloads_are_resumed(hub, cache):
    hub.cut_after = [600_000]
    assert cache.fetch("hf://org/repo/m.gguf").read_bytes() == DATA
    assert hub.sent == len(DATA)


def test_the_token_opens_a_gated_repository_and_stays_with_the_hub(hub, cache, monkeypatch):
    hub.gated.add("org/repo")
    with pytest.raises(SourceError, match=r"gated: accept its terms at .*/org/repo, and set HF_TOKEN"):
        cache.fetch("hf://org/repo/m.gguf")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert cache.fetch("hf://org/repo/m.gguf").read_bytes() == DATA
    assert [h for m, p, h in hub.requests if p.startswith("/cdn/") and "authorization" in h] == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hf://org/none/m.gguf", "no repository org/none.*HF_TOKEN"),
        ("hf://org/repo/none.gguf", "no none.gguf at revision main"),
        ("hf://org/repo@v9/m.gguf", "no revision v9"),
    ],
)
def test_what_the_hub_does_not_have_is_named(hub, cache, source, says):
    with pytest.raises(SourceError, match=says):
        cache.fetch(source)


def test_a_hub_that_fails_or_refuses(hub, cache, monkeypatch):
    monkeypatch.setattr("pilotlight.weights.cache._LOOK_UP_PAUSE", 0.01)
    hub.error = 500
    with pytest.raises(SourceError, match="answered HTTP 500; try again later"):
        cache.fetch("hf://org/repo/m.gguf")
    assert len(hub.requests) == 3
    hub.error = 403
    with pytest.raises(SourceError, match=r"HTTP 403.*HF_TOKEN"):
        cache.fetch("hf://org/repo/m.gguf")


def test_offline_is_said_and_the_hubs_own_cache_is_used(hub, tmp_path):
    """In processes of their own, with the variables set as an operator sets them."""
    code = (
        "import sys; from pathlib import Path; from pilotlight.weights.cache import WeightCache\n"
        "from pilotlight.errors import PilotlightError\n"
        "try: print(WeightCache(Path(sys.argv[1])).fetch(sys.argv[2]))\n"
        "except PilotlightError as error: print('error:', error)\n"
    )
    env = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "PATH": "",
        "PYTHONPATH": ":".join(sys.path),
    }

    def fetch(cache_dir: str, source: str, **more: str) -> str:
        argv = [sys.executable, "-c", code, str(tmp_path / cache_dir), source]
        return subprocess.run(argv, env=env | more, capture_output=True, text=True, check=True).stdout.strip()

    offline = fetch("a", "hf://org/repo/m.gguf", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline
    assert Path(fetch("a", "hf://org/repo/m.gguf")).read_bytes() == DATA
    refused = fetch("b", "hf://org/repo/m.gguf", HF_ENDPOINT="http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached" in refused
    # As `hf download` lays it out; a damaged blob there is not used.
    blob = tmp_path / "home/hub/models--org--repo/blobs" / sha256(DATA)
    snapshot = tmp_path / "home/hub/models--org--repo/snapshots" / hub.commit
    for folder in (blob.parent, snapshot, snapshot.parent.parent / "refs"):
        folder.mkdir(parents=True)
    (snapshot.parent.parent / "refs/main").write_text(hub.commit)
    blob.write_bytes(DATA)
    (snapshot / "m.gguf").symlink_to(blob)
    assert fetch("c", "hf://org/repo/m.gguf", HF_HUB_OFFLINE="1") == str(snapshot / "m.gguf")
    blob.write_bytes(DATA[:-1] + b"?")
    assert "HF_HUB_OFFLINE is set" in fetch("d", "hf://org/repo/m.gguf", HF_HUB_OFFLINE="1")


# -- demo models in llama.cpp --------------------------------------------------------------------------------------

SERVE = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.port, p.n_ctx, p.verbosity, p.fit_params = sys.argv[1], 0, 1024, 0, False
p.cpuparams.n_threads = 1
server = xllamacpp.Server(p)
print("at", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = WeightCache(tmp_path_factory.mktemp("demo")).fetch("demo://50m")
    argv = [sys.executable, "-c", SERVE, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("at "))
        yield line.split()[1]
        process.kill()


def post(url: str, **body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    if not body.get("stream"):
        return json.loads(text)
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox , jumps over the lazy dog . Don 't you ?",
        "  two  spaces\n\ttab\r\n\r\n 12345 3.14",
        "naïve café Ω 東京 привет",
        "🙂 👩\u200d👩\u200d👧 🇪🇺",
        'def f(x):\n    return {"a": [x, None]}\n',
        "\x01\x7f~",
    ],
)
def test_text_comes_back_from_tokens_unchanged(llama, text):
    tokens = post(f"{llama}/tokenize", content=text)["tokens"]
    assert post(f"{llama}/detokenize", tokens=tokens)["content"] == text


def test_english_takes_far_fewer_tokens_than_bytes(llama):
    text = (
        "The meaning of a class statement is that it creates a new object and gives it a name in this scope. "
        * 5
    )
    assert len(post(f"{llama}/tokenize", content=text)["tokens"]) < len(text) / 3


def test_greedy_text_depends_on_the_prompt_alone(llama):
    def complete(prompt: str) -> str:
        answer = post(f"{llama}/v1/completions", prompt=prompt, temperature=0, max_tokens=24)
        assert answer["usage"]["completion_tokens"] == 24
        assert answer["choices"][0]["finish_reason"] == "length"
        return answer["choices"][0]["text"]

    first = {prompt: complete(prompt) for prompt in ("Hello there", "What is a cat", "A")}
    assert {prompt: complete(prompt) for prompt in first} == first
    assert len(set(first.values())) == 3
    assert all(text.isprintable() for text in first.values())


def test_chat_streams_a_piece_per_token(llama):
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 16, "temperature": 1.0, "seed": 1}
    whole = post(f"{llama}/v1/chat/completions", **chat)
    pieces = post(f"{llama}/v1/chat/completions", **chat, stream=True)
    deltas = [piece["choices"][0]["delta"].get("content") for piece in pieces]
    assert whole["usage"]["completion_tokens"] == 16
    assert len([d for d in deltas if d]) == 16
    assert "".join(d or "" for d in deltas) == whole["choices"][0]["message"]["content"]
    template = post(f"{llama}/apply-template", messages=chat["messages"])["prompt"]
    assert template == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
