"""Talks to a running server's admin routes."""

import argparse
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from pilotlight.cli.runtime import Running, servers
from pilotlight.errors import ServerError

TIMEOUT = 10.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", help="the server's address; default: $PILOTLIGHT_URL, or the one on this machine"
    )
    parser.add_argument("--port", type=int, help="which server on this machine, when there are several")


def local(port: int | None) -> Running:
    """The server on this machine. ServerError when there is none, or more than one to choose from."""
    found = [s for s in servers() if port is None or s.port == port]
    if not found:
        which = f" on port {port}" if port is not None else ""
        raise ServerError(
            f"no pilotlight server of yours runs on this machine{which}; start one, or give --url"
        )
    if len(found) > 1:
        ports = ", ".join(str(s.port) for s in found)
        raise ServerError(f"several servers run on this machine; choose one with --port: {ports}")
    return found[0]


class Client:
    """Key: $PILOTLIGHT_API_KEY, or the local server's own token."""

    def __init__(self, args: argparse.Namespace) -> None:
        url = args.url or os.environ.get("PILOTLIGHT_URL")
        key = os.environ.get("PILOTLIGHT_API_KEY")
        if url is None:
            running = local(args.port)
            url, key = running.url, running.token
        if not _is_address(url):
            raise ServerError(f"--url {url!r} is not an http:// or https:// address")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, *keys: str) -> dict[str, Any]:
        """The answer, an object with at least these keys. Raises ServerError."""
        return self._checked(path, keys, self._ask("GET", path))

    def post(self, path: str, *keys: str) -> dict[str, Any]:
        """Like `get`."""
        return self._checked(path, keys, self._ask("POST", path))

    def latest(self, model: str) -> str:
        """What was decided last of a model's replicas, and why; empty where nothing was. Raises ServerError."""
        decided = self.get(f"/models/{quote(model)}/explain", "decisions")["decisions"]
        if not decided:
            return ""
        what, because = decided[-1]["what"], decided[-1]["because"]
        return because if what == "note" else f"{what}: {because}"

    def _checked(self, path: str, keys: tuple[str, ...], answer: Any) -> dict[str, Any]:
        if isinstance(answer, dict) and all(key in answer for key in keys):
            return answer
        raise ServerError(f"{self.url}{path} answered something else; is it a pilotlight server?")

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self.url + path, method=method, headers=self._headers, data=b"" if method == "POST" else None
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as e:
            raise ServerError(_message(e.read()) or f"{self.url}{path} answered {e.code}") from None
        except (
            http.client.HTTPException,
            OSError,
            ValueError,
        ) as e:  # ValueError: a name or key that cannot be sent
            reason = getattr(e, "reason", e)
            raise ServerError(f"{self.url} cannot be reached: {reason}") from None
        except msgspec.DecodeError:
            raise ServerError(
                f"{self.url}{path} did not answer with JSON; is it a pilotlight server?"
            ) from None


def _message(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body)["error"]["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return (
            parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isascii() and parts.port != 0
        )
    except ValueError:
        return False


def quote(model: str) -> str:
    """For a path; a command line may hold bytes that are not UTF-8."""
    return urllib.parse.quote(os.fsencode(model), safe="/")
