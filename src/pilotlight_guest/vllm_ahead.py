"""What vLLM's API server does while its engine comes up, in place of before and after it.

vLLM reads its tokenizer, starts its engine, waits for it, builds its web application and renders a first chat. Only the
waiting needs the engine. Here the engine comes first, and all else is done in a thread that begins where vLLM itself
begins such work: when the engine has been forked, for a fork takes no thread along. What the thread could not do, or
did for another kind of engine than this turns out to be, vLLM does in its own time and as ever.

Written against vLLM 0.32.0, of which it uses `AsyncLLM.__init__`, `EngineCoreClient.make_async_mp_client`,
`MPClient._start_mm_warmup`, `WorkerProc.wait_for_ready`, `MultiprocExecutor.register_failure_callback`,
`EngineCoreProc.run_engine_core`, `renderer_from_config` and `build_app`.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading

from pilotlight_guest.vllm_watch import Ended, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn

_TASKS = ("generate",)
"""What an engine that generates text says that it supports; it can be asked only when it is up."""


def work_ahead(entry: Any, args: Any, watch: Watch) -> None:
    """In the process of the API server, before its engine is made. `entry`: vLLM's module that serves; `watch` is
    begun when it has been forked."""
    try:
        llm: Any = importlib.import_module("vllm.v1.engine.async_llm")
        client: Any = importlib.import_module("vllm.v1.engine.core_client")
        executor: Any = importlib.import_module("vllm.v1.executor.multiproc_executor")
        core: Any = importlib.import_module("vllm.v1.engine.core")
        Ahead(entry, llm, client, executor, args, watch)
        end_when_it_fails(core)
    except (ImportError, AttributeError):  # another version's
        logging.getLogger(__name__).warning("this vLLM has no place to work ahead of its engine")


def end_when_it_fails(core: Any) -> None:
    """An engine process that has failed and said why would wait, as multiprocessing has it, for its workers to heed a
    SIGTERM; one that was told in the wrong moment never does. They end with the replica."""
    run = core.EngineCoreProc.run_engine_core

    def run_engine_core(*words: Any, **settings: Any) -> None:
        try:
            run(*words, **settings)
        except Exception:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    core.EngineCoreProc.run_engine_core = staticmethod(run_engine_core)


class Ahead:
    """Stands in places of vLLM's from then on. Raises AttributeError when one is not there."""

    def __init__(self, entry: Any, llm: Any, client: Any, executor: Any, args: Any, watch: Watch) -> None:
        self._args = args
        self._workers = Watch("worker", _end_engine_process)
        self._begin = llm.AsyncLLM.__init__
        self._make_renderer = llm.renderer_from_config
        self._make_client = client.EngineCoreClient.make_async_mp_client
        self._forked = client.MPClient._start_mm_warmup
        self._wait_for_workers = executor.WorkerProc.wait_for_ready
        self._register = executor.MultiprocExecutor.register_failure_callback
        self._build_app = entry.build_app
        self._llm: Any = None
        self._executor: Any = None
        self._config: Any = None
        self._client: Any = None
        self._engine: Any = None
        self._renderer: Any = None
        self._app: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="ahead", daemon=True)

        def begin(llm: Any, *words: Any, **settings: Any) -> None:
            self._note(llm, *words, **settings)
            self._begin(llm, *words, **settings)

        def forked(client: Any) -> None:
            self._forked(client)
            watch.begin(getattr(client.resources.engine_manager, "processes", ()))
            if client.vllm_config is self._config:
                self._engine = client.resources.engine_manager
                self._thread.start()

        def register(executor: Any, callback: Any) -> None:
            self._workers.over()  # from here on vLLM ends its engine with its worker
            self._register(executor, callback)

        llm.AsyncLLM.__init__ = begin
        llm.renderer_from_config = self.renderer_from_config
        client.EngineCoreClient.make_async_mp_client = staticmethod(self.make_client)
        client.MPClient._start_mm_warmup = forked
        executor.WorkerProc.wait_for_ready = staticmethod(self.wait_for_workers)
        executor.MultiprocExecutor.register_failure_callback = register
        entry.build_app = self.build_app

    def _note(
        self,
        llm: Any,
        vllm_config: Any = None,
        executor_class: Any = None,
        *_: Any,
        client_addresses: Any = None,
        **__: Any,
    ) -> None:
        """Models that see or hear have more tasks, and a warm-up of vLLM's own; those that embed, other tasks. An
        engine that others started is none to wait for."""
        model = getattr(vllm_config, "model_config", None)
        if self._llm is not None or executor_class is None or model is None or client_addresses:
            return
        if model.runner_type == "generate" and not model.is_multimodal_model:
            self._llm, self._executor = llm, executor_class

    def renderer_from_config(self, config: Any) -> Any:
        """In place of vLLM's, which makes it before its engine."""
        if self._llm is None or self._config is not None:
            return self._make_renderer(config)
        self._config = config
        try:
            self._client = self._make_client(
                vllm_config=config, executor_class=self._executor, log_stats=self._llm.log_stats
            )
        except BaseException:
            if self._error is not None:  # which is why the engine was ended
                raise self._error from None
            _say_killed("engine", getattr(self._engine, "processes", ()))
            raise
        if self._thread.ident is None:  # another version's, that has its warm-up elsewhere
            self._work()
        else:
            self._thread.join()
        if self._error is not None:
            self._client.shutdown()
            raise self._error
        return self._renderer

    def make_client(self, *words: Any, **settings: Any) -> Any:
        """In place of vLLM's: that of the engine that is up."""
        client, self._client = self._client, None
        if client is None or settings.get("vllm_config") is not self._config:
            return self._make_client(*words, **settings)
        client._renderer = settings.get("renderer")
        return client

    def wait_for_workers(self, workers: Any) -> Any:
        """In place of vLLM's, in the engine's process, which will want a tokenizer of its own. Not where its code comes
        with the model: two that copy it to where it is imported from get in each other's way."""
        if self._config is not None and not self._config.model_config.trust_remote_code:
            threading.Thread(target=self._read_tokenizer, name="ahead", daemon=True).start()
        processes = [worker.proc for worker in workers]
        try:
            ready = self._wait_for_workers(workers)
        except BaseException:
            _say_killed("worker", processes)
            raise
        self._workers.begin(processes)
        return ready

    def _read_tokenizer(self) -> None:
        """vLLM keeps it for whoever asks next."""
        try:
            registry: Any = importlib.import_module("vllm.tokenizers.registry")
            registry.cached_tokenizer_from_config(self._config.model_config)
        except Exception:
            logging.getLogger(__name__).debug("ahead of its workers", exc_info=True)

    def build_app(self, args: Any, tasks: Any = None, model: Any = None) -> Any:
        """In place of vLLM's: what was built, if it is what is wanted."""
        app, self._app = self._app, None
        if app is not None and args is self._args and tuple(tasks or ()) == _TASKS:
            return app
        return self._build_app(args, tasks, model)

    def _end_engine(self, error: BaseException) -> None:
        """It may need minutes yet to load what nobody can ask. Of what ends now, this error is to be the first."""
        logging.getLogger("vllm").error("the tokenizer cannot be read", exc_info=error)
        with contextlib.suppress(Exception):
            self._engine.shutdown(timeout=0)

    def _work(self) -> None:
        try:
            self._renderer = self._make_renderer(self._config)
        except BaseException as error:
            self._error = error
            self._end_engine(error)
            return
        try:
            self._app = self._build_app(self._args, _TASKS, self._config.model_config)
            self._renderer.warmup(_first_chat(self._args))
        except BaseException:  # where vLLM does it itself it is told as vLLM tells it
            logging.getLogger(__name__).debug("ahead of its engine", exc_info=True)


def _say_killed(role: str, processes: Iterable[Any]) -> None:
    """Raises Ended when one was. vLLM says that something failed, and has the root cause looked for above, where
    one that was killed, as when memory runs out, has said nothing."""
    for process in processes:
        process.join(0.1)  # its pipes close before it has ended
        if process.exitcode is not None and process.exitcode < 0:
            raise Ended(role, process.exitcode) from None


def _end_engine_process(error: Ended) -> NoReturn:
    """Its main thread waits for what the worker cannot say any more; its parent waits for this process."""
    logging.getLogger("vllm").error("a worker has ended", exc_info=error)
    os._exit(1)


def _first_chat(args: Any) -> Any:
    """As vllm/entrypoints/launchers/api_server/app_state.py has it."""
    utils: Any = importlib.import_module("vllm.renderers.chat_utils")
    params: Any = importlib.import_module("vllm.renderers.params")
    cli_args: Any = importlib.import_module("vllm.entrypoints.launchers.cli_args")
    return params.ChatParams(
        chat_template=utils.load_chat_template(args.chat_template),
        chat_template_content_format=args.chat_template_content_format,
        chat_template_kwargs=cli_args.resolve_default_chat_template_kwargs(args),
    )
