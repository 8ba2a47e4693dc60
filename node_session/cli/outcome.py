"""The outcome of a command: text for a person, data for a program, an exit code."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .spelling import plural, printable

DONE = 0
ATTENTION = 1
WRONG = 2
UNAVAILABLE = 3

PASSED_OVER = "passedOver"
"""The result of a record that is no session, as its id shows."""

_PROBLEMS = ("damaged", "busy", PASSED_OVER)


class Outcome(NamedTuple):
    """The result of a command.

    Attributes:
        text: For a person; an iterator of lines if there are many.
        data: The same for a program; what JSON can hold, or an iterator of a list's items.
        code: The exit code.
    """

    text: str | Iterator[str]
    data: Any
    code: int = DONE


def summarize(counts: Counter[str], text: str, names: Sequence[str], notes: Mapping[str, str] | None = None) -> Outcome:
    """Make the outcome of a command that did something to every record.

    Args:
        counts: How many records had each result.
        text: The result, for a person.
        names: The results that `text` names.
        notes: For each other result, what to add if a record had it.
    """
    notes = notes or {}
    data = {name: counts[name] for name in (*names, *notes)}
    parts = [text, *(f"{note}: {counts[name]}" for name, note in notes.items() if counts[name])]
    if passed_over := counts[PASSED_OVER]:
        data[PASSED_OVER] = passed_over
        parts.append(f"{plural(passed_over, 'record')} passed over, as they are no sessions")
    return Outcome("; ".join(parts), data, ATTENTION if any(counts[name] for name in _PROBLEMS) else DONE)


def as_text(text: str | Iterator[str]) -> Iterator[str]:
    """The parts of an outcome's text, as a terminal can show it."""
    for line in [text] if isinstance(text, str) else text:
        yield f"{printable(line)}\n"


def as_json(data: Any) -> Iterator[str]:
    """The parts of JSON for any terminal: ASCII, no control characters, no NaN."""
    if isinstance(data, Iterator):
        separator = "["
        for each in data:
            yield separator + _dump(each)
            separator = ", "
        yield "]\n" if separator == ", " else "[]\n"
    else:
        yield f"{_dump(data)}\n"


def _dump(data: Any) -> str:
    return json.dumps(_finite(data)).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    """A value in which infinities and NaN are None, as JSON.stringify writes them."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
