"""How many tokens an answer had, and who says so."""

import msgspec


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    """As /v1/messages and /v1/responses call them."""
    output_tokens: int | None = None


class _Timings(msgspec.Struct, gc=False):
    """llama.cpp's own, in the last chunk of a stream that was not asked for usage."""

    prompt_n: int | None = None
    cache_n: int | None = None
    predicted_n: int | None = None


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    timings: _Timings | None = None


class Tokens(msgspec.Struct, frozen=True, gc=False):
    prompt: int | None
    output: int | None
    source: str | None
    """`usage`, `timings`, `chunks`, `estimated` (of a provider that does not say, or says what cannot be) or None."""


NONE = Tokens(None, None, None)
_decode = msgspec.json.Decoder(_Answer).decode
TAIL = 4096
"""Bytes of a stream that are kept, at least, to look for usage in its last events."""


def of_answer(body: bytes) -> Tokens:
    """From a whole JSON answer; nothing is known when it is not one."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NONE
    u = answer.usage
    if u is not None and u.prompt_tokens is not None:
        return Tokens(u.prompt_tokens, u.completion_tokens or 0, "usage")
    if u is not None and u.input_tokens is not None:
        return Tokens(u.input_tokens, u.output_tokens or 0, "usage")
    t = answer.timings
    if t is not None and t.predicted_n is not None:
        return Tokens((t.prompt_n or 0) + (t.cache_n or 0), t.predicted_n, "timings")
    return NONE


def of_stream(tail: bytes, chunks: int) -> Tokens:
    """From the last bytes of a stream: the last event that says it, else the events with data counted as tokens."""
    for line in reversed(tail.split(b"\n")):
        if line.startswith(b"data: {") and (b'"usage"' in line or b'"timings"' in line):
            found = of_answer(line[6:])
            if found is not NONE:
                return found
    return Tokens(None, chunks, "chunks") if chunks else NONE
