"""The classes of requests, as the kernel orders them: the lower the rank, the sooner it leaves the queue."""

CRITICAL, STANDARD, BATCH = 0, 1, 2

RANKS = {"critical": CRITICAL, "standard": STANDARD, "batch": BATCH}
"""By the names that operators and clients use."""
