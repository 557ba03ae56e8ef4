"""How well the forecaster tells the next bin's requests, next to simpler ones: the last day again, and an EWMA.

Each model of a trace (Parquet with the columns `t` in seconds and `model`) is forecast by itself, one bin ahead, and
the errors of all are pooled. The first day is not scored, or the first hour of a trace that is no longer than a day.
`error` is the mean absolute error and `rms` the root of the mean squared one, over that of the seasonal naive
forecast: the count of the same bin a day before, on the first day that of the bin before. The mean of a sparse model's
bins makes the squared error small; the absolute one is least with "none", so both are shown. `log loss` is that of
"will any request come in this bin?", from the Poisson distribution, in nats per bin and model.

    python benchmarks/forecast.py TRACE.parquet... [--bin 60]
"""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from pilotlight.policy.forecast import Forecast, chance, expected, saw

DAY = 86400.0
HALF_LIFE = 600.0
"""Seconds, of the plain EWMA: the best of 5, 10, 20, 30 and 60 minutes on most traces."""

Told = Iterator[tuple[float, float]]
"""Per bin: requests expected, and the chance of any."""


def read(path: Path) -> dict[str, list[float]]:
    """Times of the requests of each model, in seconds."""
    from arro3.io import read_parquet

    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            sys.exit(f"{path} is no Parquet file: give one with the columns t and model")
        try:
            table = read_parquet(file).read_all().select(["model", "t"])
        except Exception as error:
            sys.exit(f"{path} is no trace: {error}. Give a Parquet file with the columns t and model")
    models: dict[str, list[float]] = defaultdict(list)
    for model, at in zip(table.column("model").to_pylist(), table.column("t").to_pylist(), strict=True):
        models[str(model)].append(at)
    return models


def counts(times: list[float], seconds: float, end: float) -> list[int]:
    """Requests in each whole bin up to `end`."""
    bins = [0] * int(end // seconds)
    for at in times:
        if at < len(bins) * seconds:
            bins[int(at // seconds)] += 1
    return bins


def any_of(mean: float) -> float:
    return 1.0 - math.exp(-mean)


def naive(times: list[float], bins: list[int], seconds: float) -> Told:
    day = int(DAY / seconds)
    for i in range(len(bins)):
        mean = float(bins[i - day] if i >= day else bins[i - 1] if i else 0)
        yield mean, any_of(mean)


def ewma(times: list[float], bins: list[int], seconds: float) -> Told:
    level, step = 0.0, 1.0 - 0.5 ** (seconds / HALF_LIFE)
    for count in bins:
        yield level, any_of(level)
        level += step * (count - level)


def ours(times: list[float], bins: list[int], seconds: float) -> Told:
    forecast, arrivals = Forecast(), iter(times)
    at = next(arrivals, math.inf)
    for i in range(len(bins)):
        while at < i * seconds:
            saw(forecast, at)
            at = next(arrivals, math.inf)
        saw(forecast, i * seconds, 0.0)
        yield expected(forecast, i * seconds, seconds), chance(forecast, i * seconds, seconds)


WAYS: dict[str, Callable[[list[float], list[int], float], Told]] = {
    "last day": naive,
    "EWMA": ewma,
    "forecast": ours,
}


def errors(models: dict[str, list[float]], seconds: float) -> dict[str, tuple[float, float, float]]:
    """By way: absolute error, squared error and log loss, summed over models and bins."""
    end = max(times[-1] for times in models.values())
    first = int((DAY if end > DAY * 1.01 else 3600.0) / seconds)
    sums = {way: [0.0, 0.0, 0.0, 0.0] for way in WAYS}
    for times in models.values():
        bins = counts(times, seconds, end)
        for way, told in WAYS.items():
            add(sums[way], list(told(times, bins, seconds))[first:], bins[first:])
    return {way: (s[0], math.sqrt(s[1]), s[2] / max(1.0, s[3])) for way, s in sums.items()}


def add(sums: list[float], told: list[tuple[float, float]], bins: list[int]) -> None:
    for (mean, any_), count in zip(told, bins, strict=True):
        sums[0] += abs(mean - count)
        sums[1] += (mean - count) ** 2
        sums[2] -= math.log(min(0.999, max(0.001, any_ if count else 1.0 - any_)))
        sums[3] += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    parser.add_argument("--bin", type=float, default=300.0, help="seconds (default 300)")
    given = parser.parse_args()
    if not given.bin > 0:
        sys.exit(f"--bin {given.bin:g} is no length of time: give seconds above 0")
    print(f"{'trace':<28} {'way':<9} {'error':>6} {'rms':>6} {'log loss':>9}")
    for path in given.traces:
        if not path.is_file():
            sys.exit(f"{path} is not there: give the paths of Parquet files with the columns t and model")
        found = errors(read(path), given.bin)
        error, rms, _ = found["last day"]
        for way, (absolute, square, loss) in found.items():
            print(f"{path.stem[:28]:<28} {way:<9} {ratio(absolute, error)} {ratio(square, rms)} {loss:>9.3f}")


def ratio(value: float, of: float) -> str:
    return f"{value / of:>6.3f}" if of else f"{'-':>6}"


if __name__ == "__main__":
    main()
