"""What no client library would send: raw bytes on a socket, and what comes back."""

import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from integration.kit import Server, StandIn, until


@pytest.fixture(scope="module")
def m(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return StandIn(tmp_path_factory.mktemp("raw"), "m", max_requests=64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, m: StandIn) -> Iterator[Server]:
    config = {"models": {"m": m.model}}
    with Server(tmp_path_factory.mktemp("server"), config, patience=(60, 60, 60)) as running:
        running.post("/models/m/warm")
        until(lambda: [r["state"] for r in running.running("m")] == ["ready"])
        yield running


@pytest.fixture(autouse=True)
def _nothing_is_left(server: Server) -> Iterator[None]:
    yield
    server.at_rest()
    server.no_traceback()
    assert server.get("/health") == {"status": "ok"}


class Wire:
    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def status(self) -> int:
        return int(self.file.readline().split()[1])

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer; a status of 0 when the connection was closed instead."""
        line = self.file.readline()
        if not line:
            return 0, {}, b""
        headers: dict[str, str] = {}
        while (h := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = h.decode().partition(": ")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        elif "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        else:
            body = self.file.read()
        return int(line.split()[1]), headers, body

    def closed(self) -> bool:
        """Whether the server has closed, or does so within the time-out."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


@contextlib.contextmanager
def wire(server: Server) -> Iterator[Wire]:
    w = Wire(server)
    with w.socket:
        yield w


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", **fields}).encode()


def post(
    data: bytes, *lines: str, path: str = "/v1/chat/completions", length: bool = True, version: str = "1.1"
) -> bytes:
    head = [
        f"POST {path} HTTP/{version}",
        "Host: localhost",
        *([f"Content-Length: {len(data)}"] if length else []),
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + data


def chunked(data: bytes, size: int = 7) -> bytes:
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


# -- what must be refused, for two readers could read it in two ways -----------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(post(chunked(body()), "Transfer-Encoding: chunked"), id="CL and TE"),
        pytest.param(post(body(), f"Content-Length: {len(body())}"), id="the same CL twice"),
        pytest.param(post(body(), "Content-Length: 3"), id="two CLs"),
        pytest.param(post(body(), "Content-Length: 3, 3", length=False), id="CL list"),
        pytest.param(post(body(), "Content-Length: -1", length=False), id="negative CL"),
        pytest.param(post(body(), "Content-Length: +30", length=False), id="signed CL"),
        pytest.param(post(body(), "Content-Length: 0x10", length=False), id="hexadecimal CL"),
        pytest.param(
            post(chunked(body()), "Transfer-Encoding: chunked, chunked", length=False), id="chunked twice"
        ),
        pytest.param(post(chunked(body()), "Transfer-Encoding: xchunked", length=False), id="unknown TE"),
        pytest.param(post(body()).replace(b"\r\n", b"\n"), id="bare LF"),
        pytest.param(post(body(), "X-A: 1\n X-B: 2"), id="bare LF in a header"),
        pytest.param(post(body(), "X-A: 1\rX-B: 2"), id="bare CR in a header"),
        pytest.param(post(body(), "X-A: a\x00b"), id="NUL in a header"),
        pytest.param(post(body(), "X-A\x00: a"), id="NUL in a name"),
        pytest.param(post(body(), "X-\xe4: a"), id="non-ASCII in a name"),
        pytest.param(post(body(), "X-A : a"), id="space before the colon"),
        pytest.param(post(body(), "X-A: a\r\n b"), id="folded header"),
        pytest.param(post(body(), "no header at all"), id="no colon"),
        pytest.param(post(body(), "X-A: " + "a" * 100_000), id="very long header"),
        pytest.param(post(body(), *[f"X-{i}: 1" for i in range(2000)]), id="very many headers"),
        pytest.param(post(body(), path="/" + "a" * 100_000), id="very long URL"),
        pytest.param(post(body(), path="/v1/chat completions"), id="space in the URL"),
        pytest.param(post(body(), path="/v1/\x00"), id="NUL in the URL"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, id="TLS"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", id="HTTP/9.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"\r\n\r\n nonsense \r\n\r\n", id="nonsense"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(server: Server, m: StandIn, data: bytes):
    before = len(m.seen("request"))
    with wire(server) as w:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            w.send(data)
        try:
            status, _, text = w.answer()
        except ConnectionResetError:
            status, text = 0, b""
        assert status == 0 or 400 <= status < 500
        assert b"<html" not in text.lower()
        assert b"Traceback" not in text
        if status:
            assert w.closed()
    assert len(m.seen("request")) == before


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"5\r\nhelloX\r\n0\r\n\r\n", id="wrong size"),
        pytest.param(b"zz\r\nhello\r\n0\r\n\r\n", id="no size"),
        pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", id="negative size"),
        pytest.param(b"ffffffffffffffffff\r\nhello\r\n", id="huge size"),
    ],
)
def test_a_wrong_chunk_is_refused(server: Server, m: StandIn, data: bytes):
    before = len(m.seen("request"))
    with wire(server) as w:
        w.send(post(data, "Transfer-Encoding: chunked", length=False))
        status, _, _ = w.answer()
        assert status == 0 or 400 <= status < 500
    assert len(m.seen("request")) == before


# -- what is odd and right -----------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(server: Server):
    first = body(do={"said": "first", "every": 0.1})
    second = body(do={"said": "second"})
    with wire(server) as w:
        w.send(
            post(first)
            + post(second)
            + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
            + post(body(), path="/nowhere")
        )
        answers = [w.answer() for _ in range(4)]
    assert [a[0] for a in answers] == [200, 200, 200, 404]
    assert [json.loads(a[2])["choices"][0]["message"]["content"] for a in answers[:2]] == ["first", "second"]


def test_a_pipelined_stream_ends_before_the_next_answer_begins(server: Server):
    with wire(server) as w:
        w.send(post(body(stream=True)) + post(body(do={"said": "after"})))
        first, second = w.answer(), w.answer()
    assert first[2].endswith(b"data: [DONE]\n\n")
    assert json.loads(second[2])["choices"][0]["message"]["content"] == "after"


def test_expect_100_continue(server: Server):
    data = body()
    with wire(server) as w:
        w.send(post(data, "Expect: 100-continue")[: -len(data)])
        assert w.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert w.file.readline() == b"\r\n"
        w.send(data)
        assert w.answer()[0] == 200
    with wire(server) as w:
        w.send(post(data, "Expect: a-miracle"))
        status, _, text = w.answer()
        assert status == 417
        assert b"<html" not in text


def test_a_chunked_body_becomes_one_with_a_length(server: Server, m: StandIn):
    data = body(id="chunked", text="x" * 1000)
    with wire(server) as w:
        w.send(post(chunked(data), "Transfer-Encoding: chunked", length=False))
        assert w.answer()[0] == 200
        w.send(
            post(
                chunked(data).replace(b"7\r\n", b"7;an=extension\r\n"),
                "Transfer-Encoding: chunked",
                length=False,
            )
        )
        assert w.answer()[0] == 200
    for seen in m.seen("request", request="chunked"):
        headers = {k.lower(): v for k, v in seen["headers"]}
        assert "transfer-encoding" not in headers
        assert headers["content-length"] == str(len(data))
        assert base64.b64decode(seen["body"]) == data


def test_a_body_of_20_mb_byte_by_byte_as_far_as_it_matters(server: Server, m: StandIn):
    data = body(id="big", image="x" * 20_000_000)
    request = post(data)
    with wire(server) as w:
        for i in range(200):
            w.send(request[i : i + 1])
        w.send(request[200:])
        assert w.answer()[0] == 200
    assert m.seen("request", request="big")[0]["size"] == len(data)


@pytest.mark.parametrize("stream", [True, False])
def test_http_1_0_gets_an_answer_that_ends_with_the_connection(server: Server, stream: bool):
    with wire(server) as w:
        w.send(post(body(stream=stream), version="1.0"))
        status, headers, text = w.answer()
        assert status == 200
        assert "transfer-encoding" not in headers
        assert (b"[DONE]" in text) == stream
        assert w.closed()


def test_http_1_0_and_an_engine_that_dies(server: Server):
    with wire(server) as w:
        w.send(post(body(stream=True, do={"drop": "middle"}), version="1.0"))
        _, _, text = w.answer()
        assert b"engine_died" in text
        assert b"[DONE]" not in text


def test_bytes_that_are_no_text_in_a_header(server: Server, m: StandIn):
    with wire(server) as w:
        w.send(post(body(id="bytes"), "X-Odd: \xff\xfe\xe4", "X-Session-Id: \xff\xfe"))
        assert w.answer()[0] == 200
    (seen,) = m.seen("request", request="bytes")
    assert dict(seen["headers"])["X-Odd"] == "\xff\xfe\xe4"
    until(lambda: any("session" in line for line in server.requests()))
    for header in ("Authorization: Bearer \xff", "x-api-key: \xff", "Authorization: \xff"):
        with wire(server) as w:
            w.send(post(body(), header))
            assert w.answer()[0] == 200  # there are no keys, so nobody looks


@pytest.mark.parametrize(
    "path", ["/\xff", "/v1/models/\xff", "/traces/\xff", "/v1/models/%00", "//", "/%2e%2e/", "*"]
)
def test_odd_paths(server: Server, path: str):
    with wire(server) as w:
        w.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1"))
        status, _, text = w.answer()
        assert 400 <= status < 500
        assert b"<html" not in text


def test_the_absolute_form_reaches_the_engine_without_its_host(server: Server, m: StandIn):
    with wire(server) as w:
        w.send(post(body(id="absolute"), path="http://elsewhere:99/v1/chat/completions?a=1"))
        assert w.answer()[0] == 200
    (seen,) = m.seen("request", request="absolute")
    assert seen["target"] == "/v1/chat/completions?a=1"
    assert "elsewhere" not in json.dumps(seen["headers"])


def test_an_upgrade_is_not_one(server: Server, m: StandIn):
    with wire(server) as w:
        w.send(post(body(id="upgrade"), "Connection: Upgrade", "Upgrade: websocket"))
        status, _, _ = w.answer()
        assert status in (200, 400)
    for seen in m.seen("request", request="upgrade"):
        assert not {"upgrade", "connection"} & {k.lower() for k, _ in seen["headers"]}


# -- clients that leave, in every way ------------------------------------------------------------------------------


def test_a_client_that_closes_its_half_has_left(server: Server, m: StandIn):
    """As behind nginx: the end of a client's sending is taken for its leaving, and cancels its work."""
    with wire(server) as w:
        w.send(post(body(id="half", do={"hang": True})))
        until(lambda: m.seen("request", request="half"))
        w.socket.shutdown(socket.SHUT_WR)
        assert w.closed()
    until(lambda: m.seen("disconnected", request="half"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_resets_the_connection(server: Server, m: StandIn, stream: bool):
    id = f"reset-{stream}"
    with wire(server) as w:
        w.send(post(body(id=id, stream=stream, do={"hang": True})))
        until(lambda: m.seen("request", request=id))
        w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        w.file.close()
    until(lambda: m.seen("disconnected", request=id))


def test_a_client_that_leaves_with_half_a_body(server: Server, m: StandIn):
    before = len(m.seen("request"))
    for cut in (1, 30, -1):
        with wire(server) as w:
            w.send(post(body())[:cut])
    with wire(server) as w:
        w.send(post(chunked(body()), "Transfer-Encoding: chunked", length=False)[:-5])
    time.sleep(0.1)  # for what must not happen
    assert len(m.seen("request")) == before


def test_slow_headers_keep_nobody_else_waiting(server: Server):
    with wire(server) as slow:
        for byte in post(body())[:40]:
            slow.send(bytes([byte]))
            time.sleep(0.005)
        with wire(server) as w:
            w.send(post(body()))
            assert w.answer()[0] == 200
        slow.send(post(body())[40:])
        assert slow.answer()[0] == 200


def test_the_rest_of_a_refused_body_is_not_taken_for_a_request(server: Server, m: StandIn):
    hidden = post(body(id="smuggled"))
    with wire(server) as w:
        w.send(post(hidden, path="/nowhere"))
        assert w.answer()[0] == 404
        w.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _, text = w.answer()
    assert (status, json.loads(text)) == (200, {"status": "ok"})
    assert not m.seen("request", request="smuggled")
