from pathlib import Path

import pytest

import pilotlight.cost
from pilotlight.cost.book import SECTIONS, Book, merged, parse
from pilotlight.cost.declared import EXAMPLES_OF
from pilotlight.errors import ConfigError

SHIPPED = Path(pilotlight.cost.__file__).with_name("prices.yaml").read_text()


def test_the_shipped_book_has_prices_of_every_kind_with_a_date_and_a_source():
    book = parse(SHIPPED, "prices.yaml")
    assert book.date == EXAMPLES_OF
    for name, section in book.sections().items():
        assert section, name
        assert all(entry.source != "not said" for entry in section.values())


def test_a_price_by_the_month_and_one_by_the_hour_come_to_seconds():
    book = parse("dedicated:\n  a: {month_usd: 2628}\n  b: {hour_usd: 3.6}\n", "b.yaml")
    assert [e.second_usd for e in book.dedicated.values()] == pytest.approx([0.001, 0.001])


def test_own_entries_replace_shipped_ones_and_keep_their_own_date():
    shipped = parse("date: 2026-01-01\ndedicated: {a: {hour_usd: 1}, b: {hour_usd: 2}}", "s.yaml")
    own = parse("date: 2026-05-05\ndedicated: {b: {hour_usd: 3}, c: {hour_usd: 4}}", "o.yaml")
    found = merged(shipped, own)
    assert {n: e.hour_usd for n, e in found.book.dedicated.items()} == {"a": 1, "b": 3, "c": 4}
    assert found.own == {("dedicated", "b"), ("dedicated", "c")}
    assert found.book.date_of(found.book.dedicated["a"]) == "2026-01-01"
    assert found.book.date_of(found.book.dedicated["b"]) == "2026-05-05"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "f.yaml: is empty"),
        ("dedicatd: {}", "f.yaml:1: dedicatd: is not a key here; did you mean `dedicated`?"),
        (
            "dedicated:\n  x:\n    source: me\n",
            "f.yaml:2: dedicated.x: give one of `month_usd` and `hour_usd`",
        ),
        ("dedicated:\n  x: {hour_usd: 1, month_usd: 2}\n", "f.yaml:2: dedicated.x: give one of"),
        ("tokens:\n  x: {million_input_usd: 1}\n", "f.yaml:2: tokens.x: `million_output_usd` is missing"),
        ("functions: 3", "f.yaml:1: functions: expected a mapping"),
        ("functions:\n  f: {gb_second_usd: 0}", "f.yaml:2: functions.f.gb_second_usd: 0 is too small"),
        ("date: 2026-13-01", "f.yaml:1: date: '2026-13-01' is no day"),
        ("date: soon", "f.yaml:1: date: 'soon' is not allowed; write a day like 2026-06-30"),
        ("managed:\n  m: {hour_usd: 1, surcharge: 15}", "f.yaml:2: managed.m.surcharge: 15 is too large"),
        ("a: [", "f.yaml:1"),
    ],
)
def test_a_wrong_book_says_what_is_wrong_and_where(text: str, fault: str):
    with pytest.raises(ConfigError) as e:
        parse(text, "f.yaml")
    assert str(e.value).startswith(fault)


def test_every_section_is_a_field_of_the_book():
    assert {*SECTIONS, "date"} == set(Book.__struct_fields__)
