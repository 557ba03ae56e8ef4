"""A stand-in for an OpenAI-compatible engine that misbehaves as it is told. Run without `site`, it is up in 30 ms.

    engine_stub.py PORT FOLDER [--after SECONDS] [--family] [--flood MIB] [--deaf] [--ballast MIB]

    --after     seconds before it listens; "never" for a start that does not get ready
    --family    it forks: a child, one in a session of its own, and one whose parent has gone
    --flood     MiB that it writes to its log before it listens
    --deaf      it ignores SIGTERM
    --ballast   MiB of memory that it takes while it is awake; it knows vLLM's /sleep and /wake_up

Files in FOLDER tell it the rest, while it runs:

    wait        it goes no further once it is started; with `fail`, it fails when this is gone
    fail        it says so on its log and exits 1, when it is started
    refuse      /health answers 503
    hang        it accepts connections and never answers
    restless    asleep it keeps its memory
    lull        /sleep is not answered
    drowsy      /wake_up is not answered
    journal     written by it: a JSON line for each process and each request

A request's body may say: `n` events or tokens (default 3), `every` seconds between them, `die_after` events, and
`until`, a file without which a stream does not end.
"""

import json
import mmap
import os
import signal
import socket
import sys
import threading
import time
from typing import Any


def option(name: str, default: str) -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def there(name: str) -> bool:
    return os.path.exists(os.path.join(FOLDER, name))


def note(event: str, **more: Any) -> None:
    """One write, so that lines of several processes do not mix."""
    line = json.dumps({"event": event, "pid": os.getpid(), **more}) + "\n"
    fd = os.open(os.path.join(FOLDER, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)


def family() -> None:
    """Descendants that a signal to the group, or to the children, does not reach."""
    for name in ("child", "setsid", "orphan"):
        if os.fork() == 0:
            if name != "child":
                os.setsid()
            if name == "orphan" and os.fork():
                os._exit(0)
            note("born", kind=name)
            time.sleep(1000)


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(value)}\n\n".encode()


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def completion(n: int) -> bytes:
    message = {"role": "assistant", "content": f"{os.getpid()} " * n}
    usage = {"prompt_tokens": 1, "completion_tokens": n, "total_tokens": n + 1}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    value = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(value).encode()


def serve(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as reader:
        try:
            while one(connection, reader):
                pass
        except OSError:
            note("left")


def one(connection: socket.socket, reader: Any) -> bool:
    """Answers one request; False when there is none any more."""
    first = reader.readline()
    if not first:
        return False
    length = 0
    while (line := reader.readline()).strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    body = json.loads(reader.read(length) or b"{}")
    while there("hang"):
        time.sleep(0.02)
    if first.startswith(b"GET"):
        refused = there("refuse")
        connection.sendall(whole(b"{}", "503 Service Unavailable" if refused else "200 OK"))
        return True
    path = first.split()[1].decode()
    if path.startswith(("/sleep", "/wake_up", "/collective_rpc")):
        rest(path)
        connection.sendall(whole(b""))
        return True
    note("request", user=body.get("user"), asleep="--ballast" in sys.argv and not ballast)
    n, every = body.get("n", 3), body.get("every", 0.0)
    if not body.get("stream"):
        time.sleep(n * every)
        connection.sendall(whole(completion(n)))
        return True
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    for i in range(n):
        if i == body.get("die_after"):
            os._exit(7)
        connection.sendall(event(f"{os.getpid()} "))
        time.sleep(every)
    while "until" in body and not os.path.exists(body["until"]):
        time.sleep(0.005)
    connection.sendall(b"data: [DONE]\n\n")
    note("streamed", user=body.get("user"))
    return False


ballast: list[mmap.mmap] = []
"""One block while it is awake; no bytearray, for glibc would keep what is freed."""


def rest(path: str) -> None:
    note("told", path=path)
    asleep = path.startswith("/sleep")
    while there("lull" if asleep else "drowsy"):
        time.sleep(0.005)
    if not asleep:
        fill()
    elif not there("restless"):
        ballast.pop().close()


def fill() -> None:
    """Every page written to, for what was only asked for takes no memory."""
    size = int(float(option("--ballast", "0")) * 2**20)
    if size and not ballast:
        ballast.append(mmap.mmap(-1, size))
        for page in range(0, size, 4096):
            ballast[0][page] = 1


def main() -> None:
    fill()
    note("born", kind="main", cuda=os.environ.get("CUDA_VISIBLE_DEVICES"), label=os.environ.get("LABEL"))
    print("the stub is born", flush=True)
    while there("wait"):
        time.sleep(0.005)
    if there("fail"):
        print("loading the weights of the stub\nError: the stub was told to fail", flush=True)
        sys.exit(1)
    if "--deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--family" in sys.argv:
        family()
    for number in range(int(float(option("--flood", "0")) * 1024)):
        print(f"{number:8} " + "x" * 1014)
    after = option("--after", "0")
    time.sleep(1000 if after == "never" else float(after))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen(1000)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    FOLDER = sys.argv[2]
    main()
