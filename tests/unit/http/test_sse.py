import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.errors import RequestError
from pilotlight.http import sse

EVENTS = [
    b"data: {}\n\n",
    b": ping\n\n",
    b"event: x\r\ndata: 1\r\n\r\n",
    b"data: [DONE]\n\n",
    b"id: 1\ndata: a\ndata: b\n\n",
]


def test_an_error_event_is_one_event():
    event = sse.error_event(RequestError(503, "two\nlines\r\nand \udcff", code="x"))
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    assert json.loads(event[6:])["error"]["message"] == "two\nlines\r\nand ?"


def test_a_json_text_of_many_lines_is_one_event():
    event = sse.event(b'{\r\n "a":\n 1}')
    assert b"\r" not in event
    assert json.loads(event[6:]) == {"a": 1}


@pytest.mark.parametrize("text", ["plain", "two\nlines", "a\rb", "\n\n", "", "\udcff"])
def test_a_comment_is_one_line(text: str):
    comment = sse.comment(text)
    assert comment.startswith(b":")
    assert comment.endswith(b"\n\n")
    assert comment.count(b"\n") == 2
    assert b"\r" not in comment


@given(st.lists(st.sampled_from(EVENTS), max_size=6), st.lists(st.integers(1, 12), max_size=60))
def test_whole_events_come_out_however_they_are_cut(events: list[bytes], cuts: list[int]):
    data = b"".join(events)
    whole, out, position = sse.WholeEvents(), [], 0
    for cut in [*cuts, len(data)]:
        out.append(whole.take(data[position : position + cut]) if data[position:] else b"")
        position += cut
    assert b"".join(out) == data
    assert whole.rest == b""
    for piece in out:
        assert not piece or piece.endswith((b"\n\n", b"\r\n\r\n"))


def test_the_rest_is_kept_back():
    whole = sse.WholeEvents()
    assert whole.take(b"data: 1\n\ndata: {") == b"data: 1\n\n"
    assert whole.rest == b"data: {"
    assert whole.take(b'"a"') == b""
    assert whole.take(b"}\n\nda") == b'data: {"a"}\n\n'
    assert whole.rest == b"da"


def test_an_event_without_end_is_not_collected_for_ever():
    whole = sse.WholeEvents(limit=10)
    assert whole.take(b"x" * 10) == b""
    assert whole.take(b"x") == b"x" * 11
    assert whole.rest == b""
