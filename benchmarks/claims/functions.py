"""Functions on CPUs: billed initialisation, active CPU, provisioned concurrency, and where containers begin to pay."""

from collections.abc import Iterator
from importlib.resources import files

from claim import REFINED, REFUTED, REPRODUCED, Claim

from pilotlight.cost import tariffs
from pilotlight.cost.book import HOURS, Book, parse

MILLION = 1e6
MONTH = HOURS * 3600.0
GB = 0.5
"""Memory of the functions that the claims speak of."""


def claims() -> Iterator[Claim]:
    book = parse(files("pilotlight.cost").joinpath("prices.yaml").read_text(), "prices.yaml")
    yield billed_init(book)
    yield active_cpu(book)
    yield provisioned(book)
    yield against_machines(book)


def billed_init(book: Book) -> Claim:
    price = book.functions["aws-lambda-x86"]

    def usd(init: float) -> float:
        """Of a million cold starts, with 72 ms of work each: what makes $0.80 of them where nothing else is billed."""
        return tariffs.function(
            price, memory_gb=GB, requests=MILLION, seconds=0.072, cold_starts=MILLION, init_seconds=init
        )

    free, billed = usd(0.0), usd(2.0)
    return Claim(
        "billed initialisation",
        "2 s of initialisation at 512 MB: $0.80 -> $17.80 per million cold starts",
        "vendor's terms",
        f"${free:.2f} -> ${billed:.2f}: the 2 s alone are ${billed - free:.2f}. It concerns cold starts only: at a "
        f"cold rate of 5 % it is ${0.05 * (billed - free):.2f} per million requests.",
        REPRODUCED if abs(billed / 17.80 - 1) < 0.05 else REFUTED,
        "computed",
    )


def active_cpu(book: Book) -> Claim:
    price = book.active_cpu["vercel-fluid"]
    whole, active = (
        tariffs.active_cpu(price, active_seconds=s, present_seconds=9.5, memory_gb=2.0) for s in (9.5, 1.5)
    )
    shared = tariffs.active_cpu(price, active_seconds=1.5, present_seconds=1.9, memory_gb=2.0)
    return Claim(
        "active-CPU billing",
        "1.5 s of compute and 8 s blocked bill 1.5 s in place of 9.5 s: over 80 % less",
        "vendor",
        f"{100 * (1 - 1.5 / 9.5):.0f} % fewer CPU seconds. Memory (2 GB) is billed for all 9.5 s: "
        f"{100 * (1 - active / whole):.0f} % less money; "
        f"{100 * (1 - shared / whole):.0f} % where five requests share the instance.",
        REFINED,
        "computed",
    )


def provisioned(book: Book) -> Claim:
    price = book.provisioned["aws-lambda-x86"]
    idle = tariffs.provisioned(price, memory_gb=GB, instances=10, kept_seconds=MONTH)
    fits = 15.0 / (price.gb_second_provisioned_usd * 10 * GB) / 3600 / (MONTH / 86400)

    def invocations(seconds: float) -> float:
        """Millions of so many seconds each, for the $15 between the two figures."""
        one = tariffs.provisioned(
            price, memory_gb=GB, instances=0, kept_seconds=0, requests=1, seconds=seconds
        )
        return 15.0 / one / MILLION

    return Claim(
        "provisioned concurrency",
        "10 x 512 MB are about $15 a month idle, about $30 with invocations",
        "article",
        f"${idle:.2f} a month idle: $15 pays for {fits:.1f} hours a day of it, or for {10 * 15 / idle:.1f} "
        f"instances, and no number of invocations makes it $30. The $15 between the two are {invocations(0.1):.1f}M "
        f"invocations of 0.1 s, or {invocations(1.0):.1f}M of 1 s.",
        REFUTED if idle > 30 else REPRODUCED,
        "computed",
    )


def against_machines(book: Book) -> Claim:
    price, machine = book.functions["aws-lambda-x86"], book.managed["aws-lambda-managed-m7g-large"]
    month = tariffs.managed(machine, instances=1, seconds=MONTH)

    def a_day(seconds: float) -> float:
        return month / tariffs.function(price, memory_gb=GB, requests=1, seconds=seconds) / (MONTH / 86400)

    each = (month / (35_000 * MONTH / 86400) - price.million_requests_usd / MILLION) / (
        GB * price.gb_second_usd
    )
    return Claim(
        "functions against machines",
        "functions are cheaper below about 35,000 requests a day",
        "article",
        f"Against one machine of ${month:.0f} a month: {a_day(0.1):,.0f} a day for requests of 0.1 s at 512 MB, "
        f"{a_day(1.0):,.0f} for 1 s, {a_day(10.0):,.0f} for 10 s. 35,000 are right for {each:.1f} s. "
        "It says nothing of GPUs.",
        REFINED,
        "computed",
    )
