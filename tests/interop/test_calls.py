"""The random calls keep what calls.py promises of them."""

from __future__ import annotations

import calls
from hypothesis import given
from hypothesis import strategies as st


@given(changes=st.lists(calls.BELOW, max_size=9))
def test_only_objects_on_the_way(changes):
    """Each step of a path that is set leads to an object, or to nothing; otherwise the original throws, or replaces."""
    root = {}
    for _, path, value in changes:
        *parents, last = path.split(".")
        container = root
        for step in parents:
            container = container.setdefault(step, {})
            assert isinstance(container, dict), path
        container[last] = value
