"""Claims that cannot be tried here, and why."""

from collections.abc import Iterator

from claim import NOT_HERE, Claim

NO_GPU = "needs a GPU"
NO_AGENTS = "not built yet: pilotlight runs no agents"

ROWS = (
    (
        "GPU allocation, scheduling",
        "can queue in a busy region",
        "article",
        "needs a cloud's region; here a start queues only for this host's memory, as the stage `allocate`",
    ),
    (
        "compile, autotune, graph capture",
        "part of warm-up",
        "article",
        f"{NO_GPU}: llama.cpp on a CPU compiles and captures nothing",
    ),
    ("first token, warm", "30-50 ms for 7B", "article", f"7B in this time {NO_GPU}"),
    (
        "how long users wait",
        "2 s acceptable, 5 s destroys the experience, 8 s is a complete failure",
        "article",
        "needs users; the 2 s are the default of `objective.wait`",
    ),
    ("GPU memory snapshots", "vLLM 45 s -> 5 s; 2-4 s with warm pools", "vendor", NO_GPU),
    (
        "scale-to-zero GPU containers",
        "10 min idle retention, driver ready < 5 s, first token ~19 s for 4B",
        "vendor",
        f"{NO_GPU} and the vendor's fleet",
    ),
    (
        "multi-tier loading, start-aware placement",
        "10-200 x lower latency",
        "paper",
        "needs a cluster of GPU hosts; pilotlight is one host's",
    ),
    (
        "managed instances",
        "no cold starts, tens of seconds to add capacity, 15 % fee",
        "vendor",
        "needs the vendor's fleet; the price book has the fee",
    ),
    (
        "sessions of agents",
        "the session id of the first response on every later request, or each one starts cold",
        "vendor",
        "not built yet: `x-session-id` goes to the request log, and a request to any replica with room, so none "
        "starts cold for want of it; `simulate` says how many turns find the replica of the one before",
    ),
    (
        "state of agents",
        "hot state in Redis, a checkpoint after every side-effecting step in Postgres, overflow in S3; waits of up "
        "to a year without billing",
        "vendor",
        NO_AGENTS,
    ),
)


def claims() -> Iterator[Claim]:
    for subject, claimed, source, why in ROWS:
        yield Claim(subject, claimed, source, "-", NOT_HERE, why)
