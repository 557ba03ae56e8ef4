"""Web servers on loopback for the tests of weights: one that can be told how to misbehave, and a hub's stand-in."""

import hashlib
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


def gguf_bytes(size: int, seed: int = 1) -> bytes:
    """Random bytes behind a GGUF's magic: all that a transfer looks at."""
    return b"GGUF" + random.Random(seed).randbytes(size - 4)


class FileServer:
    """Serves `files` with Range and If-Range, as a good server does, until told otherwise."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.extra: dict[str, str] = {}
        """Headers added to every file."""
        self.ranges = True
        self.length = True
        self.etag = True
        self.cut_after: list[int] = []
        """Each entry ends one answer after so many bytes of body."""
        self.stall_after: list[int] = []
        """Each entry silences one answer after so many bytes of body."""
        self.statuses: list[int] = []
        """Each entry is answered to one request in place of the file."""
        self.delay = 0.0
        """Seconds before every 64 KiB."""
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers (lower case) of each request."""
        self.sent = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def gets(self) -> list[dict[str, str]]:
        return [headers for method, _, headers in self.requests if method == "GET"]

    def respond(self, handler: BaseHTTPRequestHandler, body: bool) -> None:
        headers = {key.lower(): value for key, value in handler.headers.items()}
        self.requests.append((handler.command, handler.path, headers))
        path = handler.path.partition("?")[0]
        if self.statuses:
            return _empty(handler, self.statuses.pop(0), {"Retry-After": "0"})
        if path in self.redirects:
            return _empty(handler, 302, {"Location": self.redirects[path]})
        if path not in self.files:
            return _empty(handler, 404, {})
        return self._file(handler, self.files[path], headers, body)

    def _file(
        self, handler: BaseHTTPRequestHandler, data: bytes, headers: dict[str, str], body: bool
    ) -> None:
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        start, wanted = 0, headers.get("range", "")
        if self.ranges and wanted and headers.get("if-range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                return _empty(handler, 416, {"Content-Range": f"bytes */{len(data)}"})
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            handler.send_response(200)
        if self.length:
            handler.send_header("Content-Length", str(len(data) - start))
        if self.etag:
            handler.send_header("ETag", etag)
        for key, value in self.extra.items():
            handler.send_header(key, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        if body:
            self._body(handler, data[start:])
        return None

    def _body(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.close_connection = True
        cut = self.cut_after.pop(0) if self.cut_after else len(data)
        stall = self.stall_after.pop(0) if self.stall_after else None
        end = min(cut, stall if stall is not None else len(data))
        for offset in range(0, end, 65536):
            if self.delay and self._closed.wait(self.delay):
                return
            piece = data[offset : min(offset + 65536, end)]
            handler.wfile.write(piece)
            self.sent += len(piece)
        if stall is not None:
            self._closed.wait(30)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(True)

            def do_HEAD(self) -> None:
                self._answer(False)

            def _answer(self, body: bool) -> None:
                try:
                    server.respond(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class HubStandIn(FileServer):
    """Stands in for the Hugging Face Hub: only the part of its API that finding and fetching one file asks for.

    HEAD /org/repo/resolve/REV/FILE answers with X-Repo-Commit, X-Linked-Etag (the SHA-256 of large files),
    X-Linked-Size and a redirect to another place, as the real one does for large files; errors carry
    X-Error-Code. The bytes then come from that other place, without the token.
    """

    commit = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        """Repositories that only `token` opens."""
        self.token = "hf_test"
        self.error: int | None = None

    def respond(self, handler: BaseHTTPRequestHandler, body: bool) -> None:
        path = handler.path.partition("?")[0]
        if "/resolve/" not in path:
            return super().respond(handler, body)
        headers = {key.lower(): value for key, value in handler.headers.items()}
        self.requests.append((handler.command, handler.path, headers))
        if self.error is not None:
            return _empty(handler, self.error, {})
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if repo not in self.repos:
            return _empty(
                handler, 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            )
        if repo in self.gated and headers.get("authorization") != f"Bearer {self.token}":
            return _empty(
                handler, 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
            )
        if revision not in ("main", self.commit):
            return _empty(
                handler, 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev"}
            )
        found = {"X-Repo-Commit": self.commit}
        if file not in self.repos[repo]:
            return _empty(handler, 404, {"X-Error-Code": "EntryNotFound", **found})
        data = self.repos[repo][file]
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"/cdn/{digest}"] = data
        place = f"http://localhost:{self.url.rpartition(':')[2]}/cdn/{digest}"
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "ETag": f'"{digest[:32]}"'}
        return _empty(handler, 302, {"Location": place, **found, **linked})


def _empty(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for key, value in {"Content-Length": "0", **headers}.items():
        handler.send_header(key, value)
    handler.end_headers()


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    """For what another process does: returns when `condition()`, fails after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
