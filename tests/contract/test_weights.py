"""What every cache of weights keeps, the real one and the fake that ships."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from pilotlight.errors import SourceError
from pilotlight.ports import Weights
from pilotlight.weights import transfer
from pilotlight.weights.cache import WeightCache
from pilotlight.weights.fake import FakeWeights
from unit.weights.servers import FileServer, gguf_bytes

SIZE = 300_000


class Bench(msgspec.Struct):
    weights: Weights
    source: str
    fail: Callable[[bool], None]
    """Whether the source cannot be reached."""


@pytest.fixture(params=["fake", "cache"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    if request.param == "fake":
        fake = FakeWeights(tmp_path, SIZE)
        yield Bench(fake, "anything", lambda fails: setattr(fake, "error", "gone" if fails else None))
        return
    monkeypatch.setattr(transfer, "BACK_OFF", 0.01)
    monkeypatch.setattr(transfer, "BACK_OFF_CAP", 0.02)
    with FileServer() as server:
        data = gguf_bytes(SIZE)
        server.files["/m.gguf"] = data

        def fail(fails: bool) -> None:
            server.files = {} if fails else {"/m.gguf": data}

        yield Bench(WeightCache(tmp_path / "cache"), f"{server.url}/m.gguf", fail)


def test_what_was_never_fetched_is_not_here(bench: Bench) -> None:
    bench.weights.check(bench.source)
    assert bench.weights.local(bench.source) is None
    assert bench.weights.size_hint(bench.source) is None


def test_what_was_fetched_is_here_whole_and_stays(bench: Bench) -> None:
    seen: list[tuple[int, int | None]] = []
    path = bench.weights.fetch(bench.source, lambda done, total: seen.append((done, total)))
    assert path.stat().st_size == bench.weights.size_hint(bench.source) == SIZE
    assert seen == sorted(seen) and seen[-1] == (SIZE, SIZE)
    bench.fail(True)
    assert bench.weights.local(bench.source) == bench.weights.fetch(bench.source) == path


def test_what_can_never_be_a_source(bench: Bench) -> None:
    for refused in (bench.weights.check, bench.weights.fetch):
        with pytest.raises(SourceError):
            refused("")
    assert bench.weights.local("") is None and bench.weights.size_hint("") is None


def test_a_fetch_that_fails_leaves_nothing_and_may_be_tried_again(bench: Bench) -> None:
    bench.fail(True)
    with pytest.raises(SourceError):
        bench.weights.fetch(bench.source)
    assert bench.weights.local(bench.source) is None
    bench.fail(False)
    assert bench.weights.fetch(bench.source).stat().st_size == SIZE


def test_an_exception_from_progress_ends_the_fetch(bench: Bench) -> None:
    def enough(_done: int, _total: int | None) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        bench.weights.fetch(bench.source, enough)
    assert bench.weights.local(bench.source) is None
    assert bench.weights.fetch(bench.source).stat().st_size == SIZE


def test_several_threads_may_ask_at_once(bench: Bench) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: bench.weights.fetch(bench.source), range(4)))
    assert paths == {bench.weights.local(bench.source)}
