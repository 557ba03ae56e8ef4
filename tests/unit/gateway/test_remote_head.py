"""What of a request's head leaves the house, and what of an answer's enters it."""

from pilotlight.gateway.remote_head import entering, leaving, said_without, secrets_of, without

CLIENT = [
    (b"Host", b"mine"),
    (b"Authorization", b"Bearer sk-mine"),
    (b"X-Api-Key", b"sk-mine"),
    (b"Cookie", b"a=b"),
    (b"X-Forwarded-For", b"10.0.0.1"),
    (b"x-session-id", b"who"),
    (b"User-Agent", b"curl"),
    (b"Content-Type", b"application/json; charset=utf-8"),
    (b"Accept", b"text/event-stream"),
    (b"Accept-Encoding", b"gzip"),
]


def lines(headers: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in headers.decode().splitlines())


def test_only_what_is_listed_leaves():
    found = lines(leaving(CLIENT, "sk-far", {}))
    assert found.pop("user-agent").startswith("pilotlight/")
    assert found == {
        "content-type": "application/json; charset=utf-8",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "authorization": "Bearer sk-far",
    }


def test_without_a_key_none_is_sent():
    assert "authorization" not in lines(leaving(CLIENT, None, {}))
    assert lines(leaving((), None, {}))["content-type"] == "application/json"


def test_what_is_configured_is_sent_once():
    found = leaving(CLIENT, None, {"Api-Key": "k", "Accept": "*/*"})
    assert lines(found)["api-key"] == "k"
    assert found.count(b"accept: ") == 1


def test_of_an_answer_no_cookie_enters():
    answer = [(b"Content-Type", b"text/event-stream"), (b"Set-Cookie", b"a=b"), (b"x-pilotlight-start", b"cold"),
              (b"Server", b"x"), (b"X-Request-Id", b"r1"), (b"openai-organization", b"o")]  # fmt: skip
    assert entering(answer) == [(b"Content-Type", b"text/event-stream"), (b"X-Request-Id", b"r1")]


def test_what_repeats_our_key_does_not_enter():
    answer = [(b"X-Request-Id", b"for sk-far"), (b"Content-Type", b"application/json")]
    assert entering(answer, ("sk-far",)) == [
        (b"X-Request-Id", b"for ..."),
        (b"Content-Type", b"application/json"),
    ]
    assert said_without(("sk-far",), "Sk-Far and sk-far") == "... and ..."
    assert said_without((), "as it is") == "as it is"


def test_what_a_header_has_of_the_environment_is_a_secret_too():
    env = {
        "TOKEN": "t0ken-of-the-far-house",
        "PART": "t0ken-of-the-far",
        "STAGE": "production",
        "OTHER": "x" * 30,
    }
    own = {"x-token": "Token t0ken-of-the-far-house", "x-stage": "production"}
    found = secrets_of("sk-far", own, env)
    assert found == ("t0ken-of-the-far-house", "t0ken-of-the-far", "sk-far")
    assert without(found, b"t0ken-of-the-far-house in production, sk-far") == b"... in production, ..."
    assert secrets_of(None, {}, env) == ()
