"""Endpoints of others that answer what exceeds one's own replicas, and when they are asked."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pilotlight.spec.types import Duration, Name, Positive, PositiveDuration, Template, Text, Variable
from pilotlight.spec.types import doc as _doc

Usd = Annotated[float, Meta(ge=0)]


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider charges; what is given is added up."""

    second_usd: Annotated[
        Usd, _doc("US dollars for each second from sending a request to its last byte.")
    ] = 0.0
    request_usd: Annotated[Usd, _doc("US dollars for each request.")] = 0.0
    million_input_usd: Annotated[Usd, _doc("US dollars for a million tokens of prompts.")] = 0.0
    million_output_usd: Annotated[Usd, _doc("US dollars for a million tokens of answers.")] = 0.0


class Spending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be spent at a provider: a request is not sent if it could exceed it at its dearest."""

    hour_usd: Annotated[Usd | None, _doc("US dollars in an hour of the clock (UTC). Default: no limit.")] = (
        None
    )
    day_usd: Annotated[Usd | None, _doc("US dollars in a day (UTC). Default: no limit.")] = None
    month_usd: Annotated[Usd | None, _doc("US dollars in a calendar month (UTC). Default: no limit.")] = None


class KeepWarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Small requests that keep a provider from going cold, within its budget."""

    model: Annotated[Name, _doc("The model of ours that they ask for.")]
    requests: Annotated[Positive, _doc("Sent at once, so that as many of its instances stay up.")] = 1
    every: Annotated[
        PositiveDuration | None,
        _doc(
            "Seconds without other traffic after which they are sent. Default: four fifths of `idle_timeout`."
        ),
    ] = None


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An OpenAI-compatible endpoint of somebody else."""

    base_url: Annotated[
        Template,
        _doc(
            "Where it serves, as OpenAI's clients want it: `https://api.example.com/v1`. What follows a `?` goes with "
            "every request."
        ),
    ]
    key_env: Annotated[
        Variable | None, _doc("The environment variable that holds its key. Default: none is sent.")
    ] = None
    price: Annotated[Rates, _doc("What it charges.")] = Rates()
    budget: Annotated[Spending, _doc("What may be spent there.")] = Spending()
    max_requests: Annotated[Positive, _doc("Requests in flight there at most.")] = 64
    models: Annotated[
        dict[Name, Text],
        _doc("What it calls our models. A model that is not here goes by its own name."),
    ] = {}
    headers: Annotated[dict[Text, Template], _doc("Sent with every request to it.")] = {}
    first_token: Annotated[
        PositiveDuration, _doc("Time to its first token while it is warm, until it is learned.")
    ] = 1.0
    cold_start: Annotated[
        Duration,
        _doc(
            "How much longer it takes after a time without traffic, until that is learned; 0 for one without."
        ),
    ] = 0.0
    idle_timeout: Annotated[
        PositiveDuration, _doc("Time without traffic after which it is taken to have gone cold.")
    ] = 300.0
    connect_timeout: Annotated[PositiveDuration, _doc("How long opening a connection may take.")] = 5.0
    first_byte_timeout: Annotated[
        PositiveDuration, _doc("How long its first byte may take, its cold start included.")
    ] = 120.0
    request_timeout: Annotated[
        PositiveDuration, _doc("How long an answer may go without a byte once it has begun.")
    ] = 60.0
    max_duration: Annotated[
        PositiveDuration, _doc("How long a request may take there in all; bounds what it can cost.")
    ] = 600.0
    max_output_tokens: Annotated[
        Positive,
        _doc(
            "Tokens of an answer at most, sent as `max_tokens` where a request says none; bounds what it can cost."
        ),
    ] = 4096
    limit_field: Annotated[
        Literal["max_tokens", "max_completion_tokens"],
        _doc(
            "In which field of a chat completion that limit is sent. Some endpoints take only the newer one."
        ),
    ] = "max_tokens"
    keep_warm: Annotated[
        KeepWarm | None, _doc("Pings, for an endpoint that cannot be pinned. Default: none.")
    ] = None


class Burst(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a model's requests may go that exceed its replicas."""

    provider: Annotated[
        Name | tuple[Name, ...],
        _doc(
            "A provider, or several: the first is asked that can take the request and promises its first token within "
            "`objective.wait`; where none does, the one that promises the earliest."
        ),
    ]
    when: Annotated[
        Literal["overflow", "cold"],
        _doc(
            "`overflow`: whenever no replica has a free slot and the provider promises the earlier first token. "
            "`cold`: only while no replica is up."
        ),
    ] = "overflow"
    max_request_usd: Annotated[
        Usd | None,
        _doc(
            "The most that one request may be expected to cost there, in US dollars. Default: "
            "`objective.cold_request_cost_usd`, where that is set, and what the request would cost here; else no limit "
            "but the budget."
        ),
    ] = None
