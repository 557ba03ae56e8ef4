"""How a provider's answer is taken."""

import pytest

from pilotlight.gateway.remote_rules import Refused, judge, judge_payload, retry_after, same_model, word
from pilotlight.policy.breaker import MOST_ASKED

JSON = (b"Content-Type", b"application/json; charset=utf-8")
EVENTS = (b"content-type", b"text/event-stream")


def refused(status: int, *headers: tuple[bytes, bytes], stream: bool = False) -> Refused:
    with pytest.raises(Refused) as e:
        judge(status, headers, stream, wall=1000.0)
    return e.value


def test_good_answers_are_taken():
    judge(200, (JSON,), stream=False, wall=0.0)
    judge(200, (EVENTS, (b"content-encoding", b"identity")), stream=True, wall=0.0)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_the_client_did_wrong_is_passed_on(status: int):
    judge(status, (), stream=True, wall=0.0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "busy"), (503, "busy"), (401, "denied"), (402, "denied"), (403, "denied"), (500, "error"), (502, "error"),
     (404, "error"), (405, "error"), (301, "error"), (308, "error"), (204, "error"), (418, "error")],
)  # fmt: skip
def test_the_others_are_declined_each_as_its_kind(status: int, kind: str):
    assert refused(status, JSON).kind == kind


def test_a_redirect_names_the_host_and_nothing_secret():
    said = refused(302, (b"Location", b"https://user:pw@other.example/v1?key=sk-1")).reason
    assert "other.example" in said
    assert "sk-1" not in said
    assert "pw" not in said


def test_a_strange_type_has_been_worked_for():
    assert refused(200, (b"content-type", b"text/html")).worked
    assert refused(200, JSON, stream=True).worked
    assert refused(200).worked
    assert not refused(500, JSON).worked


def test_a_packed_answer_is_none():
    assert "gzip" in refused(200, JSON, (b"Content-Encoding", b"gzip")).reason


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("1.5", 1.5), ("0", 0.0), ("-3", 0.0), ("1e9", MOST_ASKED), ("inf", MOST_ASKED),
     ("Thu, 01 Jan 1970 00:17:00 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
     ("Thu, 01 Jan 2099 00:00:00 GMT", MOST_ASKED), ("nan", None), ("soon", None), ("", None), (None, None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_has_an_end(said: str | None, seconds: float | None):
    assert retry_after(said, wall=1000.0) == seconds


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("m", "m"), ("Org/M", "m"), ("gpt-4o", "gpt-4o-2024-08-06"),
     ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
     ("m", "m-fp8"), ("m", "/models/m.gguf"), ("m", "accounts/x/models/m"), ("m", "m:free"), ("gpt-4-0613", "gpt-4")],
)  # fmt: skip
def test_a_date_a_format_or_a_path_makes_no_other_model(asked: str, answered: str):
    assert same_model(asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("gpt-4o", "gpt-4o-mini"), ("llama-3-70b", "llama-3-8b"), ("model", "model-2"), ("gpt-4", "gpt-4.1"),
     ("m", "other"),
     ("a-latest", "b-latest"), ("m", ""), ("m", "mm")],
)  # fmt: skip
def test_another_model_is_another_model(asked: str, answered: str):
    assert not same_model(asked, answered)


@pytest.mark.parametrize("text", ["", "two words", "a\nb", "\x1b[31m", "a" * 101, "\ud800", "é"])
def test_what_is_no_name_is_not_quoted(text: str):
    assert word(text) == "something that is no name"


def test_a_name_is_quoted():
    assert word("org/model-2:free@1") == "'org/model-2:free@1'"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"model": "m-2024-08-06"}',
        b'{"response": {"model": "m"}}',
        b'{"model": null, "error": null}',
        b'{"message": 7}',
        b"none",
    ],
)
def test_a_payload_that_says_nothing_else_is_taken(payload: bytes):
    judge_payload(payload, "m", "p")


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (
            b'{"model": "n"}',
            "it was asked for 'm' and answered for 'n'; if that is right, say so in providers.p.models",
        ),
        (b'{"message": {"model": "n"}}', "answered for 'n'"),
        (b'{"model": 7}', "is no text"),
        (b'{"error": {"message": "no"}}', "is an error"),
    ],
)
def test_one_of_another_model_or_an_error_is_refused(payload: bytes, text: str):
    with pytest.raises(Refused, match=text):
        judge_payload(payload, "m", "p")
