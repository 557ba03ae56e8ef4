"""Class and stand-in of a request, by its headers and its key."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pilotlight.errors import RequestError
from pilotlight.fleet.classes import BATCH, CRITICAL, STANDARD
from pilotlight.gateway.terms import PLAIN, Leave, Terms, leave, terms
from pilotlight.http.keys import Key
from pilotlight.spec.model import ApiKey, Model

MODELS = {
    "m": Model(engine="command", cmd="x", stand_in="small"),
    "small": Model(engine="command", cmd="x"),
    "named": Model(engine="command", cmd="x", served_name="org/small"),
}


def key(request_class: str = "standard", stand_in: bool = False, models: frozenset[str] | None = None) -> Key:
    spec = ApiKey(name="k", key_env="K", request_class=request_class, stand_in=stand_in)  # pyright: ignore[reportArgumentType]
    return Key(spec, "secret", models)


def of(key: Key | None = None, model: str = "m", **headers: str) -> Terms:
    return terms({f"x-pilotlight-{name}": said for name, said in headers.items()}, key, MODELS[model], MODELS)


def allow(key: Key | None = None, model: str = "m", said: str = "allow") -> str | None:
    found = terms({"x-pilotlight-stand-in": said}, key, MODELS[model], MODELS).stand_in
    return None if found is None else found.deployment


def refusal(key: Key | None = None, **headers: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        of(key, **headers)
    return caught.value


def test_who_says_nothing_has_plain_terms():
    assert of() is PLAIN
    assert of(key()) is PLAIN
    assert (PLAIN.request_class, PLAIN.rank, PLAIN.stand_in) == ("standard", STANDARD, None)


@pytest.mark.parametrize("said", ["critical", " Critical ", "CRITICAL"])
def test_without_keys_any_class_may_be_asked_for(said: str):
    assert of(**{"class": said}).rank == CRITICAL


@pytest.mark.parametrize(
    ("of_key", "said", "rank"),
    [
        ("critical", None, CRITICAL),
        ("batch", None, BATCH),
        ("critical", "batch", BATCH),
        ("critical", "critical", CRITICAL),
        ("standard", "batch", BATCH),
        ("batch", "batch", BATCH),
    ],
)
def test_a_request_may_have_less_than_its_key(of_key: str, said: str | None, rank: int):
    assert of(key(of_key), **({} if said is None else {"class": said})).rank == rank


@pytest.mark.parametrize(
    ("of_key", "said", "instead"),
    [
        ("batch", "critical", "only as batch"),
        ("batch", "standard", "only as batch"),
        ("standard", "critical", "only as standard or batch"),
    ],
)
def test_a_request_may_not_have_more_than_its_key(of_key: str, said: str, instead: str):
    error = refusal(key(of_key), **{"class": said})
    assert (error.status, error.code, error.param) == (403, "class_not_allowed", "x-pilotlight-class")
    assert instead in error.message
    assert f"class: {said}" in error.message


@pytest.mark.parametrize("said", ["", "urgent", "critical,batch", "0", "\udcff", "x" * 5000])
def test_a_class_that_there_is_not_is_told_those_that_there_are(said: str):
    error = refusal(**{"class": said})
    assert (error.status, error.code) == (400, "invalid_class")
    assert error.message.endswith("give critical, standard or batch")
    assert len(error.message) < 300


@pytest.mark.parametrize("said", ["", "yes", "true", "small", "allow, deny"])
def test_a_stand_in_is_allowed_or_denied_and_nothing_else(said: str):
    error = refusal(**{"stand-in": said})
    assert (error.status, error.code) == (400, "invalid_stand_in")
    assert error.message.endswith("give allow or deny")


def test_a_stand_in_answers_where_the_request_or_its_key_allows_it():
    assert allow() == "small"
    assert allow(said=" ALLOW ") == "small"
    assert allow(key()) == "small"
    assert of().stand_in is None
    assert of(key()).stand_in is None
    found = of(key(stand_in=True)).stand_in
    assert found is not None
    assert found.deployment == "small"


def test_the_request_overrides_its_key():
    assert allow(key(stand_in=True), said="deny") is None


def test_no_stand_in_that_the_key_may_not_use():
    assert allow(key(models=frozenset({"m"}))) is None
    assert allow(key(models=frozenset({"m", "small"}))) == "small"


def test_a_model_without_one_has_none():
    assert allow(model="small") is None


def test_it_is_known_that_one_may_answer_where_there_is_none_too():
    assert not of().may_stand_in and not of(key(stand_in=True), **{"stand-in": "deny"}).may_stand_in
    assert of(key(stand_in=True)).may_stand_in
    assert of(model="small", **{"stand-in": "allow"}).may_stand_in
    assert not of(key(models=frozenset({"m"})), **{"stand-in": "allow"}).may_stand_in, "not `small`"


def test_one_that_is_not_declared_any_more_is_none():
    assert terms({"x-pilotlight-stand-in": "allow"}, None, MODELS["m"], {"m": MODELS["m"]}).stand_in is None


def test_the_name_by_which_its_engine_knows_it():
    def called(name: str) -> str:
        model = Model(engine="command", cmd="x", stand_in=name)
        found = terms({"x-pilotlight-stand-in": "allow"}, None, model, MODELS).stand_in
        assert found is not None
        return found.served_name

    assert (called("small"), called("named")) == ("small", "org/small")


def leaves(key: Key | None = None, **headers: str) -> Leave | None:
    said = {f"x-pilotlight-{name.replace('_', '-')}": value for name, value in headers.items()}
    return leave(said, key)


def inside() -> Key:
    return Key(ApiKey(name="k", key_env="K", leave_house=False), "secret", None)


def test_a_request_may_leave_unless_it_or_its_key_forbids_it():
    assert leaves() == leaves(key()) == leaves(leave_house="allow") == Leave()
    assert leaves(leave_house="deny") is None
    assert leaves(inside()) is None
    assert leaves(inside(), leave_house="allow", hedge="allow") is None, "nothing overrides the key"


@pytest.mark.parametrize("both", [("allow", "deny"), ("deny", "allow")])
def test_of_a_header_that_is_there_twice_the_stricter_holds(both: tuple[str, str]):
    def twice(name: str, values: tuple[str, str] = both) -> CIMultiDictProxy[str]:
        return CIMultiDictProxy(CIMultiDict([(f"X-Pilotlight-{name}", said) for said in values]))

    assert leave(twice("Leave-House"), key()) is None
    assert leave(twice("Hedge"), key()) == Leave()
    assert terms(twice("Stand-In"), None, MODELS["m"], MODELS).stand_in is None
    assert terms(twice("Class", ("batch", "critical")), None, MODELS["m"], MODELS).rank == BATCH
    assert terms(twice("Class", ("critical", "batch")), None, MODELS["m"], MODELS).rank == BATCH
    with pytest.raises(RequestError):
        leave(twice("Leave-House", ("allow", "maybe")), key())


def test_a_hedge_is_asked_for():
    assert leaves(hedge="allow") == Leave(hedge=True)
    assert leaves(hedge="deny") == Leave()


@pytest.mark.parametrize("header", ["hedge", "leave_house"])
def test_what_is_neither_is_refused(header: str):
    with pytest.raises(RequestError) as caught:
        leaves(**{header: "perhaps"})
    assert (caught.value.status, caught.value.code) == (400, f"invalid_{header}")
