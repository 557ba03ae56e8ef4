"""How many tokens an answer had, and who says so."""

import msgspec

from pilotlight.http.errors import NO_JSON


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    """As /v1/messages and /v1/responses call them."""
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    """Of /v1/messages, which does not count them as `input_tokens`."""
    cache_read_input_tokens: int | None = None


class _Timings(msgspec.Struct, gc=False):
    """llama.cpp's own, in the last chunk of a stream that was not asked for usage."""

    prompt_n: int | None = None
    cache_n: int | None = None
    predicted_n: int | None = None


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    timings: _Timings | None = None


class _Event(msgspec.Struct, gc=False):
    response: _Answer | None = None
    """Of /v1/responses, whose last event has the whole answer in it."""
    message: _Answer | None = None
    """Of /v1/messages, whose first event has the prompt's tokens, and its last but one those of the answer."""


class Tokens(msgspec.Struct, frozen=True, gc=False):
    prompt: int | None
    output: int | None
    source: str | None
    """`usage`, `timings`, `chunks`, `estimated` (of a provider that does not say, or says what cannot be) or None."""


NONE = Tokens(None, None, None)
_decode = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode
TAIL = 4096
"""Bytes of a stream that are kept, at least, to look for usage in its last events."""


def of_answer(body: bytes) -> Tokens:
    """From a whole JSON answer; nothing is known when it is not one."""
    try:
        return _said(_decode(body))
    except NO_JSON:
        return NONE


def _said(answer: _Answer | None) -> Tokens:
    if answer is None:
        return NONE
    u = answer.usage
    if u is not None and u.prompt_tokens is not None:
        return Tokens(u.prompt_tokens, u.completion_tokens or 0, "usage")
    if u is not None and u.input_tokens is not None:
        cached = (u.cache_creation_input_tokens or 0) + (u.cache_read_input_tokens or 0)
        return Tokens(u.input_tokens + cached, u.output_tokens or 0, "usage")
    if u is not None and u.output_tokens is not None:
        return Tokens(None, u.output_tokens, "usage")
    t = answer.timings
    if t is not None and t.predicted_n is not None:
        return Tokens((t.prompt_n or 0) + (t.cache_n or 0), t.predicted_n, "timings")
    return NONE


def of_stream(tail: bytes, chunks: int, told: bytes = b"", first: bytes = b"") -> Tokens:
    """The last event that says it, else the events with data counted as tokens.

    `tail`: its last bytes. `told`: the last of its events that speak of usage, where the tail does not hold them whole.
    `first`: its first.
    """
    found = _last(tail)
    if found is NONE:
        found = _last(told)
    if found is NONE:
        return Tokens(None, chunks, "chunks") if chunks else NONE
    if not found.prompt and (prompt := _prompt(first)) is not None:
        return Tokens(prompt, found.output, found.source)
    return found


def _last(events: bytes) -> Tokens:
    for line in reversed(events.split(b"\n")):
        if line.startswith(b"data:") and (b'"usage"' in line or b'"timings"' in line):
            found = of_answer(line[5:])
            if found is NONE and (event := _event(line[5:])) is not None:
                found = _said(event.response)
            if found is not NONE:
                return found
    return NONE


def _prompt(first: bytes) -> int | None:
    """As the first event of /v1/messages says it."""
    for line in first.split(b"\n"):
        event = _event(line[5:]) if line.startswith(b"data:") else None
        if event is not None and event.message is not None:
            return _said(event.message).prompt
    return None


def _event(data: bytes) -> _Event | None:
    try:
        return _decode_event(data)
    except NO_JSON:
        return None
