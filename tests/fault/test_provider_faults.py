"""Providers that do everything wrong, over real HTTP: what the client gets, what is charged, what the kernel knows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fault import provider_kit as kit
from fault.provider_ground import FEE, ground
from fault.provider_kit import KEY, well
from integration.kit import events, eventually

# -- before the first byte: another target has it ------------------------------------------------------------------

LIMITS = {"first_byte_timeout": "300ms"}
"""For those that would never answer; others have the time that they need."""


async def stream_of_an_error(wire: kit.Wire, seen: kit.Seen) -> None:
    await wire.stream_head()
    await wire.part(b'data: {"error": {"message": "no GPU"}}\n\n')
    await wire.end()


async def nonsense(wire: kit.Wire, seen: kit.Seen) -> None:
    await wire.say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


DECLINED = {
    "hangs": (kit.hangs, "timeout"),
    "hangs after its head": (kit.hangs_after_head, "timeout"),
    "hangs up": (kit.hangs_up, "unreachable"),
    "cuts after its head": (kit.cuts_after_head, "error"),
    "speaks no HTTP": (nonsense, "unreachable"),
    "is full": (kit.answers(429, b"{}", "Retry-After: 7"), "busy"),
    "is away": (kit.answers(503, b"{}", "Retry-After: Thu, 01 Jan 2099 00:00:00 GMT"), "busy"),
    "knows no key": (kit.answers(401, b'{"error": "bad key ' + KEY.encode() + b'"}'), "denied"),
    "has no more money": (kit.answers(402), "denied"),
    "fails": (kit.answers(500), "error"),
    "has no such model": (kit.answers(404), "error"),
    "sends a page": (kit.answers(200, b"<html>", type="text/html"), "error"),
    "zips": (kit.answers(200, b"zip", "Content-Encoding: gzip", type="text/event-stream"), "error"),
    "errs in its stream": (stream_of_an_error, "error"),
    "is another model": (well(model="gpt-2"), "error"),
    "is no model": (well(model=["gpt-2"]), "error"),
    "is another model beside odd fields": (kit.answers(200, b'{"model": "gpt-2", "response": "x"}'), "error"),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", DECLINED)
async def test_one_that_gives_no_answer_leaves_it_to_the_next(tmp_path: Path, fault: str, stream: bool):
    script, kind = DECLINED[fault]
    if stream and fault == "is another model beside odd fields":
        pytest.skip("it is no stream")
    if not stream and fault in ("errs in its stream", "cuts after its head"):
        pytest.skip("there is no stream")
    async with ground(tmp_path, script, declared=LIMITS if kind == "timeout" else None) as it:
        status, headers, body = await it.answer("chat", stream=stream)
        assert (status, headers["x-pilotlight-served-by"]) == (200, "spare")
        assert "p0" in body if stream else body["choices"][0]["message"]["content"] == "from afar"
        assert it.ended(kind) == 1
        assert len(it.far.seen) == 1
        assert len(it.spare.seen) == 1
        assert it.of()["spent"]["month"] in (0, FEE)
        if fault == "is full":
            assert 0 < it.of()["pause_left_s"] <= 7
        if fault == "is away":
            assert it.of()["pause_left_s"] <= 3600


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_redirect_is_not_followed(tmp_path: Path, stream: bool):
    """Wherever it leads hears nothing: no key, no prompt, not even a connection."""
    async with kit.provider(well()) as thief:
        places = [thief.url + "/chat/completions", f"//127.0.0.1:{thief.port}/v1/steal"]
        turns = iter([(status, place) for status in (301, 302, 303, 307, 308) for place in places])

        async def redirects(wire: kit.Wire, seen: kit.Seen) -> None:
            status, place = next(turns)
            await wire.whole(status, b"", "text/html", f"Location: {place}")

        async with ground(tmp_path, redirects, declared={"first_token": "0.01ms"}) as it:
            for _ in range(10):
                status, headers, _ = await it.answer("chat", stream=stream)
                assert (status, headers["x-pilotlight-served-by"]) == (200, "spare")
                await asyncio.to_thread(it.server.post, "/reload")  # which has its breaker let one in again
            assert len(it.far.seen) == it.ended("error") == 10
            assert "redirects are not followed" in it.of()["last_reason"]
            assert (thief.connections, thief.wire) == (0, b"")


async def test_a_name_that_is_gone_is_unreachable(tmp_path: Path):
    async with ground(tmp_path, well(), declared={"base_url": "https://provider.invalid/v1"}) as it:
        _, headers, _ = await it.answer("chat")
        assert headers["x-pilotlight-served-by"] == "spare"
        assert it.ended("unreachable") == 1
        assert "provider.invalid cannot be resolved" in it.of()["last_reason"]
        assert it.far.connections == 0


async def test_a_name_that_nobody_waits_for_any_more_leaves_no_word(tmp_path: Path):
    """Its look-up fails when the request is long elsewhere: the log, which is looked at in the end, is not told."""
    declared = {
        "base_url": "https://provider.invalid/v1",
        "connect_timeout": "0.1ms",
        "first_token": "0.01ms",
    }
    async with ground(tmp_path, well(), declared=declared) as it:
        for _ in range(5):
            _, headers, _ = await it.answer("chat")
            assert headers["x-pilotlight-served-by"] == "spare"
        assert it.ended("unreachable") == 5


# -- after it ------------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_cut_ends_with_an_error_and_is_paid_for(tmp_path: Path):
    async with ground(tmp_path, kit.cuts_in_the_middle) as it:
        status, headers, text = await it.answer("chat", stream=True)
        assert (status, headers["x-pilotlight-served-by"]) == (200, "far")
        found = events(text)
        assert [e["choices"][0]["delta"]["content"] for e in found[:-1]] == ["p0 ", "p1 "]
        assert found[-1]["error"]["code"] == "provider_failed"
        await eventually(lambda: it.ended("failed") == 1)
        assert it.of()["spent"]["month"] == FEE
        assert it.spare.bytes_in == 0, "a client that has a byte of one answer gets none of another"


async def test_of_one_that_never_begins_it_is_said_which_limit_ended_it(tmp_path: Path):
    async with ground(tmp_path, kit.hangs, declared={"max_duration": "300ms"}) as it:
        status, headers, _ = await it.answer("chat")
        assert (status, headers["x-pilotlight-served-by"]) == (200, "spare")
        assert it.of()["last_reason"] == "no byte of its answer came within 0.3 s (max_duration)"


async def test_a_whole_answer_that_is_cut_is_an_error_and_is_paid_for(tmp_path: Path):
    async with ground(tmp_path, kit.cuts_in_the_middle) as it:
        status, _, body = await it.answer("chat")
        assert (status, body["error"]["code"]) == (502, "provider_failed")
        assert it.of()["spent"]["month"] == FEE


async def test_one_that_falls_silent_in_the_middle_is_given_up(tmp_path: Path):
    async with ground(tmp_path, well(every=3600), declared={"request_timeout": "300ms"}) as it:
        _, _, text = await it.answer("chat", stream=True)
        assert events(text)[-1]["error"]["code"] == "provider_timeout"
        await eventually(lambda: it.far.gone == 1)


async def test_one_that_goes_on_for_ever_is_cut_at_its_longest(tmp_path: Path):
    script = well(every=0.02, events=100_000)
    async with ground(tmp_path, script, declared={"max_duration": "2s"}) as it:
        _, _, text = await it.answer("chat", stream=True)
        assert "max_duration" in events(text)[-1]["error"]["message"]
        await eventually(lambda: it.far.gone == 1)


async def test_a_client_that_leaves_cuts_the_provider_and_pays(tmp_path: Path):
    async with ground(tmp_path, well(every=0.05, events=100_000)) as it:
        async with it.chat("chat", stream=True) as response:
            await response.content.readany()
        await eventually(lambda: it.far.gone == 1)
        await eventually(lambda: it.of()["spent"]["month"] == FEE)
        await eventually(lambda: it.of()["in_flight"] == 0)


async def test_what_the_client_did_wrong_is_told_to_the_client(tmp_path: Path):
    said = b'{"error": {"message": "temperature is hot, dear ' + KEY.encode() + b'"}}'
    async with ground(tmp_path, kit.answers(400, said)) as it:
        status, headers, body = await it.answer("chat")
        assert (status, headers["x-pilotlight-served-by"]) == (400, "far")
        assert body["error"]["message"] == "temperature is hot, dear ..."
        assert it.spare.bytes_in == 0
        assert it.of()["breaker"] == "closed"


async def test_a_slow_one_keeps_the_client_alive(tmp_path: Path):
    go = asyncio.Event()

    async def waits(wire: kit.Wire, seen: kit.Seen) -> None:
        await go.wait()
        await well()(wire, seen)

    async with ground(tmp_path, waits, patience=(0.1, 0.1, 0.1)) as it:
        async with it.chat("chat", stream=True) as response:
            assert response.headers["x-pilotlight-start"] == "burst"
            assert (await response.content.readuntil(b"\n\n")).startswith(b":")
            go.set()
            assert len(events(await response.text())) == 4
        go.clear()
        async with it.chat("chat") as response:
            assert await response.content.readexactly(1) == b" "
            go.set()
            assert (await response.json())["choices"][0]["message"]["content"] == "from afar"


async def test_one_that_was_cold_is_seen_to_have_been(tmp_path: Path):
    """Its first answer comes late, and counts as cold where that is later than objective.wait; the next ones do not."""

    async def wakes(wire: kit.Wire, seen: kit.Seen) -> None:
        await well(after=2.5 if len(it.far.seen) == 1 else 0.0)(wire, seen)

    late = {"declared": {"cold_start": "2s"}, "objective": "2s"}
    async with ground(tmp_path, wakes, **late, spare=False) as it:
        for _ in range(4):
            _, headers, _ = await it.answer("chat", stream=True)
            assert headers["x-pilotlight-served-by"] == "far"
        assert it.of()["cold_rate"] == 0.25
        assert it.of()["cold_start_s"] > 0.3
        assert it.server.metric("pilotlight_provider_cold_rate", provider="far") == 0.25
        assert it.server.metric("pilotlight_cold_rate", model="chat") == 0.25


LIES: dict[str, Any] = {
    "too much": {"prompt_tokens": 10**9, "completion_tokens": 10**9},
    "negative": {"prompt_tokens": -5, "completion_tokens": -5},
    "no number": {"prompt_tokens": "many", "completion_tokens": None},
    "huge": {"prompt_tokens": 10**40, "completion_tokens": 10**40},
    "nothing": {},
    "no object": [1],
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("lie", LIES)
async def test_what_it_says_of_tokens_counts_only_where_it_can_be(tmp_path: Path, lie: str, stream: bool):
    price = {"million_input_usd": 1e6, "million_output_usd": 1e6}  # a dollar a token
    async with ground(tmp_path, well(usage=LIES[lie]), declared={"price": price}) as it:
        status, _, _ = await it.answer("chat", stream=stream, max_tokens=10)
        assert status == 200
        (seen,) = it.far.seen
        await eventually(lambda: it.of()["in_flight"] == 0)
        spent = it.of()["spent"]["month"]
        prompt = -(-len(seen.raw.partition(b"\r\n\r\n")[2]) // 3)
        assert spent == prompt + (3 if stream else 10)
        await eventually(lambda: len(it.server.requests()) == 1)
        (line,) = it.server.requests()
        assert (line["tokens_from"], line["cost_usd"]) == ("estimated", spent)
        if lie == "too much":
            assert it.server.metric("pilotlight_provider_implausible_usage_total", provider="far") == 1


# -- hedged --------------------------------------------------------------------------------------------------------

HEDGE = {"x-pilotlight-hedge": "allow"}


async def test_a_hedge_that_the_replica_wins_cuts_the_provider_and_pays(tmp_path: Path):
    async with ground(tmp_path, kit.hangs, spare=False) as it:
        it.model.open()
        status, headers, text = await it.answer("chat", stream=True, headers=HEDGE)
        assert (status, headers["x-pilotlight-start"]) == (200, "cold")
        assert headers["x-pilotlight-served-by"].startswith("chat-")
        assert events(text)[-1] == "[DONE]"
        await eventually(lambda: it.far.gone == 1)
        assert it.of()["spent"]["month"] == FEE
        await eventually(it.server.requests)
        (line,) = it.server.requests()
        assert FEE < line["cost_usd"] < 1.1 * FEE, "and its share of the replica"
        it.server.at_rest()


async def test_a_hedge_that_the_provider_wins_leaves_the_replica(tmp_path: Path):
    async with ground(tmp_path, well(), spare=False) as it:
        _, headers, _ = await it.answer("chat", headers=HEDGE)
        assert headers["x-pilotlight-served-by"] == "far"
        it.server.at_rest()
        it.model.open()
        await eventually(lambda: [r["state"] for r in it.server.running("chat")] == ["ready"])
        assert not it.model.seen("request")


async def test_a_hedge_whose_provider_fails_is_the_replicas(tmp_path: Path):
    async with ground(tmp_path, kit.answers(500), spare=False) as it:
        asked = asyncio.ensure_future(it.answer("chat", headers=HEDGE))
        await eventually(lambda: it.ended("error") == 1)
        it.model.open()
        status, headers, _ = await asked
        assert (status, headers["x-pilotlight-start"]) == (200, "cold")
        it.server.at_rest()


async def test_a_hedge_whose_client_leaves_ends_on_both_sides(tmp_path: Path):
    async with ground(tmp_path, kit.hangs, spare=False) as it:
        asked = asyncio.ensure_future(it.answer("chat", headers=HEDGE))
        await eventually(lambda: len(it.far.seen) == 1)
        asked.cancel()
        await eventually(lambda: it.far.gone == 1)
        await eventually(lambda: it.of()["spent"]["month"] == FEE)
        it.server.at_rest()


async def test_a_hedge_that_the_replica_wins_cuts_the_provider_before_its_own_answer_ends(tmp_path: Path):
    async with ground(tmp_path, kit.hangs, spare=False) as it:
        it.model.open()
        gate = tmp_path / "go"
        do = {"gate": str(gate)}
        async with it.chat("chat", stream=True, do=do, headers=HEDGE) as response:
            await response.content.readuntil(b"\n\n")
            await eventually(lambda: it.far.gone == 1)
            gate.touch()
            assert events(await response.text())[-1] == "[DONE]"
        it.server.at_rest()


async def test_a_hedge_that_the_provider_wins_cuts_the_replica_before_its_answer_ends(tmp_path: Path):
    async def answers_second(wire: kit.Wire, seen: kit.Seen) -> None:
        """When the replica has it, and without an end of its own."""
        await it.model.sees("request")
        await wire.stream_head()
        await wire.part(kit.event(seen, "p0 "))
        await asyncio.sleep(3600)

    async with ground(tmp_path, answers_second, spare=False) as it:
        it.model.open()
        async with it.chat("chat", stream=True, do={"hang": True}, headers=HEDGE) as response:
            assert response.headers["x-pilotlight-served-by"] == "far"
            await response.content.readuntil(b"\n\n")
            await it.model.sees("disconnected")
        it.server.at_rest()


async def test_a_hedge_whose_provider_cuts_its_answer_is_the_replicas(tmp_path: Path):
    async with ground(tmp_path, kit.cuts_in_the_middle, spare=False) as it:
        asked = asyncio.ensure_future(it.answer("chat", headers=HEDGE))
        await eventually(lambda: it.ended("error") == 1)
        assert not asked.done()
        it.model.open()
        status, headers, _ = await asked
        assert (status, headers["x-pilotlight-start"]) == (200, "cold")
        assert it.of()["spent"]["month"] == FEE
        it.server.at_rest()


async def test_a_hedge_that_is_left_waiting_goes_to_a_provider_that_may_be_asked_later(tmp_path: Path):
    turns = iter([kit.answers(429, b"{}", "Retry-After: 1")])

    async def full_once(wire: kit.Wire, seen: kit.Seen) -> None:
        await next(turns, well())(wire, seen)

    async with ground(tmp_path, kit.answers(500), other_script=full_once) as it:
        first = asyncio.ensure_future(it.answer("chat"))
        await eventually(lambda: it.ended("busy", "spare") == 1)
        status, headers, _ = await it.answer("chat", headers=HEDGE)
        assert (status, headers["x-pilotlight-served-by"]) == (200, "spare")
        it.model.open()
        assert (await first)[0] == 200
        it.server.at_rest()
