"""llama.cpp's own OpenAI-compatible server, in a process of its own.

Run as `python -I -S llamacpp_server.py FOLDER`, FOLDER being where xllamacpp is installed, or forked from a zygote
(zygote.py), which has called `preload` and calls `serve` in the fork. The environment variable PILOTLIGHT_CHANNEL
names the fd of a duplex stream socket to the server; both sides say one JSON object a line. Times are those of the
monotonic clock, which all processes of a machine share.

    guest -> server   {"event": "begin", "at": t}                               the first instruction
                      {"event": "stage", "name": "import", "start": t, "end": t}  not in a fork; also load, warm_up
                      {"event": "ready", "port": n}                             also when it was woken: another port
                      {"event": "asleep"}
                      {"event": "still"}                                        it may be dumped; see snapshot_maker.py
                      {"event": "error", "message": text, "see_log": bool}      and then it exits with status 1
    server -> guest   {"weights": path, "name": n, "port": n, "args": {...}}    0 or no port: a free one;
                                                                                to one that has waited also env, cwd;
                                                                                also "arriving": true, see below
                      {"whole": path}                                           once what was arriving is
                      {"take": true}                                              to one that waits: told as a stage
                      {"sleep": level}                                            once it is ready; all levels are one
                      {"wake": true}                                              once it is asleep
                      {"snapshot": true}                                          once it is ready
                      {"restored": port, "env": {...}}                            by another server, to each that was
                                                                                  restored; told as begin and ready;
                                                                                  both also "cuda": path, the program
                                                                                  that takes it off its GPUs, and back

The runtime is imported while the weights are still on their way. Weights that are arriving have their header and their
full length, so they are mapped and loaded, and nothing is computed before they are whole: neither a warm-up nor
readiness comes before. What was whole in the end may be another file than was mapped; that is loaded then.

When the server closes the channel, or is gone,
the guest exits at once.
"""

from __future__ import annotations

import time

_BEGUN = time.monotonic()

import os  # noqa: E402

_channel = -1


def begin(at: float) -> None:
    global _channel  # noqa: PLW0603
    _channel = int(os.environ["PILOTLIGHT_CHANNEL"])
    os.write(_channel, b'{"event": "begin", "at": %a}\n' % at)


if __name__ == "__main__":
    begin(_BEGUN)

import fcntl  # noqa: E402
import json  # noqa: E402
import select  # noqa: E402
import sys  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than all the rest here
    from typing import Any, NoReturn


def main() -> None:
    sys.path += [sys.argv[1], os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    try:
        import_runtime()
    except Exception as error:
        fail(f"xllamacpp cannot be imported: {error}")
    tell_stage("import", _BEGUN)
    serve_as_told(receive())


def preload() -> None:
    """Touches no GPU: llama.cpp looks for its devices when it is told to load."""
    import ctypes  # noqa: PLC0415  a plain start, which does not need it, would take 5 ms longer

    import_runtime()
    runtime = ctypes.CDLL(sys.modules["xllamacpp.xllamacpp"].__file__)
    if hasattr(runtime, "ggml_cpu_init"):  # tables for arithmetic, 2 ms of a first load
        runtime.ggml_cpu_init()


def import_runtime() -> None:
    import importlib  # noqa: PLC0415

    importlib.import_module("xllamacpp")
    importlib.import_module("pilotlight_guest.llamacpp_args")


def serve() -> NoReturn:
    begin(time.monotonic())
    serve_as_told(receive())


def serve_as_told(order: dict[str, Any]) -> NoReturn:
    """Serves, sleeps and serves again, until the channel closes."""
    llama: Any = sys.modules["xllamacpp"]
    os.environ.update(order.get("env", {}))
    os.chdir(order.get("cwd", "."))
    while True:
        exit_with_the_channel(True)
        server = load_early(llama, order) if order.pop("arriving", False) else load(llama, order)
        if order.get("args", {}).get("warmup"):
            warm_up(server)
        exit_with_the_channel(False)  # before it is told: from then on a closed channel is an orderly end
        tell(event="ready", port=int(server.listening_address.rsplit(":", 1)[1]))
        while "snapshot" in (said := wait_for("sleep", "snapshot")):
            be_dumped(said)
        wait_until_it_runs(server)
        del server  # llama.cpp's own sleep goes by its own clock, and keeps twice as much
        rest()
        tell(event="asleep")
        wait_for("wake")


def load_early(llama: Any, order: dict[str, Any]) -> Any:
    """Of weights that are arriving; waits until they are whole, whose path is in the order from then on."""
    start = time.monotonic()
    server, mapped = None, None
    try:
        fd = os.open(order["weights"], os.O_RDONLY)
        mapped = os.fstat(fd)
        if not has_devices(llama):
            server = llama.Server(parameters(llama, {**order, "weights": f"/proc/self/fd/{fd}"}, early=True))
        os.close(fd)  # what is mapped stays
    except Exception as error:  # whether it can be served at all is seen when it is whole
        print(f"not loaded before it is whole: {error}", file=sys.stderr, flush=True)
    exit_with_the_channel(False)  # the next word would end this process; a closed channel is seen without
    tell_stage("load", start)
    order["weights"] = wait_for("whole")["whole"]
    whole = os.stat(order["weights"])
    if server is not None and mapped is not None and same_file(mapped, whole):
        return server
    if server is not None:
        wait_until_it_runs(server)
    server = None  # its memory first
    exit_with_the_channel(True)
    return load(llama, order)


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, one.st_size) == (other.st_dev, other.st_ino, other.st_size)


def has_devices(llama: Any) -> bool:
    """Whether tensors might be copied to a GPU while they load."""
    return any("GPU" in str(device.get("type")) for device in llama.get_device_info())


def load(llama: Any, order: dict[str, Any]) -> Any:
    start = time.monotonic()
    params = parameters(llama, order)
    for file in parts(order["weights"]):
        if not os.path.isfile(file):  # llama.cpp would wait for who writes to a pipe
            fail(f"{file} is gone, or is a folder, a pipe or a socket now; put the .gguf file back there")
    try:
        server = llama.Server(params)
    except Exception:
        # Its own message says nothing; what it logged does.
        fail(f"llama.cpp could not serve {order['weights']}", see_log=True)
    tell_stage("load", start)
    return server


def parts(path: str) -> list[str]:
    """Every file of a model that is split, by the path of its first."""
    stem, split, rest = path.rpartition("-00001-of-")
    if not split or not rest[:5].isdigit():
        return [path]
    return [f"{stem}-{number:05d}-of-{rest}" for number in range(1, int(rest[:5]) + 1)]


def parameters(llama: Any, order: dict[str, Any], early: bool = False) -> Any:
    from pilotlight_guest.llamacpp_args import apply  # noqa: PLC0415

    params = llama.CommonParams()
    problems = apply(params, order.get("args", {}))
    if problems:
        fail("; ".join(problems))
    params.model.path = order["weights"]
    params.port = order.get("port") or 0
    if order.get("name"):
        params.model_alias = {
            order["name"]
        }  # what answers call the model; else they show where its file lies
    params.warmup = False  # done apart, so that it can be seen
    params.endpoint_metrics = True  # see wait_until_it_runs
    if early:
        params.no_extra_bufts = True  # tensors are left where they are mapped
    return params


def warm_up(server: Any) -> None:
    """Of one token, by its number: no mark for the beginning before it, which the first request would find there and
    take as computed, so that it would be computed otherwise than in an engine that has not been warmed up."""
    start = time.monotonic()
    try:
        server.handle_completions({"prompt": [0], "max_tokens": 1, "cache_prompt": False})
    except Exception as error:  # a model that only embeds
        print(f"no warm-up: {error}", file=sys.stderr)
    tell_stage("warm_up", start)


def wait_until_it_runs(server: Any) -> None:
    """xllamacpp's server is there some milliseconds before the loop that does its work. One that is let go of sooner
    never ends, for its loop begins after it was told to stop. Metrics are for the loop to answer."""
    server.handle_metrics()


def rest() -> None:
    from pilotlight_guest.give_back import give_back  # noqa: PLC0415  a start does without

    give_back()


def be_dumped(order: dict[str, Any]) -> None:
    """Returns in a process that was restored, whose channel leads to another server."""
    from pilotlight_guest.give_back import drop_zeroes  # noqa: PLC0415  a start does without

    drop_zeroes()  # before there is memory of the driver's beside its own
    if "cuda" in order:
        toggle_cuda(order["cuda"])
    tell(event="still")
    order = wait_for("restored")
    begin(time.monotonic())
    if "cuda" in order:
        toggle_cuda(order["cuda"])
    os.environ.update(order["env"])
    tell(event="ready", port=order["restored"])


def toggle_cuda(program: str) -> None:
    """What this process has on GPUs goes to its own memory, the devices are let go of; or back again. Its threads go on
    meanwhile, but for those that use CUDA."""
    import subprocess  # noqa: PLC0415  a start does without

    words = [program, "--toggle", "--pid", str(os.getpid())]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        fail(f"{program} cannot be run: {error}")
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or "it said nothing"
        fail(f"{program} --toggle exited with status {done.returncode}: {said}")


# -- the channel -------------------------------------------------------------------------------------------------


def tell(**event: object) -> None:
    data = json.dumps(event).encode() + b"\n"
    try:
        while data:
            data = data[os.write(_channel, data) :]
    except OSError:  # nobody is there any more
        os._exit(1)


def tell_stage(name: str, start: float) -> None:
    tell(event="stage", name=name, start=start, end=time.monotonic())


def receive() -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(_channel, 65536)
        if not part:
            os._exit(0)
        line += part
    first, _, rest = line.partition(b"\n")
    order = json.loads(first)
    if "take" in order:
        tell_stage("take", time.monotonic())
        return json.loads(rest) if rest else receive()
    return order


def wait_for(*words: str) -> dict[str, Any]:
    """The next order of these kinds; others are of no sense now. The process ends with the channel."""
    while not (order := receive()).keys() & words:
        pass
    return order


def exit_with_the_channel(on: bool) -> None:
    """Lets the kernel end this process when the channel closes; loading holds the interpreter's lock throughout, so
    that no thread could watch it. SIGIO, unhandled, terminates."""
    flags = fcntl.fcntl(_channel, fcntl.F_GETFL)
    fcntl.fcntl(_channel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(_channel, fcntl.F_SETFL, flags | os.O_ASYNC if on else flags & ~os.O_ASYNC)
    if on and select.select([_channel], [], [], 0)[0]:  # closed before it was armed
        os._exit(0)


def fail(message: str, see_log: bool = False) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    tell(event="error", message=message, see_log=see_log)
    os._exit(1)


if __name__ == "__main__":
    main()
