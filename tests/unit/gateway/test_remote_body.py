"""How large a request can get, and how it is written anew for a provider."""

import json
from typing import Any

import pytest

from pilotlight.fleet.provider import Provider, Remote, Tariff
from pilotlight.gateway.remote_body import MOST_CHOICES, PICTURE, for_provider, remote
from pilotlight.policy import budget

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


def bounds(path: str = CHAT, **fields: Any) -> Remote | None:
    return remote(path, json.dumps({"model": "m", **fields}).encode())


def outputs(path: str = CHAT, **fields: Any) -> int | None:
    found = bounds(path, **fields)
    assert found is not None
    return found.output_tokens


def test_no_token_is_shorter_than_a_byte():
    body = b'{"model": "m", "prompt": "hello"}'
    assert remote(TEXT, body) == Remote(len(body))


def test_a_limit_bounds_the_answer_and_the_largest_counts():
    assert outputs() is None
    assert outputs(max_tokens=7) == 7
    assert outputs(max_completion_tokens=9, max_tokens=7) == 9
    assert outputs("/v1/responses", max_output_tokens=5) == 5


def test_every_choice_of_every_prompt_counts():
    assert outputs(max_tokens=7, n=3) == 21
    assert outputs(TEXT, max_tokens=7, n=2, best_of=4) == 28
    assert outputs(TEXT, max_tokens=7, prompt=["a", "b"], n=2) == 28
    assert outputs(TEXT, max_tokens=7, prompt=[[1, 2], [3]]) == 14
    assert outputs(TEXT, max_tokens=7, prompt=[1, 2, 3]) == 7, "one prompt, in tokens"


def test_what_gives_no_text_has_no_output():
    assert outputs("/v1/embeddings", input="a") == 0


def test_a_picture_counts_for_more_than_its_address():
    part = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    found = bounds(messages=[{"role": "user", "content": [part]}])
    assert found is not None
    assert found.input_tokens >= PICTURE


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": 2**40},
        {"max_tokens": "many"},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"n": 0},
        {"n": -3},
        {"n": MOST_CHOICES + 1},
        {"prompt": ["a"] * (MOST_CHOICES + 1)},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
    ],
    ids=str,
)
def test_what_cannot_be_bounded_stays(fields: dict[str, Any]):
    assert bounds(**fields) is None


def test_what_is_null_is_not_said():
    assert bounds(max_tokens=None, n=None, previous_response_id=None, conversation=None) is not None


def test_a_hedge_is_passed_on():
    found = remote(CHAT, b'{"model": "m"}', hedge=True)
    assert found is not None
    assert found.hedge


def written(path: str, most: int = 100, **fields: Any) -> tuple[dict[str, Any], int]:
    body, bound = for_provider(path, json.dumps({"model": "m", **fields}).encode(), "org/m", most)
    return json.loads(body), bound


def test_the_model_goes_by_the_providers_name_and_the_rest_stays():
    body, bound = written(CHAT, max_tokens=5, messages=[{"role": "user", "content": "é"}], x=1.50)
    assert body == {
        "model": "org/m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "é"}],
        "x": 1.5,
    }
    assert bound == 5


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (CHAT, "max_tokens"),
        (TEXT, "max_tokens"),
        ("/v1/responses", "max_output_tokens"),
        ("/v1/messages", "max_tokens"),
    ],
)
def test_one_without_a_limit_gets_the_one_its_path_knows(path: str, field: str):
    body, bound = written(path)
    assert (body[field], bound) == (100, 100)


def test_a_chats_limit_goes_where_the_provider_wants_it():
    for path, field in ((CHAT, "max_completion_tokens"), (TEXT, "max_tokens")):
        body, bound = for_provider(path, b'{"model": "m"}', "m", 100, "max_completion_tokens")
        assert json.loads(body) == {"model": "m", field: 100}
        assert bound == 100


def test_several_choices_share_the_limit():
    body, bound = written(CHAT, n=3)
    assert (body["max_tokens"], bound) == (33, 99)


@pytest.mark.parametrize("most", [1, 10, 128, 1000])
@pytest.mark.parametrize("n", [1, 3, 128])
def test_what_is_set_aside_holds_all_that_the_choices_can_be(most: int, n: int):
    """An answer has a token at least, so many choices have more than the limit of a provider."""
    found = bounds(n=n)
    assert found is not None
    body, bound = written(CHAT, most, n=n)
    far = Provider("far", Tariff(output_token=1.0), max_output_tokens=most)
    assert body["max_tokens"] * n == bound <= budget.dearest(far, found)


def test_a_limit_that_is_null_is_none():
    assert written(CHAT, max_tokens=None)[0]["max_tokens"] == 100


def test_an_embedding_gets_no_limit():
    assert written("/v1/embeddings", input="a") == ({"model": "org/m", "input": "a"}, 0)
