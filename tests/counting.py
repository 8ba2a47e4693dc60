"""The cost of work, without a clock."""

from __future__ import annotations

import sys


def count_calls(work) -> int:
    """The number of Python functions and generators entered: its cost on any machine."""
    count = [0]

    def profile(frame, event, argument):
        count[0] += event == "call"

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count[0]
