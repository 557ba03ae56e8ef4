"""The official clients, as they come, against a real llama.cpp behind a real server."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from integration.kit import CACHE, Server, StandIn, until

HI = [{"role": "user", "content": "hi"}]
NODE = CACHE / "node"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return StandIn(tmp_path_factory.mktemp("openai"), "broken")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, broken: StandIn) -> Iterator[Server]:
    llama = {"source": "demo://50m", "ttl": "10m", "engine_args": {"n_ctx": 512, "n_threads": 2}}
    config = {
        "models": {
            "chat": {**llama, "aliases": ["gpt-4o-mini"]},
            "node": llama,
            "embed": {**llama, "engine_args": {"n_ctx": 512, "embedding": True, "pooling_type": "mean"}},
            "broken": broken.model,
        },
    }
    # So short that comments and blanks are sent before the model is up.
    with Server(tmp_path_factory.mktemp("server"), config, patience=(0.02, 0.02, 0.02)) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=60) as it:
        yield it
    server.at_rest()


def cold(server: Server, model: str) -> None:
    server.post(f"/models/{model}/stop")
    until(lambda: not server.running(model))


def stream(client: openai.OpenAI, model: str, **more):
    return client.chat.completions.create(model=model, messages=HI, max_tokens=8, stream=True, **more)  # type: ignore[call-overload]


def test_a_cold_stream_has_no_chunk_more_than_a_warm_one(server: Server, client: openai.OpenAI):
    cold(server, "chat")
    seen = []
    for expected in ("cold", "warm"):
        with client.chat.completions.with_raw_response.create(
            model="chat", messages=HI, max_tokens=8, stream=True, temperature=0, seed=1
        ).parse() as chunks:
            assert chunks.response.headers["x-pilotlight-start"] == expected
            seen.append([(c.choices[0].delta.content, c.choices[0].finish_reason) for c in chunks])
    assert len(seen[0]) == len(seen[1]) > 5
    assert seen[0][-1][1] == "length"


def test_a_cold_answer(server: Server, client: openai.OpenAI):
    cold(server, "chat")
    for expected in ("cold", "warm"):
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HI, max_tokens=8)
        assert raw.headers["x-pilotlight-start"] == expected
        answer = raw.parse()
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 8
        assert answer.choices[0].finish_reason == "length"
        trace = server.get(f"/traces/{raw.headers['x-pilotlight-request-id']}")
        assert (trace["output_tokens"], trace["tokens_from"]) == (8, "usage")


def test_a_cold_start_is_told_stage_by_stage(server: Server, client: openai.OpenAI):
    cold(server, "chat")
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=HI, max_tokens=2)
    trace = server.get(f"/traces/{raw.headers['x-pilotlight-request-id']}")
    stages = [s["stage"] for s in trace["spans"]]
    assert {"allocate", "fetch", "load", "hand_over", "first_token"} <= set(stages)
    assert "fork" in stages or {"spawn", "import"} <= set(stages)


def test_usage_in_a_stream(server: Server, client: openai.OpenAI):
    chunks = list(stream(client, "chat", stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == 8
    trace = server.get("/traces?model=chat")
    assert (trace["output_tokens"], trace["tokens_from"]) == (8, "usage")
    assert len(list(stream(client, "chat"))) >= 8
    trace = server.get("/traces?model=chat")
    assert trace["tokens_from"] in ("timings", "chunks")
    assert trace["output_tokens"] >= 8


def test_completions_models_and_embeddings(server: Server, client: openai.OpenAI):
    done = client.completions.create(model="chat", prompt="once", max_tokens=4)
    assert done.usage is not None
    assert done.usage.completion_tokens == 4
    assert {"chat", "gpt-4o-mini", "node", "embed", "broken"} <= {m.id for m in client.models.list()}
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
    vectors = client.embeddings.create(model="embed", input=["one", "two"]).data
    assert len(vectors) == 2
    assert len(vectors[0].embedding) == len(vectors[1].embedding) > 8


def test_errors_are_the_clients_own(server: Server, client: openai.OpenAI, broken: StandIn):
    with pytest.raises(openai.NotFoundError) as nobody:
        client.chat.completions.create(model="nobody", messages=HI)  # type: ignore[arg-type]
    assert nobody.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="chat", messages=HI, extra_body={"keep_alive": "soon"})  # type: ignore[arg-type]
    assert wrong.value.param == "keep_alive"
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="chat", messages="not a list")  # type: ignore[arg-type]
    list(stream(client, "broken"))
    with pytest.raises(openai.InternalServerError) as died:
        client.chat.completions.create(model="broken", messages=HI, extra_body={"do": {"drop": "middle"}})  # type: ignore[arg-type]
    assert died.value.code == "engine_died"
    with pytest.raises(openai.APIError) as midway:
        list(stream(client, "broken", extra_body={"do": {"drop": "middle"}}))
    assert midway.value.code == "engine_died"


def test_a_start_that_fails_while_the_client_is_being_comforted(
    server: Server, client: openai.OpenAI, broken: StandIn
):
    cold(server, "broken")
    broken.fail.touch()
    with pytest.raises(openai.APIError) as failed:
        list(stream(client, "broken"))
    assert failed.value.code == "start_failed"
    assert "told to fail" in failed.value.message
    broken.fail.unlink()


def test_leaving_a_stream_stops_the_model(server: Server, client: openai.OpenAI):
    chunks = client.chat.completions.create(model="chat", messages=HI, max_tokens=400, stream=True)  # type: ignore[arg-type]
    next(iter(chunks))
    chunks.close()
    until(lambda: server.in_flight("chat") == 0)


async def test_the_asynchronous_client(server: Server):
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        chunks = await client.chat.completions.create(model="chat", messages=HI, max_tokens=4, stream=True)  # type: ignore[arg-type]
        assert len([c async for c in chunks]) >= 4


@pytest.fixture(scope="module")
def node() -> Path:
    """A folder with the Node client, installed once."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no node or no npm, so the Node client is not tested")
        pytest.skip("THE NODE CLIENT IS NOT TESTED: there is no node or no npm")
    if not (NODE / "node_modules" / "openai" / "package.json").exists():
        NODE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(NODE), "openai@6"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            if os.environ.get("CI") == "true":
                pytest.fail(f"the Node client could not be installed:\n{done.stderr}")
            pytest.skip(f"THE NODE CLIENT IS NOT TESTED: it could not be installed\n{done.stderr}")
    return NODE


def test_the_node_client(server: Server, node: Path):
    cold(server, "node")
    script = Path(__file__).with_name("openai_node.mjs")
    command = ["node", str(script), str(node), server.url + "/v1", "node"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["chunks"] >= 5
    assert said["finish"] == "length"
    assert (said["tokens"], said["start"]) == (5, "warm")
    assert "gpt-4o-mini" in said["models"]
    assert said["error"] == {"api": True, "status": 404, "code": "model_not_found"}
    until(lambda: [r for r in server.requests() if r["model"] == "node" and r["stream"]])
    first = next(r for r in server.requests() if r["model"] == "node" and r["stream"])
    assert (first["start"], first["stream"], first["outcome"]) == ("cold", True, "ok")


def test_the_node_client_and_a_cold_answer(server: Server, node: Path):
    """Leading blanks before a JSON body, as `fetch` reads it."""
    cold(server, "node")
    script = (
        "const r = await fetch(process.argv[1] + '/chat/completions', {method: 'POST', "
        "body: JSON.stringify({model: 'node', messages: [{role: 'user', content: 'hi'}], max_tokens: 3})});"
        "console.log(JSON.stringify([r.headers.get('x-pilotlight-start'), (await r.json()).usage.completion_tokens]));"
    )
    command = ["node", "--input-type=module", "-e", script, server.url + "/v1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["cold", 3]


def test_many_short_streams_in_turn_and_nobody_is_suspected(server: Server, client: openai.OpenAI):
    """llama.cpp closes a connection right after a stream, though it has said that it keeps it."""

    def several(n: int) -> int:
        return sum(len(list(stream(client, "chat"))) > 0 for _ in range(n))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(several, [20] * 4)) == [20] * 4
    assert "suspect" not in server.log()
