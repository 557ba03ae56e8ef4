"""TLS that is broken in every way: not one byte of a request is said to who cannot prove who it is."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fault import provider_kit as kit
from fault.provider_ground import Ground, ground
from fault.provider_kit import KEY, well

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None and os.environ.get("CI") != "true", reason="no openssl"
)
PROMPT = "what-the-client-wrote"
FIRST = {"first_token": "0.01ms"}
"""It promises more than the other one ever does, so that it is always asked first."""
YESTERDAY = "20200102000000Z"
BROKEN = {
    # what it is for, until when, whether we trust who made it, and what is said of it
    "made by nobody whom we know": ("IP:127.0.0.1", "20991231235959Z", False, "self-signed certificate"),
    "of another name": ("DNS:elsewhere.example", "20991231235959Z", True, "IP address mismatch"),
    "of another address": ("IP:127.0.0.2", "20991231235959Z", True, "IP address mismatch"),
    "expired": ("IP:127.0.0.1", YESTERDAY, True, "certificate has expired"),
    "expired, and made by nobody whom we know": ("IP:127.0.0.1", YESTERDAY, False, "certificate"),
}


async def asked_in_vain(it: Ground) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    for stream in (True, False):
        status, headers, _ = await it.answer("chat", stream=stream, messages=messages)
        assert (status, headers["x-pilotlight-served-by"]) == (200, "spare")
    assert it.ended("unreachable") == 2
    assert it.of()["spent"]["month"] == 0
    assert PROMPT.encode() in it.spare.wire


@pytest.mark.parametrize("how", BROKEN)
async def test_a_certificate_that_proves_nothing_gets_no_request(tmp_path: Path, how: str):
    name, until, trusted, said = BROKEN[how]
    context, cert = await asyncio.to_thread(kit.certificate, tmp_path, name, until)
    env = {"SSL_CERT_FILE": str(cert)} if trusted else {}
    async with ground(tmp_path, well(), tls=context, env=env, declared=FIRST) as it:
        await asked_in_vain(it)
        reason = it.of()["last_reason"]
        assert reason.startswith("its certificate cannot be trusted: ") and said in reason
        assert it.far.wire == b""


async def test_a_good_certificate_is_good(tmp_path: Path):
    context, cert = await asyncio.to_thread(kit.certificate, tmp_path)
    async with ground(tmp_path, well(), tls=context, env={"SSL_CERT_FILE": str(cert)}) as it:
        for stream in (True, False):
            _, headers, _ = await it.answer("chat", stream=stream)
            assert headers["x-pilotlight-served-by"] == "far"


@contextlib.asynccontextmanager
async def no_tls(says: bytes | None) -> AsyncIterator[tuple[str, bytearray]]:
    """Who answers a greeting with this and hangs up, or never; and what it has heard."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(2**16))
        if says is None:
            heard.extend(await reader.read())
        else:
            writer.write(says)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", heard
    finally:
        server.close()


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None], ids=["other", "nothing", "hangs"]
)
async def test_one_that_speaks_no_tls_hears_a_greeting_and_no_more(tmp_path: Path, says: bytes | None):
    async with no_tls(says) as (url, heard):
        declared = {"base_url": url, "connect_timeout": "300ms", **FIRST}
        async with ground(tmp_path, well(), declared=declared) as it:
            await asked_in_vain(it)
            assert heard, "it was asked"
            assert PROMPT.encode() not in heard and KEY.encode() not in heard
