"""Weights whose header is here and whose rest is still on its way."""

import os
from pathlib import Path
from typing import Self

import msgspec

from pilotlight.ports import WeightsInfo


class Arriving(msgspec.Struct, frozen=True):
    """An open file of our own: its name changes when it is whole, and what is open does not."""

    fd: int
    info: WeightsInfo

    @property
    def path(self) -> Path:
        """Where other processes of this user find it, whatever it is called by now (proc(5))."""
        return Path(f"/proc/{os.getpid()}/fd/{self.fd}")

    def another(self) -> Self:
        """For somebody who closes it at another time. Raises OSError."""
        return msgspec.structs.replace(self, fd=os.dup(self.fd))

    def close(self) -> None:
        os.close(self.fd)
