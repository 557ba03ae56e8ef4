"""OpenAI's error body, from whatever it is that went wrong."""

import json

import pytest

from pilotlight.errors import RequestError
from pilotlight.http.errors import as_error, error_bytes, error_headers


def test_error_bodies():
    error = RequestError(401, "bad \udcff", code="c", param="p")
    assert json.loads(error_bytes(error)) == {
        "error": {"message": "bad ?", "type": "invalid_request_error", "param": "p", "code": "c"}
    }
    assert error_headers(error)["WWW-Authenticate"] == "Bearer"
    assert RequestError(500, "x").type == "server_error"
    assert error_headers(RequestError(503, "x", retry_after=3.2))["Retry-After"] == "4"


@pytest.mark.parametrize(
    "payload", [b"", b"text", b"\xff", b"{}", b'{"detail":"x"}', b"[1]", b'{"error":null}', b"[" * 10_000]
)
def test_an_engines_error_that_is_none_of_openais_becomes_one(payload: bytes):
    body = json.loads(as_error(payload, 418))
    assert body["error"]["code"] == "engine_error"
    assert "418" in body["error"]["message"]


@pytest.mark.parametrize("payload", [b'{"error":{"message":"x"}}', b' {"error" : "x"}\n'])
def test_an_engines_error_that_is_one_stays_as_it_is(payload: bytes):
    assert as_error(payload, 418) == payload
