import pytest

from pilotlight.gateway.usage import NONE, Tokens, of_answer, of_stream

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


def test_a_text_that_speaks_of_usage_is_none():
    assert of_stream(b'data: {"choices":[{"delta":{"content":"\\"usage\\""}}]}\n\n', 5) == Tokens(
        None, 5, "chunks"
    )


def test_else_chunks_are_counted():
    assert of_stream(b'data: {"choices":[]}\n\ndata: [DONE]\n\n', 5) == Tokens(None, 5, "chunks")
    assert of_stream(b"", 0) is NONE


def test_a_tail_that_begins_in_the_middle_of_an_event():
    assert of_stream(USAGE[10:] + b"\n\ndata: [DONE]\n\n", 2) == Tokens(None, 2, "chunks")
