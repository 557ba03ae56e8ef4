import asyncio
import socket
import time

import pytest

from pilotlight.worker import health
from pilotlight.worker.free_ports import FreePorts


async def serve(answer: bytes | None, host: str = "127.0.0.1") -> tuple[asyncio.Server, str, list[bytes]]:
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is not None:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(handle, host, 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_the_status_of_an_answer(status: int) -> None:
    server, url, asked = await serve(b"HTTP/1.1 %d What\r\n\r\n" % status)
    assert await health.ask(f"{url}/base", "/health", 5) == status
    assert asked[0].startswith(b"GET /base/health HTTP/1.1\r\nHost: 127.0.0.1:")
    server.close()


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 ok\r\n", b"x" * 2**18])
async def test_what_is_not_http(answer: bytes) -> None:
    server, url, _ = await serve(answer)
    with pytest.raises(ConnectionError):
        await health.ask(url, "/health", 5)
    server.close()


async def test_no_answer() -> None:
    server, url, _ = await serve(None)
    with pytest.raises(TimeoutError):
        await health.ask(url, "/health", 0.02)
    server.close()


async def test_whether_a_port_refuses() -> None:
    server, url, _ = await serve(None)
    knock = health.Knock(health.address(url))
    assert not knock.refused()
    server.close()
    await server.wait_closed()
    assert knock.refused()
    with pytest.raises(ConnectionRefusedError):
        await health.ask(url, "/health", 5)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_localhost_is_both_of_its_addresses(host: str) -> None:
    try:
        server, url, _ = await serve(b"HTTP/1.1 200 OK\r\n\r\n", host)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
    knock = health.Knock(health.address(url))
    assert not knock.refused()
    server.close()
    await server.wait_closed()
    assert knock.refused()
    with pytest.raises(ConnectionRefusedError):
        await health.ask(url, "/health", 5)


async def test_asking_a_port_where_nobody_listens_is_cheap() -> None:
    knock = health.Knock(health.address("http://127.0.0.1:9"))
    began = time.process_time()
    for _ in range(200):  # two seconds of a start
        knock.refused()
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:80", health.Address("127.0.0.1", 80, False, "")),
        ("https://example.org/v1/", health.Address("example.org", 443, True, "/v1")),
        ("http://[::1]:8000", health.Address("::1", 8000, False, "")),
        ("http://localhost", health.Address("localhost", 80, False, "")),
    ],
)
def test_addresses(url: str, address: health.Address) -> None:
    assert health.address(url) == address
    knock = health.Knock(address)
    assert knock.loopback == (address.host != "example.org")
    assert knock.loopback or not knock.refused()


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://host", "http://", "http://host:port"])
def test_no_addresses(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        health.address(url)


def test_free_ports_go_round_and_leave_out_what_is_taken() -> None:
    ports = FreePorts()
    first = ports.take(())
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 1))
        other.listen()
        second = ports.take({first + 2})
    assert second not in (first, first + 1, first + 2)
    assert 20000 <= first < 32000
