"""The lines of a listing, sorted and counted without holding them in memory.

SQLite keeps them in a database without a name: a temporary file that no other user can read, and that is gone when the
program ends. A few thousand lines fit into its cache, and no file is written.
"""

from __future__ import annotations

import sqlite3
import statistics
import weakref
from collections.abc import Iterator
from typing import NamedTuple


class Line(NamedTuple):
    """A record in a listing, without its text.

    Attributes:
        id: The id under which it is kept.
        size: Bytes of its text.
        idle: Milliseconds since its last activity.
        damage: Why it cannot be read; empty if it can.
        is_mismatch: Whether it cannot be read because of the config.
    """

    id: str
    size: int
    idle: float
    damage: str = ""
    is_mismatch: bool = False


class Spread(NamedTuple):
    """The least, the median and the greatest of some numbers."""

    least: float
    median: float
    most: float


class Lines:
    """Any number of lines."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)  # who goes through them may stop anywhere
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE lines (id BLOB, size INTEGER, idle REAL, damage BLOB, is_mismatch INTEGER)"
        )
        self._database.execute("BEGIN")
        self.count = self.damaged = self.size = 0

    def add(self, line: Line) -> None:
        """Add a line."""
        self.count += 1
        self.size += line.size
        self.damaged += bool(line.damage)
        row = (_blob(line.id), line.size, line.idle, _blob(line.damage), line.is_mismatch)
        self._database.execute("INSERT INTO lines VALUES (?, ?, ?, ?, ?)", row)

    def sorted(self, column: str, *, reverse: bool = False, limit: int | None = None) -> Iterator[Line]:
        """Iterate over the lines, sorted by `id`, `size` or `idle`; equal ones stay in order."""
        order = f"{column} {'DESC' if reverse else 'ASC'}, rowid"
        rows = self._database.execute(
            f"SELECT * FROM lines ORDER BY {order} LIMIT ?",  # noqa: S608 - a name of ours
            (-1 if limit is None else limit,),
        )
        for id, size, idle, damage, is_mismatch in rows:
            yield Line(_text(id), size, idle, _text(damage), bool(is_mismatch))

    def values(self, column: str) -> Iterator[float]:
        """Iterate over the numbers of a column: `size` or `idle`."""
        return (value for (value,) in self._database.execute(f"SELECT {column} FROM lines"))  # noqa: S608

    def spread(self, column: str) -> Spread | None:
        """The spread of a column, `size` or `idle`; None without lines."""
        if not self.count:
            return None
        select = f"SELECT {column} FROM lines ORDER BY {column} LIMIT ? OFFSET ?"  # noqa: S608
        in_the_middle = (2 - self.count % 2, (self.count - 1) // 2)
        median = statistics.median(value for (value,) in self._database.execute(select, in_the_middle))
        least, most = self._database.execute(f"SELECT min({column}), max({column}) FROM lines").fetchone()  # noqa: S608
        return Spread(least, median, most)


def _blob(text: str) -> bytes:
    """Bytes that sort like the text, which may have lone surrogates; SQLite's cannot."""
    return text.encode("utf-8", "surrogatepass")


def _text(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogatepass")
