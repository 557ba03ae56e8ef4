"""A server of its own for each variant: a child process in a private folder, which ends with this process."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pilotlight.errors import ServerError
from pilotlight.spec.model import Config

STOP_WITHIN = 15.0
"""Seconds in which a server ends everything that it started."""


class Order(msgspec.Struct, frozen=True):
    """What a child is told on its standard input; when that ends, the child does."""

    config: Config
    config_dir: str


class Up(msgspec.Struct, frozen=True):
    """What it answers on its standard output."""

    url: str
    port: int


class Child:
    """`argv` is a program that takes an Order, answers with Up and serves. Raises ServerError when it does not."""

    def __init__(self, argv: Sequence[str], order: Order, folder: Path) -> None:
        self._log = folder / "server.log"
        # A server announces itself there: nobody else is to find this one.
        env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        try:
            self.port = self._told(order).port
        except BaseException:
            self.close()
            raise

    def _told(self, order: Order) -> Up:
        tell, hear = self._process.stdin, self._process.stdout
        assert tell is not None and hear is not None
        try:
            tell.write(_framed(order))
            tell.flush()
            return msgspec.json.decode(hear.readline(), type=Up)
        except (OSError, msgspec.DecodeError):
            self._process.kill()
            raise ServerError(f"the server did not come up:\n{self.tail()}") from None

    def tail(self, lines: int = 10) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _framed(order: Order) -> bytes:
    """MessagePack, for JSON has no infinity and durations do."""
    data = msgspec.msgpack.encode(order, enc_hook=float)  # an example price is a float of its own type
    return len(data).to_bytes(4, "big") + data


def read_order() -> Order:
    """In the child. Raises EOFError when nobody tells it anything."""
    size = int.from_bytes(sys.stdin.buffer.read(4), "big")
    data = sys.stdin.buffer.read(size)
    if not size or len(data) < size:
        raise EOFError
    return msgspec.msgpack.decode(data, type=Order)
