"""Pieces of traces, and others of the same kind made of them: the halves, every other model, backwards, faster, slower.
What only one trace is lucky with does not show in them."""

from collections.abc import Iterator

import numpy as np

from pilotlight.sim.trace import Floats, Trace


def of(trace: Trace) -> Iterator[Trace]:
    """Each as a trace of its own, which begins at 0 and has the models that are asked for in it."""
    late = trace.t >= (trace.t[0] + trace.t[-1]) / 2
    yield _part(trace, "first half", ~late)
    yield _part(trace, "second half", late)
    if len(trace.models) > 1:
        every_other = trace.model % 2
        yield _part(trace, "models 1, 3, ...", every_other == 0)
        yield _part(trace, "models 2, 4, ...", every_other == 1)
    yield _played(trace, "backwards", trace.t[-1:] - trace.t[::-1], slice(None, None, -1))
    yield _played(trace, "twice as fast", trace.t / 2, slice(None))
    yield _played(trace, "half as fast", trace.t * 2, slice(None))


def _played(trace: Trace, name: str, t: Floats, order: slice) -> Trace:
    """The same requests at other times."""
    return Trace(
        f"{trace.name}, {name}",
        trace.models,
        t,
        trace.model[order],
        trace.prompt_tokens[order],
        trace.output_tokens[order],
    )


def _part(trace: Trace, name: str, kept: np.ndarray) -> Trace:
    used, model = np.unique(trace.model[kept], return_inverse=True)
    t: Floats = trace.t[kept]
    return Trace(
        f"{trace.name}, {name}",
        [trace.models[i] for i in used],
        t - t[0] if len(t) else t,
        model.astype(np.int32),
        trace.prompt_tokens[kept],
        trace.output_tokens[kept],
    )
