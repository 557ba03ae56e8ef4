"""What the published stages of a cold start ask of networks and disks, by division."""

from collections.abc import Iterator
from importlib.resources import files

from claim import REFINED, REPRODUCED, Claim

from pilotlight.cost.book import HOURS, parse

GBIT = 8.0
"""Of a GB."""


def claims() -> Iterator[Claim]:
    yield Claim(
        "image pull and boot",
        "8-15 GB in 10-30 s",
        "article",
        f"Takes {8 * GBIT / 30:.1f} to {15 * GBIT / 10:.0f} Gbit/s, unpacking not counted; at 1 Gbit/s the pull "
        f"alone takes {8 * GBIT:.0f} to {15 * GBIT:.0f} s. pilotlight starts processes and pulls no images.",
        REFINED,
        "computed",
    )
    fast, slow = (14 * GBIT / gbit for gbit in (10, 1))
    yield Claim(
        "weights: their size",
        "7B in FP16 14 GB, 70B more than 100-130 GB; fetching them dominates",
        "article",
        f"2 bytes x parameters: 14 and 140 GB. 14 GB take {fast:.0f} s at 10 Gbit/s and {slow:.0f} s at 1; fetching "
        f"is more than the published 2 s of load and 5 s of runtime below {14 * GBIT / 7:.0f} Gbit/s.",
        REPRODUCED,
        "computed",
    )
    yield Claim(
        "weights: host to GPU",
        "about 2 s for 7B from fast storage",
        "article",
        f"14 GB in 2 s are {14 / 2:.0f} GB/s, a fast NVMe disk's speed; a disk of 500 MB/s takes "
        f"{14 / 0.5:.0f} s. The copy to a GPU: not tested.",
        REFINED,
        "computed",
    )
    yield Claim(
        "70B from download",
        "over 110 s to the first token",
        "article",
        f"130 to 140 GB in 110 s are {130 * GBIT / 110:.1f} to {140 * GBIT / 110:.1f} Gbit/s: it is what a link of "
        "10 Gbit/s gives, and 10 times as long at 1.",
        REPRODUCED,
        "computed",
    )
    yield prices()


def prices() -> Claim:
    book = parse(files("pilotlight.cost").joinpath("prices.yaml").read_text(), "prices.yaml")
    month = {
        name: book.serverless_gpu[f"modal-{name}"].second_usd * HOURS * 3600 for name in ("a100-80gb", "l4")
    }
    rented = {name: book.dedicated[name].second_usd * HOURS * 3600 for name in month}
    return Claim(
        "persistent workers: price",
        "A100 about $2,500 a month, L4 $1,000-1,500",
        "article",
        f"The price book has these as they are published (${rented['a100-80gb']:,.0f}, ${rented['l4']:,.0f}). The "
        f"same GPUs by the second, all month long, are ${month['a100-80gb']:,.0f} and ${month['l4']:,.0f} at a "
        "serverless seller's list price, so the published ones are not the least that always-on costs.",
        REFINED,
        "computed",
    )
