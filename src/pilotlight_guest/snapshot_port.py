"""The port that a dumped process listens on, in CRIU's images: each restored process gets another.

In files.img a socket is an InetSkEntry (CRIU's images/sk-inet.proto), whose fields 6 and 7 are its state and its port,
as varints, one after the other. Ports from 16384 on have three bytes, so one can be written over another.
"""

from __future__ import annotations

_LISTENING = b"\x30\x0a\x38"
"""Field 6, state: 10, TCP_LISTEN; the tag of field 7."""
SMALLEST = 1 << 14


def varint(port: int) -> bytes:
    """Raises ValueError for a port that has not three bytes."""
    if not SMALLEST <= port < 1 << 16:
        raise ValueError(f"port {port} is not from {SMALLEST} to 65535")
    return bytes([port & 0x7F | 0x80, port >> 7 & 0x7F | 0x80, port >> 14])


def find_port(path: str, port: int) -> int:
    """Where it is in the file. Raises OSError when it is not there exactly once."""
    try:
        wanted = _LISTENING + varint(port)
    except ValueError as error:
        raise OSError(str(error)) from None
    with open(path, "rb") as file:
        data = file.read()
    if data.count(wanted) != 1:
        raise OSError(f"{path} does not have the port {port} in the form that is known")
    return data.index(wanted) + len(_LISTENING)


def with_port(path: str, copy: str, place: int, port: int) -> None:
    """A copy of the file in which the process listens on that port. Raises OSError."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    if bytes(data[place - len(_LISTENING) : place]) != _LISTENING:
        raise OSError(f"{path} is not the file that was dumped")
    data[place : place + 3] = varint(port)
    with open(copy, "wb") as file:
        file.write(data)
