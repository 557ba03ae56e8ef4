import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotlight.errors import RequestError
from pilotlight.gateway.body import keep_alive_of, read_head, rewrite
from pilotlight.gateway.front import Directory


def refused(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        head = read_head(body)
        keep_alive_of(head)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nonsense", b'{"model":"m"', b'{"model":"m"}x', b'{"model":"m",}', b"{'model':'m'}",
        b'{"model":"a\nb"}',
        b'\xef\xbb\xbf{"model":"m"}', b'{"model":"\xff"}', b'{"model":"\\ud800"}', b'{"model":"m","a":\x00}',
    ],
)  # fmt: skip
def test_bad_json(body: bytes):
    assert refused(body).param is None


def test_half_a_character_is_said_to_be_that():
    assert "half of a character" in str(refused(b'{"model":"\\ud800"}'))
    assert "half of a character" not in str(refused(b'{"model":"m"'))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"Model":"m"}', "model"),
        (b'{"model":null}', "model"),
        (b'{"model":1}', "model"),
        (b'{"model":["m"]}', "model"),
        (b"[]", None),
        (b"null", None),
        (b'"m"', None),
        (b'{"model":"m","stream":"true"}', "stream"),
        (b'{"model":"m","stream":1}', "stream"),
        (b'{"model":"m","keep_alive":true}', "keep_alive"),
        (b'{"model":"m","keep_alive":{}}', "keep_alive"),
        (b'{"model":"m","keep_alive":"soon"}', "keep_alive"),
        (b'{"model":"m","keep_alive":""}', "keep_alive"),
        (b'{"model":"m","keep_alive":1e999}', "keep_alive"),
        (b'{"model":"m","keep_alive":1e308}', "keep_alive"),
        (b'{"model":"m","keep_alive":"99999999999999999d"}', "keep_alive"),
        (b'{"model":"m","keep_alive":"' + b"9d" * 10**6 + b'"}', "keep_alive"),
        (b'{"model":"m","keep_alive":"' + b"x" * 10**6 + b'"}', "keep_alive"),
    ],
)
def test_a_wrong_field_is_named(body: bytes, param: str | None):
    error = refused(body)
    assert error.param == param
    assert error.code in ("invalid_body", "invalid_keep_alive", "invalid_json")
    assert len(error.message) < 250


def test_a_missing_model_says_where_names_are():
    assert "GET /v1/models" in refused(b"{}").message


@pytest.mark.parametrize("bomb", [b"[" * 10**6, b'{"a":' * 10**6, b"[" * 50_000 + b"]" * 50_000])
def test_nesting_bombs(bomb: bytes):
    assert "nested too deeply" in refused(b'{"model":"m","x":' + bomb + b"}").message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ('"0"', 0), ('"0s"', 0), ("-1", math.inf), ('"-1"', math.inf), ('"-1m"', math.inf),
        ("-0.5", math.inf), ("300", 300), ("0.25", 0.25), ('"5m"', 300), ('"1h30m"', 5400), ('"250ms"', 0.25),
        ('"36500d"', 36500 * 86400),
        ("null", None),
    ],
)  # fmt: skip
def test_keep_alive_in_all_its_forms(value: str, seconds: float | None):
    assert keep_alive_of(read_head(f'{{"model":"m","keep_alive":{value}}}'.encode())) == seconds


def test_no_keep_alive():
    assert keep_alive_of(read_head(b'{"model":"m"}')) is None


def test_the_last_of_two_equal_keys_counts_and_is_all_that_remains():
    body = b'{"model":"a","keep_alive":1,"model":"b","keep_alive":2,"stream":true,"stream":false}'
    head = read_head(body)
    assert (head.model, head.stream, keep_alive_of(head)) == ("b", False, 2)
    sent = rewrite(body, "c", True)
    assert sent.count(b'"model"') == 1
    assert json.loads(sent) == {"model": "c", "stream": False}


VALUES = [
    b"1.0", b"1e3", b"12345678901234567890123", b'"\\u00e4\xc3\xa4\\/"', b"[1,  2 ,3]", b'{"b":1,"a" : 2}', b"null",
    b"-0", b"true",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_unknown_fields_pass_byte_for_byte(value: bytes):
    sent = rewrite(b'{"x": ' + value + b' ,"model":"m","keep_alive":0}', "other", True)
    assert b'"x":' + value in sent.replace(b" ,", b",").replace(b": ", b":") or value in sent
    assert value in sent
    assert b"keep_alive" not in sent
    assert b'"model":"other"' in sent


def test_a_name_is_escaped():
    assert json.loads(rewrite(b'{"model":"m"}', 'a"b\\ü', False))["model"] == 'a"b\\ü'


def test_without_a_name_the_model_stays():
    assert json.loads(rewrite(b'{"keep_alive":1,"model":"m"}', None, True)) == {"model": "m"}


def test_100_kb():
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "ä" * 50_000}]}).encode()
    assert read_head(body).model == "m"
    assert json.loads(rewrite(body, "n", False)) == {**json.loads(body), "model": "n"}


def test_what_the_first_look_passes_over_is_refused_at_the_second():
    body = b'{"model":"m","\\ud800":1}'
    try:
        read_head(body)
    except RequestError:
        return
    with pytest.raises(RequestError):
        rewrite(body, "n", False)


SHORT = st.text(max_size=5)
JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | SHORT


@settings(max_examples=50)
@given(st.dictionaries(SHORT, JSON | st.lists(JSON, max_size=3), max_size=4))
def test_rewriting_changes_nothing_else(fields: dict[str, object]):
    body = json.dumps({**fields, "model": "m", "keep_alive": 5}).encode()
    assert json.loads(rewrite(body, "n", True)) == {
        **{k: v for k, v in fields.items() if k != "keep_alive"},
        "model": "n",
    }


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes):
    try:
        head = read_head(body)
    except RequestError as e:
        assert e.status == 400
    else:
        assert isinstance(head.model, str)


def test_a_name_of_no_model_is_not_repeated_whole():
    with pytest.raises(RequestError) as caught:
        Directory({}).find("n" * 10**6, None)
    assert "'nnn" in caught.value.message and len(caught.value.message) < 250
