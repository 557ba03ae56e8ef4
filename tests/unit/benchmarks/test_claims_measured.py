"""The claims that are measured: what is read from the measurements, and small ones of the real parts."""

from pathlib import Path
from types import SimpleNamespace

import gguf
import msgspec
import numpy as np
import pytest

from fault.server_kit import WEIGHTS
from pilotlight.weights.cache import WeightCache

CONTEXT = {"n_ctx": 256, "n_threads": 1}


@pytest.fixture(scope="module")
def weights() -> Path:
    return WeightCache(WEIGHTS).fetch("demo://50m")


def technique(*ttft: float, **stages: float) -> dict[str, object]:
    return {"ttft_s": list(ttft), "stages": stages}


def started(woken: float = 0.19) -> dict[str, dict[str, object]]:
    return {
        "plain": technique(0.9, 0.6, 0.7, spawn=0.02, **{"import": 0.06}, load=0.3, first_token=0.1),
        "zygote": technique(5.0, 0.54, 4.0, fork=0.008, load=0.3, first_token=0.1),
        "sleep": technique(woken + 0.1, wake=woken),
    }


def test_starts_are_read_by_their_fastest_and_their_stages(claims: SimpleNamespace) -> None:
    workers, sleep, snapshot = claims.live.judged(started())
    assert "0.60 s cold, of which 0.10 s are the first token itself: 6.0 x" in workers.found
    assert "0.38 s to ready for a start, 0.19 s for a wake, 2.0 x" in sleep.found
    assert sleep.verdict == "refined"
    assert "imports 80 ms, a fork 8 ms: 90 % off these, 10 % off the first token" in snapshot.found
    assert snapshot.verdict == "refined"


def test_a_wake_that_is_as_fast_as_claimed_reproduces_the_claim(claims: SimpleNamespace) -> None:
    assert list(claims.live.judged(started(woken=0.02)))[1].verdict == "reproduced"


@pytest.mark.parametrize(("stream", "verdict"), [(0.5, "refined"), (0.9, "refuted")])
def test_what_overlap_and_a_cache_take_off(claims: SimpleNamespace, stream: float, verdict: str) -> None:
    rows = {
        "plain": technique(
            0.7, 0.8, 5.8, fetch=0.5, spawn=0.02, **{"import": 0.04}, load=0.24, first_token=0.02
        ),
        "stream": technique(stream - 0.1, stream, 9.0),
    }
    overlap, cached = claims.fetching.judged(rows)
    assert f"{0.8 / stream:.1f} x" in overlap.found
    assert overlap.verdict == verdict
    assert "without it add up to 0.32 s, 60 % off" in cached.found


def test_half_precision_has_the_same_numbers(claims: SimpleNamespace, weights: Path, tmp_path: Path) -> None:
    wide = tmp_path / "f16.gguf"
    claims.f16.write(weights, wide)
    before, after = gguf.GGUFReader(weights), gguf.GGUFReader(wide)
    assert [t.name for t in before.tensors] == [t.name for t in after.tensors]
    for one, other in zip(before.tensors[:4], after.tensors[:4], strict=True):
        assert list(one.shape) == list(other.shape)
        numbers = gguf.dequantize(one.data, one.tensor_type)
        np.testing.assert_allclose(gguf.dequantize(other.data, other.tensor_type), numbers, rtol=1e-3)
    kinds = {t.tensor_type.name for t in after.tensors}
    assert kinds == {"F16", "F32"}
    assert weights.stat().st_size / wide.stat().st_size == pytest.approx(34 / 64, abs=0.01)
    told = after.fields["tokenizer.ggml.tokens"].contents()
    assert told == before.fields["tokenizer.ggml.tokens"].contents()
    assert claims.guest.start(wide, CONTEXT).cold > 0  # llama.cpp can read it


def test_starts_are_interleaved_and_the_first_of_each_does_not_count(
    claims: SimpleNamespace, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[bool] = []
    start = claims.guest.start

    def noted(path: Path, args: dict[str, object], slots: int) -> object:
        order.append("load_mode" in args)
        run = start(path, {**args, **CONTEXT}, slots)
        return run if len(order) > 2 else msgspec.structs.replace(run, load=0.0)

    monkeypatch.setattr(claims.guest, "start", noted)
    case = claims.starts.Case
    found = claims.starts.measured(
        {"mapped": case(weights), "copied": case(weights, args=claims.starts.COPIED)}, 1
    )
    assert order == [True, False, False, True]
    assert all(0 < f.load < f.cold and f.token > 0 for f in found.values())


def test_an_engine_that_cannot_start_says_why(claims: SimpleNamespace, tmp_path: Path) -> None:
    broken = tmp_path / "m.gguf"
    broken.write_bytes(b"no weights")
    with pytest.raises(RuntimeError, match=r"could not serve .*m\.gguf"):
        claims.guest.start(broken, CONTEXT)


def test_what_starts_say(claims: SimpleNamespace) -> None:
    def found(load: float, cold: float, token: float = 0.05) -> object:
        return claims.starts.Found(runtime=0.06, load=load, first=0.1, token=token, cold=cold)

    starts = claims.starts
    mapped, copied = found(0.2, 0.35), found(0.4, 0.5)
    assert "0.35 s cold, 50 ms a warm token: 7 x" in starts.whole(mapped).found
    assert "30 % off; of the load alone 50 %" in starts.mapping(mapped, copied).found
    assert starts.mapping(mapped, copied).verdict == "reproduced"
    assert starts.mapping(copied, mapped).verdict == "refuted"
    int8 = starts.int8(
        {"mapped": mapped, "copied": copied, "wide": found(0.7, 0.9), "wide mapped": mapped}, 0.53
    )
    assert "53 % of the bytes. Load 0.40 against 0.70 s copied" in int8.found
    assert int8.verdict == "refined"
    grown = starts.context(mapped, found(0.2 + 0.9375, 1.3))
    assert "1 s a GiB" in grown.found
    assert grown.verdict == "refined"


def test_a_client_is_imported_once_and_made_again_for_less(claims: SimpleNamespace) -> None:
    times = claims.clients.measured(1)
    assert times.imported > times.again > 0
    assert times.version
    for again, verdict in ((0.01, "refined"), (1.0, "refuted")):
        scope, sdks = claims.clients.claims_of(claims.clients.Times("1", 0.9, 0.1, again))
        assert scope.verdict == verdict
        assert f"{1000 * again:.0f} ms for each further one" in scope.found
        assert "0.90 s" in sdks.found


def test_without_the_sdk_nothing_is_said_of_it(
    claims: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims.clients, "SDK", "no_such_sdk")
    found = list(claims.clients.claims())
    assert [c.verdict for c in found] == ["not testable here"] * 2
    assert all("not installed" in c.how for c in found)
