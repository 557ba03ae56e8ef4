"""The least a proxy on aiohttp's server and client can do: the floor under this project's gateway.

No keys, no metrics, no log, no holding: it forwards the body and relays what comes back.
Usage: aiohttp_bare.py PORT UPSTREAM_URL
"""

import sys

import aiohttp
import uvloop
from aiohttp import web

port, upstream = int(sys.argv[1]), sys.argv[2]
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "host", "date", "server"}


async def forward(request: web.Request) -> web.StreamResponse:
    session: aiohttp.ClientSession = request.app["session"]
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
    body = await request.read()
    url = upstream + request.path_qs
    async with session.request(request.method, url, data=body or None, headers=headers) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        if answer.content_length is not None:
            return web.Response(status=answer.status, headers=kept, body=await answer.read())
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response


async def session_of(app: web.Application):
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    ) as app["session"]:
        yield


async def main() -> web.Application:
    app = web.Application(handler_args={"access_log": None})
    app.cleanup_ctx.append(session_of)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


web.run_app(main(), host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())
