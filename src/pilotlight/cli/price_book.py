"""The price book, read: the shipped examples, with an operator's own prices in their place."""

from pathlib import Path

import pilotlight.cost
from pilotlight.cost import book
from pilotlight.cost.book import Book, Priced
from pilotlight.errors import ConfigError, Problem

MAX_BYTES = 1024 * 1024


def shipped() -> Book:
    path = Path(pilotlight.cost.__file__).with_name("prices.yaml")
    return book.parse(path.read_text(encoding="utf-8"), str(path))


def priced(own: str | Path | None) -> Priced:
    """`own`: a file, or None for the examples alone. Raises ConfigError when it is wrong or cannot be read."""
    if own is None:
        return Priced(shipped())
    return book.merged(shipped(), book.parse(_text(Path(own)), str(own)))


def _text(path: Path) -> str:
    try:
        if path.is_fifo() and not path.is_relative_to("/dev") and not path.is_relative_to("/proc"):
            # It would be waited for, and for ever.
            raise OSError(0, "it is a named pipe; name a file, or give /dev/stdin")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) <= MAX_BYTES:
            return data.decode("utf-8-sig")
        fault = f"is larger than {MAX_BYTES // 1024} KiB, which no price book is"
    except UnicodeDecodeError as e:
        fault = f"is not UTF-8 at byte {e.start}; save it as UTF-8"
    except FileNotFoundError:
        fault = "does not exist; `pilotlight prices` shows what a book may hold"
    except (OSError, ValueError) as e:
        fault = f"cannot be read: {getattr(e, 'strerror', None) or e}"
    raise ConfigError([Problem(str(path), 0, "", fault)])
