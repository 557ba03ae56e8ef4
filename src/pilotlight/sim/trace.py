"""A request trace as columns: who asked when, for how much."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pilotlight.fleet.classes import BATCH, RANKS, STANDARD
from pilotlight.sim.columns import Array, pieces

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

NO_SESSION = -1
PLAIN = "standard"
"""The class of a request of which nothing is said."""


class Trace:
    """Requests in order of time; about 24 bytes each. The arrays are all of the same length and read-only; those of a
    long trace are files (columns.py), which is why it is gone through by `pieces`.

    Times are seconds. They start where the file starts: at or near 0 where it counts from its own beginning; where
    it has Unix times or dates the first one is subtracted and kept as `epoch`.
    """

    __slots__ = (
        "_rank_of", "asker", "askers", "epoch", "faults", "model", "models", "name", "notes", "output_tokens",
        "prompt_tokens", "session", "skipped", "stand_in", "t",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        models: Sequence[str],
        t: Floats,
        model: Ints,
        prompt_tokens: Ints,
        output_tokens: Ints,
        session: Ints | None = None,
        *,
        epoch: float | None = None,
        faults: Sequence[str] = (),
        skipped: int = 0,
        notes: Sequence[str] = (),
        asker: Ints | None = None,
        askers: Sequence[tuple[str, str]] = (),
        stand_in: Bools | None = None,
    ) -> None:
        self.name = name
        """The file's name without its endings, or the text of synthetic traffic."""
        self.models = tuple(models)
        self.t = t
        self.model = model
        """Indexes into `models`."""
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.session = session
        """Which requests belong together: equal numbers; NO_SESSION for one that has none. None: none has."""
        self.epoch = epoch
        """Unix seconds of t = 0, where the file tells."""
        self.faults = tuple(faults)
        """The first bad rows, `FILE:LINE: what is wrong`."""
        self.skipped = skipped
        """How many rows were bad in all. They are not in the arrays."""
        self.notes = tuple(notes)
        """What else a reader of the figures should know, such as that rows were not in order."""
        self.asker = asker
        """Indexes into `askers`; None where it says of none whose it is."""
        self.askers = tuple(askers)
        """The keys that asked, each with the class that it asked for."""
        self.stand_in = stand_in
        """Whether another model may answer each while its own starts; None: none may."""
        for array in (t, model, prompt_tokens, output_tokens, session, asker, stand_in):
            if array is not None:
                array.flags.writeable = False
        self._rank_of = _ranks(self.askers, asker)

    def asked_by(self, i: int) -> tuple[str, str]:
        """Key and class of request `i`; the key is empty where nobody says."""
        return ("", PLAIN) if self.asker is None else self.askers[self.asker[i]]

    @property
    def ranks(self) -> Ints | None:
        """Of each request's class (fleet/classes.py); None where all are standard."""
        return self.ranks_in(slice(None))

    @property
    def is_batch(self) -> Bools:
        """Which have asked to wait, and are never cold."""
        return self.is_batch_in(slice(None))

    def ranks_in(self, rows: slice) -> Ints | None:
        """`ranks` of these rows; None where all of the whole trace are standard."""
        return None if self._rank_of is None or self.asker is None else self._rank_of[self.asker[rows]]

    def is_batch_in(self, rows: slice) -> Bools:
        """`is_batch` of these rows."""
        ranks = self.ranks_in(rows)
        return np.zeros(len(self.t[rows]), np.bool_) if ranks is None else ranks == BATCH

    def pieces(self, *more: Array | None) -> Iterator[slice]:
        """All rows, some at a time, in order. What was touched of the trace's columns is given back in between, and of
        `more`, which are others of its requests."""
        own = (
            self.t,
            self.model,
            self.prompt_tokens,
            self.output_tokens,
            self.session,
            self.asker,
            self.stand_in,
        )
        return pieces(len(self), *own, *more)

    def __len__(self) -> int:
        return len(self.t)

    @property
    def span(self) -> float:
        """Seconds from the first arrival to the last; 0 for an empty trace."""
        return float(self.t[-1] - self.t[0]) if len(self.t) else 0.0

    @classmethod
    def from_rows(
        cls,
        name: str,
        rows: Iterable[tuple[float, str, int, int]],
        *,
        sessions: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        stand_in: Sequence[bool] | None = None,
        epoch: float | None = None,
    ) -> "Trace":
        """From (t, model, prompt tokens, output tokens), in any order. The values are taken as they are."""
        listed = list(rows)
        codes: dict[str, int] = {}
        model = np.array([codes.setdefault(row[1], len(codes)) for row in listed], np.int32)
        t = np.array([row[0] for row in listed], np.float64)
        prompt = np.array([row[2] for row in listed], np.int32)
        output = np.array([row[3] for row in listed], np.int32)
        session = None if sessions is None else np.array(sessions, np.int32)
        order = np.argsort(t, kind="stable")
        session = None if session is None else session[order]
        names = list(RANKS)
        asker = None if classes is None else np.array([names.index(c) for c in classes], np.int32)[order]
        may = None if stand_in is None else np.array(stand_in, np.bool_)[order]
        return cls(
            name, list(codes), t[order], model[order], prompt[order], output[order], session, epoch=epoch,
            asker=asker, askers=[("", of) for of in names], stand_in=may,
        )  # fmt: skip


def _ranks(askers: Sequence[tuple[str, str]], asker: Ints | None) -> Ints | None:
    """Of each asker; None where all requests are standard."""
    ranks = np.array([RANKS[of] for _, of in askers], np.int32)
    if asker is None or (ranks == STANDARD).all():
        return None
    is_plain = all((ranks[asker[rows]] == STANDARD).all() for rows in pieces(len(asker), asker))
    return None if is_plain else ranks
