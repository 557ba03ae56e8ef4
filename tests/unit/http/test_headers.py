from pilotlight.http.headers import for_client, printable, to_client, to_engine


def sent(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    lines = to_engine([(k.encode(), v.encode()) for k, v in pairs]).decode().split("\r\n")
    assert lines.pop() == ""
    return [(line.split(": ")[0], line.split(": ", 1)[1]) for line in lines]


def test_what_describes_one_connection_ends_with_it():
    kept = ("X-Own", "1"), ("Content-Type", "application/json"), ("User-Agent", "me")
    dropped = (
        ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"), ("Trailer", "X"),
        ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("Proxy-Authorization", "x"),
        ("Proxy-Authenticate", "x"), ("proxy-connection", "x"), ("HOST", "x"), ("content-length", "1"),
        ("Expect", "100-continue"), ("Accept-Encoding", "gzip"),
    )  # fmt: skip
    assert sent(*dropped, *kept) == list(kept)


def test_what_connection_names_ends_too():
    pairs = ("Connection", "close, X-Hop , x-other"), ("X-HOP", "1"), ("X-Other", "1"), ("X-Own", "1")
    assert sent(*pairs) == [("X-Own", "1")]
    assert sent(("Connection", "close"), ("connection", "X-Hop"), ("X-Hop", "1")) == []
    assert sent(("Connection", ",, ,"), ("X-Own", "1")) == [("X-Own", "1")]


def test_what_is_meant_for_us_stays_here():
    assert sent(("Authorization", "Bearer x"), ("X-API-Key", "x"), ("Cookie", "x")) == []
    assert sent(("X-Pilotlight-Class", "batch"), ("X-Pilotlight-Stand-In", "allow")) == []


def test_a_body_that_was_unpacked_is_not_called_packed():
    assert sent(("Content-Encoding", "gzip")) == []


def test_repeated_headers_keep_their_order():
    pairs = [("Accept", "a"), ("X-A", "1"), ("Accept", "b")]
    assert sent(*pairs) == pairs


def test_to_the_client():
    headers = [
        (b"Connection", b"X-Hop"), (b"X-Hop", b"1"), (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3"),
        (b"Date", b"x"), (b"Server", b"x"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b"),
        (b"Content-Encoding", b"gzip"), (b"Access-Control-Allow-Origin", b"http://127.0.0.1"),
        (b"X-Pilotlight-Start", b"mine"), (b"x-pilotlight-served-model", b"mine"),
    ]  # fmt: skip
    assert to_client(headers) == b"Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Encoding: gzip\r\n"
    assert list(for_client(headers).items()) == [
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
        ("Content-Encoding", "gzip"),
    ]


def test_printable():
    assert printable(None) is None
    assert printable("nä") == "nä"
    assert printable("a\udcffb") == "a?b"
    assert printable("x" * 1000) == "x" * 200
