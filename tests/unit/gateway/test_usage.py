import pytest

from pilotlight.gateway.usage import NONE, TAIL, Tokens, of_answer, of_stream

USAGE = b'{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}'
TIMINGS = b'{"choices":[],"timings":{"prompt_n":4,"cache_n":3,"predicted_n":9}}'


def test_usage_says_it_best():
    assert of_answer(USAGE) == Tokens(7, 3, "usage")
    assert of_answer(USAGE[:-1] + b',"timings":{"predicted_n":9}}') == Tokens(7, 3, "usage")


def test_an_embedding_has_no_output():
    assert of_answer(b'{"usage":{"prompt_tokens":7,"total_tokens":7}}') == Tokens(7, 0, "usage")


def test_usage_as_messages_and_responses_call_it():
    assert of_answer(b'{"usage":{"input_tokens":7,"output_tokens":3}}') == Tokens(7, 3, "usage")


def test_llama_cpps_timings_count_what_was_cached_too():
    assert of_answer(TIMINGS) == Tokens(7, 9, "timings")
    assert of_answer(b'{"timings":{"predicted_n":9}}') == Tokens(0, 9, "timings")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"text", b"[]", b"null", b"\xff", b'{"usage":null}', b'{"usage":[]}', b'{"usage":{"prompt_tokens":"7"}}',
        b"{}", b'{"usage":{}}', b'{"error":{"message":"x"}}', b'{"x":' + b"[" * 10**6,
    ],
)  # fmt: skip
def test_nothing_is_known_of_anything_else(body: bytes):
    assert of_answer(body) is NONE


def test_the_last_event_that_says_it():
    stream = b'data: {"choices":[],"usage":null}\n\ndata: ' + USAGE + b"\n\ndata: [DONE]\n\n"
    assert of_stream(stream, 5) == Tokens(7, 3, "usage")
    assert of_stream(stream.replace(b"\n", b"\r\n"), 5) == Tokens(7, 3, "usage")
    assert of_stream(b"data: " + TIMINGS + b"\n\ndata: " + USAGE + b"\n\n", 5) == Tokens(7, 3, "usage")


RESPONSE = (
    b'{"type":"response.completed","response":{"usage":{"input_tokens":7,"output_tokens":3},"output":"%b"}}'
)


def test_the_answer_in_the_last_event_of_responses():
    stream = b'event: x\ndata: {"type":"response.created","response":{"usage":null}}\n\ndata: ' + RESPONSE
    assert of_stream(stream + b"\n\n", 5) == Tokens(7, 3, "usage")
    assert of_stream(b'data: {"response":"a text","usage":{"prompt_tokens":1}}\n\n', 5) == Tokens(
        1, 0, "usage"
    )


def test_an_event_that_the_tail_does_not_hold_whole():
    told = b"data: " + RESPONSE % (b"x" * 2 * TAIL) + b"\n\n"
    tail = told[-TAIL:] + b"data: [DONE]\n\n"
    assert of_stream(tail, 5, told) == Tokens(7, 3, "usage")
    assert of_stream(tail, 5) == Tokens(None, 5, "chunks")


START = b'data: {"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'


def test_the_first_and_the_last_event_of_messages():
    last = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":3}}\n\n'
    first = b": comment\n\nevent: message_start\n" + START
    assert of_stream(first + last, 5, last, first) == Tokens(7, 3, "usage")
    cached = START.replace(
        b'"output', b'"cache_read_input_tokens":10,"cache_creation_input_tokens":100,"output'
    )
    assert of_stream(last, 5, last, cached) == Tokens(117, 3, "usage")
    assert of_stream(last, 5, last, b"data: {}\n\n") == Tokens(None, 3, "usage")
    assert of_stream(START, 5, START, START) == Tokens(None, 5, "chunks"), "it was cut: 1 is no count"
    both = last.replace(b'{"output', b'{"input_tokens":8,"output')
    assert of_stream(both, 5, both, START) == Tokens(8, 3, "usage")


def test_the_blank_after_the_colon_is_not_needed():
    assert of_stream(b"data:" + USAGE + b"\n\ndata:[DONE]\n\n", 5) == Tokens(7, 3, "usage")


def test_a_text_that_speaks_of_usage_is_none():
    assert of_stream(b'data: {"choices":[{"delta":{"content":"\\"usage\\""}}]}\n\n', 5) == Tokens(
        None, 5, "chunks"
    )


def test_else_chunks_are_counted():
    assert of_stream(b'data: {"choices":[]}\n\ndata: [DONE]\n\n', 5) == Tokens(None, 5, "chunks")
    assert of_stream(b"", 0) is NONE


def test_a_tail_that_begins_in_the_middle_of_an_event():
    assert of_stream(USAGE[10:] + b"\n\ndata: [DONE]\n\n", 2) == Tokens(None, 2, "chunks")
