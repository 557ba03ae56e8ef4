import pytest

from pilotlight.errors import RequestError
from pilotlight.http.local import refuse_strangers


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None),
        ("localhost", None),
        ("LOCALHOST:8080", None),
        ("127.0.0.1:8080", "http://127.0.0.1:3000"),
        ("127.8.9.1", "http://localhost"),
        ("[::1]:8080", "https://[::1]:1"),
    ],
)
def test_programs_of_this_machine(host: str | None, origin: str | None):
    refuse_strangers(host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8080", None),
        ("127.0.0.1.evil.example", None),
        ("localhost@evil.example", None),
        ("192.168.0.7:8080", None),
        ("", None),
        ("[::1", None),
        ("localhost:8080", "https://evil.example"),
        ("localhost:8080", "http://localhost.evil.example"),
        ("localhost:8080", "null"),
        ("localhost:8080", ""),
    ],
)
def test_strangers(host: str | None, origin: str | None):
    with pytest.raises(RequestError) as caught:
        refuse_strangers(host, origin)
    assert (caught.value.status, caught.value.code) == (403, "not_local")
