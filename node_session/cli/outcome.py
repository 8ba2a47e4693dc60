"""What a command leaves behind, and how sizes and times are spelt to a person."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

DONE = 0
ATTENTION = 1
WRONG = 2
UNAVAILABLE = 3

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


class Outcome(NamedTuple):
    """What a command has found or done.

    Attributes:
        text: For a person.
        data: The same for a program; what JSON can hold.
        code: The exit code.
    """

    text: str
    data: Any
    code: int = DONE


def printable(text: str, kept: str = "\n") -> str:
    """A text for a terminal: what would steer it, or cannot be shown, is escaped, other than the characters `kept`.

    Ids, keys and values in a store may be anybody's: control characters, marks that turn the writing direction, halves
    of surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in text
    )


def as_json(data: Any) -> str:
    """JSON that any program can read and any terminal can bear: ASCII without control characters, no NaN."""
    return json.dumps(_finite(data)).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    """A value in which infinities and NaN are None, as JSON.stringify writes them."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def size(count: float) -> str:
    """So many bytes: ``312 B``, ``1.2 kB``, ``3.4 MB``."""
    if count < 1000:
        return f"{count:.0f} B"
    return f"{count / 1000:.1f} kB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"


def span(milliseconds: float) -> str:
    """So much time: ``45 s``, ``3 min``, ``5 h``, ``12 d``. Rounded down, and never negative."""
    for unit, length in _UNITS:
        if milliseconds >= length:
            return f"{milliseconds // length:.0f} {unit}"
    return "0 s"


def plural(count: int, noun: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows under each other, each column as wide as its widest cell."""
    rows = [[printable(cell, kept="") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def bars(counts: Sequence[tuple[str, int]], width: int = 40) -> str:
    """A histogram: a line for each name, with a bar as long as its count is to the largest."""
    most = max((count for _, count in counts), default=0) or 1
    rows = [(f"  {name}", str(count), "#" * -(-count * width // most)) for name, count in counts]
    return columns(rows)
