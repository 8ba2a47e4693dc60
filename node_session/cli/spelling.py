"""The spelling of ids, sizes, times, tables and warnings for a person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from .. import ids

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def printable(text: str, kept: str = "\n") -> str:
    """Escape characters that steer a terminal or cannot be shown, except `kept`.

    Ids, keys and values in a store may be anybody's: control characters, marks that turn the writing direction, halves
    of surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in text
    )


def short(id: str) -> str:
    """The beginning of an id."""
    return printable(ids.shorten(id), kept="")


def size(count: float) -> str:
    """A number of bytes: ``312 B``, ``1.2 kB``, ``3.4 MB``."""
    if count < 1000:
        return f"{count:.0f} B"
    return f"{count / 1000:.1f} kB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"


def span(milliseconds: float) -> str:
    """A span of time, rounded down, never negative: ``45 s``, ``3 min``, ``12 d``."""
    for unit, length in _UNITS:
        if milliseconds >= length:
            return f"{milliseconds // length:.0f} {unit}"
    return "0 s"


def plural(count: int, noun: str) -> str:
    """A number of things: ``1 session``, ``2 sessions``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """A table: each column is as wide as its widest cell."""
    return "\n".join(aligned(lambda: rows))


def aligned(rows: Callable[[], Iterable[Sequence[str]]]) -> Iterator[str]:
    """The lines of a table whose rows need not fit into memory.

    Args:
        rows: Gives the rows, and gives them again.
    """
    widths: list[int] = []
    for row in rows():
        lengths = [len(printable(cell, kept="")) for cell in row]
        widths = [max(pair) for pair in zip_longest(widths, lengths, fillvalue=0)]
    for row in rows():
        yield "  ".join(printable(cell, kept="").ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def bars(counts: Sequence[tuple[str, int]], width: int = 40) -> str:
    """A histogram: a line for each name, with a bar in proportion to its count."""
    most = max((count for _, count in counts), default=0) or 1
    rows = [(f"  {name}", str(count), "#" * -(-count * width // most)) for name, count in counts]
    return columns(rows)


def warn(message: str) -> None:
    """Print a warning for a person, while a command is at work."""
    print(f"warning: {printable(message)}", file=sys.stderr)
