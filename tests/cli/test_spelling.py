"""Sizes and times, as people read and write them."""

from __future__ import annotations

import pytest

from node_session.cli import WRONG, main
from node_session.cli.argument_types import milliseconds
from node_session.cli.spelling import bars, size, span


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90_000), ("30m", 1_800_000), ("12h", 43_200_000), ("7d", 604_800_000), ("0.5w", 302_400_000)],
)
def test_spans_of_time(text, expected):
    """A span of time is a number and its unit."""
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 d", "7y", "1e9d", "٣d" + "x"])
def test_what_is_no_span_of_time(text, shop):
    """Anything else is an error of the arguments; nothing is destroyed."""
    with pytest.raises(SystemExit) as error:
        main(["destroy", shop.config, f"--older-than={text}"])
    assert error.value.code == WRONG and len(shop.stored()) == 3


def test_spelling():
    """Sizes and times are spelt for people; bars are in proportion, and none that counts is empty."""
    assert [size(each) for each in (0, 999, 1000, 1_234_567)] == ["0 B", "999 B", "1.0 kB", "1.2 MB"]
    assert [span(each) for each in (-5, 999, 59_999, 60_000, 3_600_000, 9e8)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "10 d",
    ]
    assert bars([("a", 1000), ("b", 1), ("c", 0)], width=4) == "  a  1000  ####\n  b  1     #\n  c  0"
