"""A server as a child: what it is told, and that it ends with whoever started it."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pilotlight.bench.asking import MODEL
from pilotlight.bench.child import Child, Order, _framed, read_order
from pilotlight.bench.measuring import Subject, _config
from pilotlight.bench.variants import Variant
from pilotlight.errors import ServerError
from pilotlight.spec.model import Config, EngineSettings, Gpu, Model
from pilotlight.units import FOREVER

ENV = {"A": "${PORT}"}
SAID = Config(
    models={"a": Model(), "b": Model()}, port=80, memory=2**30, gpus=(0, Gpu(1, 2**30)), cache_dir="/c"
)
ASKED = Model(
    source="demo://50m", aliases=("x",), min_replicas=2, max_replicas=3, env=ENV, engine_args={"n": 1}
)
SUBJECT = Subject(ASKED, EngineSettings(warm_pool=7, home="/h"), SAID, Path("/w"))


def made(*techniques: str) -> Config:
    return _config(SUBJECT, Variant("v", techniques), "/private")


def test_a_server_has_nothing_but_the_model_which_goes_only_when_told_to() -> None:
    config = made("zygote")
    model = config.models[MODEL]
    assert [*config.models] == [MODEL] and config.port == 0
    assert (model.min_replicas, model.max_replicas, model.ttl, model.sleep_after) == (0, 1, FOREVER, FOREVER)
    assert (model.source, model.env, model.engine_args) == (ASKED.source, ENV, {"n": 1})
    assert (config.memory, config.gpus, config.cache_dir) == (2**30, SAID.gpus, "/c")
    assert config.state_dir == "/private"


def test_only_what_is_measured_is_switched_on() -> None:
    assert made().models[MODEL].techniques == ("huge_pages",), "which is of memory that all share"
    assert made("zygote").models[MODEL].techniques == ("zygote", "huge_pages")
    assert made("zygote").engines["llamacpp"] == EngineSettings(warm_pool=0, home="/h")
    assert made("warm_pool", "zygote").engines["llamacpp"].warm_pool == 1


def test_an_order_arrives_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order(made("zygote"), "/somewhere")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(_framed(order))))
    assert read_order() == order


@pytest.mark.parametrize("data", [b"", b"\0\0", _framed(Order(Config(), ""))[:-1]])
def test_without_an_order_there_is_nothing_to_do(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    with pytest.raises(EOFError):
        read_order()


def test_one_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import sys; sys.exit('the port is taken')")
    with pytest.raises(ServerError, match="did not come up:\nthe port is taken"):
        Child(argv, Order(made(), "/"), tmp_path)


def test_it_ends_when_it_is_let_go(tmp_path: Path) -> None:
    serve = (
        'import sys; n = int.from_bytes(sys.stdin.buffer.read(4), "big"); sys.stdin.buffer.read(n); '
        'print(\'{"url": "http://x", "port": 7}\', flush=True); sys.stdin.buffer.read()'
    )
    child = Child((sys.executable, "-c", serve), Order(made(), "/"), tmp_path)
    assert child.port == 7 and child.alive
    child.close()
    assert not child.alive
