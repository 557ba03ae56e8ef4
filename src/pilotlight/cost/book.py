"""The price book: what kinds of capacity there are to pay for, and what each costs. Pure: whoever reads files hands in
their text.

Money is in US dollars, times in the unit that a field names; a month has 730 hours, a GB is 2**30 bytes as the sellers
of functions count it.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pilotlight.errors import ConfigError, Problem
from pilotlight.spec.provider import Usd
from pilotlight.spec.read import Reader
from pilotlight.spec.tree import read_tree
from pilotlight.spec.types import Fraction, Memory, Name, Text
from pilotlight.spec.types import doc as _doc

HOURS = 730.0
"""Of a month: a twelfth of a year of 365 days."""

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra={"form": "a day like 2026-06-30"})]
Paid = Annotated[float, Meta(gt=0)]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every price says of itself."""

    source: Annotated[Text, _doc("Where it is from: an address, a contract, a guess.")] = "not said"
    certain: Annotated[bool, _doc("Whether it is a list price that was read, and no range or hearsay.")] = (
        True
    )
    date: Annotated[Day | None, _doc("The day for which it holds. Default: the book's.")] = None


class Dedicated(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One GPU with what belongs to it, rented for long. One of the two prices is given."""

    month_usd: Paid | None = None
    hour_usd: Paid | None = None
    gpu_memory: Memory | None = None

    @property
    def second_usd(self) -> float:
        hour = self.hour_usd if self.hour_usd is not None else (self.month_usd or 0.0) / HOURS
        return hour / 3600


class ServerlessGpu(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One GPU by the second."""

    second_usd: Paid
    gpu_memory: Memory | None = None


class Function(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    million_requests_usd: Usd = 0.0
    gb_second_usd: Paid
    init_billed: Annotated[bool, _doc("Whether the time before the handler runs is billed.")] = True


class Provisioned(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    million_requests_usd: Usd = 0.0
    gb_second_provisioned_usd: Paid
    """For as long as it is kept ready."""
    gb_second_usd: Paid
    """Beside that, while it runs."""


class Managed(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    hour_usd: Paid
    """Of one instance, without the surcharge."""
    surcharge: Fraction
    million_requests_usd: Usd = 0.0


class ActiveCpu(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    vcpu_hour_usd: Paid
    """While it computes."""
    gb_hour_usd: Paid
    """As long as it is there."""
    million_requests_usd: Usd = 0.0


class Tokens(Entry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    million_input_usd: Usd
    million_output_usd: Usd


class Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sections of prices of one kind, each by name."""

    date: Day | None = None
    """The day for which its prices hold."""
    dedicated: dict[Name, Dedicated] = {}
    serverless_gpu: dict[Name, ServerlessGpu] = {}
    functions: dict[Name, Function] = {}
    provisioned: dict[Name, Provisioned] = {}
    managed: dict[Name, Managed] = {}
    active_cpu: dict[Name, ActiveCpu] = {}
    tokens: dict[Name, Tokens] = {}

    def sections(self) -> dict[str, dict[str, Entry]]:
        return {name: getattr(self, name) for name in SECTIONS}

    def date_of(self, entry: Entry) -> str:
        return entry.date or self.date or "undated"


SECTIONS = (
    "dedicated", "serverless_gpu", "functions", "provisioned", "managed", "active_cpu", "tokens",
)  # fmt: skip


class Priced(msgspec.Struct, frozen=True):
    """The examples with an operator's own prices in their place."""

    book: Book
    own: frozenset[tuple[str, str]] = frozenset()
    """Section and name of each that is the operator's."""


def parse(text: str, file: str) -> Book:
    """The book in `text`. `file` is what problems call it. Raises ConfigError with every problem found."""
    root, problems = read_tree(text, file)
    reader = Reader(file, {}, ())
    book = reader.of(Book, root)
    problems += reader.problems
    if isinstance(book, Book):
        problems += _prices_given(book, reader, file)
    if problems or not isinstance(book, Book):
        found = problems or [Problem(file, 0, "", "is empty; `pilotlight prices` shows what a book may hold")]
        raise ConfigError(sorted(dict.fromkeys(found), key=lambda p: p.line))
    return book


def _prices_given(book: Book, reader: Reader, file: str) -> list[Problem]:
    found: list[Problem] = []
    for name, entry in book.dedicated.items():
        if (entry.month_usd is None) == (entry.hour_usd is None):
            key = f"dedicated.{name}"
            line = reader.written.lines.get(("dedicated", name), 0)
            text = "give one of `month_usd` and `hour_usd`; a month has 730 hours"
            found.append(Problem(file, line, key, text))
    if book.date is not None and not _is_day(book.date):
        line = reader.written.lines.get(("date",), 0)
        found.append(Problem(file, line, "date", f"{book.date!r} is no day; write it like 2026-06-30"))
    return found


def _is_day(text: str) -> bool:
    found = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", text)
    return found is not None and 1 <= int(found[2]) <= 12 and 1 <= int(found[3]) <= 31


def merged(shipped: Book, own: Book) -> Priced:
    """Own entries in the place of those of the same section and name. An own one without a date has its book's."""
    sections: dict[str, Any] = {}
    for section in SECTIONS:
        mine = {name: _dated(entry, own) for name, entry in own.sections()[section].items()}
        sections[section] = {**shipped.sections()[section], **mine}
    names = frozenset((section, name) for section in SECTIONS for name in own.sections()[section])
    return Priced(msgspec.structs.replace(shipped, **sections), names)


def _dated(entry: Entry, book: Book) -> Entry:
    return msgspec.structs.replace(entry, date=entry.date or book.date)
