import numpy as np
import pytest

from pilotlight.sim.trace import Trace


def test_rows_are_put_in_order_of_time_and_equal_times_keep_theirs():
    trace = Trace.from_rows(
        "x", [(2.0, "b", 1, 10), (1.0, "a", 2, 20), (2.0, "a", 3, 30)], sessions=[7, 8, 9]
    )
    assert trace.models == ("b", "a")
    assert trace.t.tolist() == [1.0, 2.0, 2.0]
    assert trace.model.tolist() == [1, 0, 1]
    assert trace.output_tokens.tolist() == [20, 10, 30]
    assert trace.session is not None and trace.session.tolist() == [8, 7, 9]
    assert (len(trace), trace.span, trace.epoch) == (3, 1.0, None)


def test_columns_are_small_and_cannot_be_written():
    trace = Trace.from_rows("x", [(0.0, "a", 1, 1)])
    columns = (trace.t, trace.model, trace.prompt_tokens, trace.output_tokens)
    assert sum(c.itemsize for c in columns) == 20
    assert [c.dtype for c in columns] == [np.float64, np.int32, np.int32, np.int32]
    for column in columns:
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 5


def test_a_trace_may_be_empty():
    trace = Trace.from_rows("x", [])
    assert (len(trace), trace.span, trace.models) == (0, 0.0, ())
