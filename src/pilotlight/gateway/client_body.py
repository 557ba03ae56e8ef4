"""The body of a client's request, read whole; while it comes it counts among the bytes that the gateway holds."""

import asyncio

from aiohttp import StreamReader, web

from pilotlight.errors import RequestError
from pilotlight.gateway.kitchen import Kitchen

STALLED = 60.0
"""Seconds in which a body that is not whole must go on [G]."""

LONGEST = 600.0
"""Seconds for all of it [G]: who sends a byte a minute holds a connection for so long and no longer."""


async def read_body(request: web.BaseRequest, kitchen: Kitchen) -> bytes:
    """RequestError 413 when it is larger than client_max_size, which is seen before it is read if it says so, 408 when
    it stops coming, 429 when too much is held already."""
    limit = request.client_max_size
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    content = request.content
    try:
        if not content.is_eof():
            return await _arriving(content, kitchen, limit)
        body = content.read_nowait()  # it came with its head, as most do
    except web.RequestPayloadError as e:
        raise RequestError(400, f"the body could not be read: {e}", code="invalid_body") from None
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _arriving(content: StreamReader, kitchen: Kitchen, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(LONGEST):
            while True:
                async with asyncio.timeout(STALLED):
                    part = await content.readany()
                if not part:
                    return b"".join(parts)
                size += len(part)
                kitchen.held_bytes += len(part)
                if size > limit:
                    raise _too_large(limit)
                kitchen.bound()
                parts.append(part)
    except TimeoutError:
        text = (
            f"the body did not come: {size} bytes of it, then nothing for {STALLED:g} s, or not all within "
            f"{LONGEST:g} s; send it again"
        )
        raise RequestError(408, text, code="request_timeout") from None
    finally:
        kitchen.held_bytes -= size


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413, f"the body is larger than {limit} bytes (client_max_size)", code="request_too_large"
    )
