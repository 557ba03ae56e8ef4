"""What is done while vLLM's engine comes up, with stand-ins for vLLM's own parts; the real ones are in
integration/test_vllm.py."""

import contextlib
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pilotlight_guest import vllm_ahead
from pilotlight_guest.vllm_ahead import Ahead, work_ahead


class Watched:
    """In place of a watch: what is begun and what is over."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.is_over = False

    def begin(self, processes: Any) -> None:
        self.began += processes

    def over(self) -> None:
        self.is_over = True


class Vllm:
    """As much of vLLM as is stood in for, and what was done in which order."""

    def __init__(
        self, *, runner: str = "generate", sees: bool = False, broken: str = "", warms_up: bool = True
    ) -> None:
        self.said: list[str] = []
        self.broken = broken
        model = SimpleNamespace(runner_type=runner, is_multimodal_model=sees, trust_remote_code=False)
        self.config = SimpleNamespace(model_config=model)
        self.engine_up = threading.Event()
        self.ended = False
        self.processes: list[Any] = []
        outer = self

        class Client:
            def __init__(self, vllm_config: Any, renderer: Any = None) -> None:
                outer.said.append("fork")
                self.vllm_config, self._renderer = vllm_config, renderer
                manager = SimpleNamespace(shutdown=outer.end_engine, processes=outer.processes)
                self.resources = SimpleNamespace(engine_manager=manager)
                if warms_up:
                    self._start_mm_warmup()
                outer.engine_up.wait(5)
                if outer.ended:
                    raise RuntimeError("Engine core initialization failed.")
                outer.said.append("up")

            def _start_mm_warmup(self) -> None:
                outer.said.append("own warm-up")

            def shutdown(self) -> None:
                outer.said.append("down")

        def make(vllm_config: Any, executor_class: Any, log_stats: bool, **rest: Any) -> Client:
            assert (executor_class, log_stats) == ("executor", True)
            return Client(vllm_config, rest.get("renderer"))

        class AsyncLLM:
            def __init__(
                self, vllm_config: Any, executor_class: Any, log_stats: bool, client_addresses: Any = None
            ) -> None:
                self.log_stats = log_stats
                self.renderer = outer.llm.renderer_from_config(vllm_config)
                outer.said.append("input")
                self.engine_core = outer.client.EngineCoreClient.make_async_mp_client(
                    vllm_config=vllm_config,
                    executor_class=executor_class,
                    log_stats=log_stats,
                    client_addresses=client_addresses,
                    renderer=self.renderer,
                )

        self.llm = SimpleNamespace(AsyncLLM=AsyncLLM, renderer_from_config=self.make_renderer)
        core = SimpleNamespace(make_async_mp_client=make)
        self.client = SimpleNamespace(EngineCoreClient=core, MPClient=Client)
        self.registered: list[Any] = []
        self.executor = SimpleNamespace(
            WorkerProc=SimpleNamespace(wait_for_ready=lambda workers: workers),
            MultiprocExecutor=SimpleNamespace(register_failure_callback=self.register),
        )
        self.watch: Any = Watched()
        self.entry = SimpleNamespace(build_app=self.build_app)
        self.args = SimpleNamespace(chat_template=None, chat_template_content_format="auto")

    def register(self, executor: Any, callback: Any) -> None:
        self.registered += [executor, callback]

    def make_renderer(self, config: Any) -> Any:
        self.said.append("renderer")
        if self.broken == "renderer":
            raise OSError("no tokenizer.json")
        return SimpleNamespace(warmup=self.warmup)

    def end_engine(self, timeout: float) -> None:
        self.said.append("ended")
        self.ended = not self.engine_up.is_set()
        self.engine_up.set()

    def build_app(self, args: Any, tasks: Any, model: Any) -> list[Any]:
        self.said.append("app")
        if self.broken == "app":
            self.engine_up.set()
            raise ValueError("a plugin")
        return [args, tasks, model]

    def warmup(self, chat: Any) -> None:
        self.said.append("first chat")
        self.engine_up.set()

    def start(self, **addresses: Any) -> Any:
        Ahead(self.entry, self.llm, self.client, self.executor, self.args, self.watch)
        return self.llm.AsyncLLM(self.config, "executor", True, **addresses)


@pytest.fixture(autouse=True)
def chat(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("vllm.renderers.chat_utils", "vllm.renderers.params", "vllm.entrypoints.launchers.cli_args")
    for name in names:
        part = SimpleNamespace(
            load_chat_template=lambda _: None,
            resolve_default_chat_template_kwargs=lambda _: {},
            ChatParams=SimpleNamespace,
        )
        monkeypatch.setitem(sys.modules, name, part)


def test_the_engine_comes_first_and_all_else_while_it_comes_up() -> None:
    vllm = Vllm()
    llm = vllm.start()  # the engine is up once the first chat was rendered, which would hang if it came after
    assert vllm.said == ["fork", "own warm-up", "renderer", "app", "first chat", "up", "input"]
    assert llm.engine_core._renderer is llm.renderer
    app = vllm.entry.build_app(vllm.args, ["generate"], vllm.config.model_config)
    assert app[1] == ("generate",) and vllm.said.count("app") == 1, "what was built is what is served"


def test_an_app_for_other_tasks_is_built_anew() -> None:
    vllm = Vllm()
    vllm.start()
    app = vllm.entry.build_app(vllm.args, ["generate", "transcription"], vllm.config.model_config)
    assert app[1] == ["generate", "transcription"] and vllm.said.count("app") == 2


@pytest.mark.parametrize("kind", [{"runner": "pooling"}, {"sees": True}, {"others": True}])
def test_other_kinds_of_engines_start_as_ever(kind: dict[str, Any]) -> None:
    others = {"client_addresses": {"input_address": "ipc://x"}} if kind.pop("others", False) else {}
    vllm = Vllm(**kind)
    vllm.engine_up.set()
    vllm.start(**others)
    assert vllm.said == ["renderer", "input", "fork", "own warm-up", "up"]


def test_a_tokenizer_that_cannot_be_read_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    vllm = Vllm(broken="renderer")
    with pytest.raises(OSError, match=r"no tokenizer\.json"):
        vllm.start()
    assert vllm.said[-1] == "ended", "and not when the engine is up, which it may be in minutes"
    (record,) = caplog.records
    assert record.name == "vllm" and record.exc_info, "first of what vllm_stages.Notes notes"


def test_an_engine_that_was_up_before_its_tokenizer_was_read_is_let_go() -> None:
    vllm = Vllm(broken="renderer")
    vllm.engine_up.set()
    with pytest.raises(OSError, match=r"no tokenizer\.json"):
        vllm.start()
    assert vllm.said[-1] == "down"


def test_an_engine_that_does_not_come_up_is_told_as_it_tells_it() -> None:
    vllm = Vllm()
    vllm.ended = True
    with pytest.raises(RuntimeError, match="Engine core"):
        vllm.start()


@pytest.mark.parametrize(("status", "said"), [(-9, "its engine was killed by signal 9"), (1, "Engine core")])
def test_an_engine_that_was_killed_is_told_as_that(status: int, said: str) -> None:
    vllm = Vllm()
    vllm.ended, vllm.processes = True, [SimpleNamespace(join=lambda _: None, exitcode=status)]
    with pytest.raises(RuntimeError, match=said):
        vllm.start()


@pytest.mark.parametrize(("status", "said"), [(-9, "its worker was killed by signal 9"), (1, "background")])
def test_a_worker_that_was_killed_is_told_as_that(status: int, said: str) -> None:
    def wait_for_ready(workers: Any) -> None:
        raise RuntimeError("failed due to an exception in a background process")

    vllm = Vllm()
    vllm.config.model_config.trust_remote_code = True
    vllm.executor.WorkerProc.wait_for_ready = wait_for_ready
    vllm.start()
    worker = SimpleNamespace(proc=SimpleNamespace(join=lambda _: None, exitcode=status))
    with pytest.raises(RuntimeError, match=said):
        vllm.executor.WorkerProc.wait_for_ready([worker])


def test_its_processes_are_watched_where_vllm_waits_for_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Watched()
    monkeypatch.setattr(vllm_ahead, "Watch", lambda role, tell: workers)
    vllm = Vllm()
    vllm.processes.append("engine")
    vllm.start()
    assert vllm.watch.began == ["engine"] and not vllm.watch.is_over
    vllm.executor.WorkerProc.wait_for_ready([SimpleNamespace(proc="worker")])
    assert workers.began == ["worker"] and not workers.is_over
    vllm.executor.MultiprocExecutor.register_failure_callback("executor", "callback")
    assert workers.is_over and vllm.registered == ["executor", "callback"], "from here on vLLM looks itself"


@pytest.mark.parametrize(("error", "left"), [(ValueError("no room"), [1]), (SystemExit(0), []), (None, [])])
def test_an_engine_process_that_has_failed_waits_for_nobody(
    error: BaseException | None, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: str, *, engine_index: int) -> None:
        assert (config, engine_index) == ("config", 0)
        if error is not None:
            raise error

    core = SimpleNamespace(EngineCoreProc=SimpleNamespace(run_engine_core=run))
    vllm_ahead.end_when_it_fails(core)
    exits: list[int] = []
    monkeypatch.setattr(vllm_ahead.os, "_exit", exits.append)
    orderly = pytest.raises(SystemExit) if isinstance(error, SystemExit) else contextlib.nullcontext()
    with orderly:
        core.EngineCoreProc.run_engine_core("config", engine_index=0)
    assert exits == left


def test_where_no_thread_was_begun_it_is_done_after_the_engine() -> None:
    vllm = Vllm(warms_up=False)
    vllm.engine_up.set()
    vllm.start()
    assert vllm.said == ["fork", "up", "renderer", "app", "first chat", "input"]


@pytest.mark.parametrize("remote_code", [False, True])
def test_the_engine_reads_its_tokenizer_unless_that_runs_code_of_the_model(
    remote_code: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = threading.Event()
    registry = SimpleNamespace(cached_tokenizer_from_config=lambda _: read.set())
    monkeypatch.setitem(sys.modules, "vllm.tokenizers.registry", registry)
    vllm = Vllm()
    vllm.config.model_config.trust_remote_code = remote_code
    vllm.start()
    workers: list[Any] = []
    assert vllm.executor.WorkerProc.wait_for_ready(workers) is workers
    assert read.wait(0.05 if remote_code else 5) is not remote_code


def test_an_app_that_cannot_be_built_is_told_where_vllm_builds_it() -> None:
    vllm = Vllm(broken="app")
    vllm.start()
    with pytest.raises(ValueError, match="a plugin"):
        vllm.entry.build_app(vllm.args, ["generate"], vllm.config.model_config)


def test_a_version_without_one_of_the_places_is_left_as_it_is() -> None:
    vllm = Vllm()
    del vllm.client.MPClient._start_mm_warmup
    before = (vllm.llm.renderer_from_config, vllm.entry.build_app)
    with pytest.raises(AttributeError):
        Ahead(vllm.entry, vllm.llm, vllm.client, vllm.executor, vllm.args, vllm.watch)
    assert (vllm.llm.renderer_from_config, vllm.entry.build_app) == before


def test_a_version_without_one_of_the_modules_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.async_llm", None)
    vllm = Vllm()
    before = vllm.entry.build_app
    work_ahead(vllm.entry, vllm.args, vllm.watch)
    assert vllm.entry.build_app == before
