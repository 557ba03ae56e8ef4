"""What holds of providers, and between them and the rest of a file: a function for each rule."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import SplitResult, urlsplit

from pilotlight.spec.model import Provider
from pilotlight.spec.model_rules import Faults
from pilotlight.spec.provider import Rates, Spending
from pilotlight.spec.wants import DEFAULTS
from pilotlight.spec.whole import File
from pilotlight.spec.wording import instead, variable
from pilotlight.spec.written import Where

_FORM = "write it like https://api.example.com/v1"
_ENDINGS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/rerank")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name; RFC 9110, section 5.6.2."""
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "cookie"})
"""Headers that say how the request is sent, which is not for a configuration to say."""


def _each(file: File) -> Iterator[tuple[Where, Provider]]:
    for name, provider in file.config.providers.items():
        yield ("providers", name), provider


def _url(provider: Provider) -> SplitResult | None:
    """None where it is no address."""
    try:
        url = urlsplit(provider.base_url)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    printable = (
        provider.base_url.isascii() and provider.base_url.isprintable() and " " not in provider.base_url
    )
    return url if good and printable else None


def base_urls_are_addresses(file: File) -> Faults:
    for where, provider in _each(file):
        at = (*where, "base_url")
        if at in file.written.bad:
            continue
        url = _url(provider)
        shown = file.written.texts.get(at, "")
        if url is None:
            yield at, f"{shown!r} is not an address; {_FORM}"
        elif url.username is not None or url.password is not None:
            yield (
                at,
                "holds a user or a password; put the key into an environment variable and name it in `key_env`",
            )
        elif url.fragment:
            yield at, f"{shown!r} goes on after its path; leave out what follows #"
        elif "$" in shown.partition("?")[2]:
            yield at, "has a variable after its ?; put a key into `key_env` or into `headers`"
        elif url.path.rstrip("/").endswith(_ENDINGS):
            yield at, f"{shown!r} names a path that is put behind it; end it before that: {_FORM}"
        elif url.scheme == "http" and not _is_here(url.hostname or "") and _has_secret(provider):
            text = "is not encrypted, and the key and what is asked could be read on the way; write https://"
            yield at, text


def _has_secret(provider: Provider) -> bool:
    return provider.key_env is not None or bool(provider.headers)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def provider_headers_can_be_sent(file: File) -> Faults:
    for where, provider in _each(file):
        for name, value in provider.headers.items():
            at = (*where, "headers", name)
            if _HEADER.fullmatch(name) is None:
                yield at, "is no name of a header"
            elif name.lower() in _OURS:
                yield at, "is set by pilotlight; leave it out"
            elif name.lower() == "authorization" and provider.key_env is not None:
                yield at, "is sent with the key of `key_env` already; leave one of them out"
            elif any(ord(c) < 32 or ord(c) == 127 for c in value):
                yield at, "holds a line break or another control character"


def renamed_models_are_known(file: File) -> Faults:
    known = file.models()
    meant = {alias: name for _, name, alias in file.aliases()}
    for where, provider in _each(file):
        for name in provider.models:
            at = (*where, "models", name)
            if name in meant and name not in known:
                yield at, f"{name!r} is an alias; write the model's own name, {meant[name]}"
            elif name not in known:
                yield at, f"{name!r} is not a model of this file{instead(name, known)}"


def idle_pings_come_in_time(file: File) -> Faults:
    for where, provider in _each(file):
        keep = provider.keep_warm
        if keep is None:
            continue
        at = (*where, "keep_warm")
        known = file.models()
        if keep.model not in known:
            yield (*at, "model"), f"{keep.model!r} is not a model of this file{instead(keep.model, known)}"
        elif keep.model in file.config.models and not file.config.models[keep.model].leave_house:
            yield (
                (*at, "model"),
                f"{keep.model!r} has `leave_house: false` and never goes there; name another",
            )
        if keep.requests > provider.max_requests:
            text = f"{keep.requests} at once are more than `max_requests`, {provider.max_requests}"
            yield (*at, "requests"), text
        if keep.every is not None and keep.every >= provider.idle_timeout:
            text = f"{keep.every:g} s is not below `idle_timeout`, {provider.idle_timeout:g} s: it is cold by then"
            yield (*at, "every"), text


def bursts_name_providers(file: File) -> Faults:
    """Also where the model's requests never leave the house: that is said of the requests, and may change."""
    known = file.config.providers
    models = [(("models", name), model) for name, model in file.config.models.items()]
    for where, model in [((DEFAULTS,), file.config.default_model), *models]:
        if model.burst is None:
            continue
        at = (*where, "burst", "provider")
        given = model.burst.provider
        if isinstance(given, str):
            yield from _named([(at, given)], known)
        else:
            places = file.written.items.get(at) or [at] * len(given)
            yield from _named(zip(places, given, strict=True), known)
            if not given:
                yield at, "names no provider; write one, or leave `burst` out"


def _named(named: Iterable[tuple[Where, str]], known: "dict[str, Provider]") -> Faults:
    seen: set[str] = set()
    for place, name in named:
        if name not in known:
            hint = instead(name, known) if known else "; there are no `providers`"
            yield place, f"{name!r} is not a provider of this file{hint}"
        elif name in seen:
            yield place, f"{name!r} is listed already; each is tried once"
        seen.add(name)


def budgets_can_be_spent(file: File) -> Faults:
    """A zero is right, and stops everything; a day above its month is a slip, and so is a limit to what has no
    price."""
    for where, provider in _each(file):
        b = provider.budget
        if b != Spending() and provider.price == Rates():
            text = (
                "stops nothing: without a `price` every request counts as $0; say what the provider charges"
            )
            yield (*where, "budget"), text
            continue
        pairs = (("hour_usd", "day_usd"), ("day_usd", "month_usd"), ("hour_usd", "month_usd"))
        for short, long in pairs:
            less, more = getattr(b, short), getattr(b, long)
            if less is not None and more is not None and less > more:
                yield (*where, "budget", short), f"{less:g} is more than `{long}`, {more:g}"
                break


def simulated_providers_are_declared(file: File) -> Faults:
    known = file.config.providers
    yield from _named(
        ((("simulation", "providers", name), name) for name in file.config.simulation.providers), known
    )


def provider_keys_are_set(file: File) -> Faults:
    for where, provider in _each(file):
        name = provider.key_env
        if name is None:
            continue
        value = file.env.get(name)
        if value is None:
            yield (
                (*where, "key_env"),
                f"{variable(name)} is not set; it holds the provider's key",
            )
        elif not value.strip():
            yield (
                (*where, "key_env"),
                f"{variable(name)} is empty; it holds the provider's key",
            )
        elif value != value.strip() or not value.isascii() or not value.isprintable():
            text = f"{variable(name)} has a space at an end, or a character that no header may have"
            yield (*where, "key_env"), text


_Rules = tuple[tuple[Callable[[File], Faults], tuple[Where, ...]], ...]

RULES: _Rules = (
    (base_urls_are_addresses, (("providers",),)),
    (provider_headers_can_be_sent, (("providers",),)),
    (renamed_models_are_known, (("providers",), ("models",))),
    (idle_pings_come_in_time, (("providers",),)),
    (bursts_name_providers, (("providers",),)),
    (budgets_can_be_spent, (("providers",),)),
    (simulated_providers_are_declared, (("providers",), ("simulation",))),
)

RUNNING: _Rules = ((provider_keys_are_set, (("providers",),)),)
"""Rules that only matter where the file is served and not simulated."""
