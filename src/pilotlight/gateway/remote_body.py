"""A request's body as a provider gets it, and how large its answer can become. Read only where a model may burst."""

from typing import Any

import msgspec
from msgspec import Raw

from pilotlight.fleet.provider import Remote
from pilotlight.http.errors import NO_JSON

MOST_CHOICES = 128
"""Answers to one request, as OpenAI bounds `n`; one that asks for more stays in the house."""
MOST_TOKENS = 2**31
"""A limit above this says nothing."""
PICTURE = 4096
"""Tokens that one picture, sound or file counts as at most [G]; its address may be shorter than that."""
_ADDRESSES = (b"_url", b"input_audio", b"file_id")

LIMITS = {
    "/v1/chat/completions": "max_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
    "/v1/messages": "max_tokens",
}
"""The field that bounds an answer, by path; the other paths give no text. Of chats a provider may want another."""
CHAT = "/v1/chat/completions"


class _Sizes(msgspec.Struct, gc=False):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    prompt: Raw = Raw()
    previous_response_id: str | None = None
    conversation: Raw = Raw()
    background: bool | None = None

    def limit(self) -> int | None:
        """The largest that is given: which of them a provider heeds is its own matter."""
        given = (self.max_tokens, self.max_completion_tokens, self.max_output_tokens)
        return max((number for number in given if number is not None), default=None)


_decode = msgspec.json.Decoder(_Sizes).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode


def remote(path: str, body: bytes, hedge: bool = False) -> Remote | None:
    """The bounds of a request; None for one that cannot be bounded, or that lives on what an earlier one left where
    that was answered."""
    try:
        sizes = _decode(body)
        choices = _choices(sizes)
    except NO_JSON:
        return None
    limit = sizes.limit()
    stateful = (
        sizes.previous_response_id or sizes.background or bytes(sizes.conversation) not in (b"", b"null")
    )
    bounded = limit is None or 1 <= limit <= MOST_TOKENS
    if stateful or not bounded or not 1 <= choices <= MOST_CHOICES:
        return None
    tokens = len(body) + PICTURE * sum(body.count(word) for word in _ADDRESSES)
    if path not in LIMITS:
        return Remote(tokens, 0, hedge)
    return Remote(tokens, None if limit is None else limit * choices, hedge, choices)


def _choices(sizes: _Sizes) -> int:
    """How many answers are generated: for each prompt of a list as many as are asked for. 0 for nonsense."""
    asked = [1 if number is None else number for number in (sizes.n, sizes.best_of)]
    if min(asked) < 1:
        return 0
    prompts = 1
    if memoryview(sizes.prompt)[:1].tobytes() == b"[":
        items = _decode_items(sizes.prompt)
        if items and bytes(items[0])[:1] in (b'"', b"["):
            prompts = len(items)
    return max(asked) * prompts


def for_provider(
    path: str, body: bytes, model: str, most: int, limit_field: str = "max_tokens"
) -> tuple[bytes, int]:
    """The body with the provider's name for the model, and, where it says no limit, with one such that all its
    answers together have at most `most` tokens, or one each; and how many tokens they can have.

    `body` is one that `remote` has bounds for. `limit_field`: which one a chat completion has for its limit.
    """
    fields: dict[str, Any] = dict(_decode_fields(body))
    fields["model"] = model
    bound, name = 0, limit_field if path == CHAT else LIMITS.get(path)
    if name is not None:
        sizes = _decode(body)
        choices, limit = _choices(sizes), sizes.limit()
        if limit is None:
            limit = fields[name] = max(1, most // choices)
        bound = limit * choices
    return msgspec.json.encode(fields), bound
