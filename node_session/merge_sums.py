"""Increments in a merge: the added amount is added to the number stored now.

sums_of({"n": 1}, {"n": 3}, {"n": 10}, {"n": 2})   # {"n": 12}
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping
from typing import Any

from . import paths
from .errors import PathError
from .forms import float_of
from .paths import MISSING


def sums_of(
    base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], increments: Mapping[str, float]
) -> dict[str, float]:
    """Add my increments to their numbers.

    Returns:
        The sums by key. A key is left out if one of the sides has no number there.
    """
    sums = {}
    for key, delta in increments.items():
        before, own, now = (_number(paths.find(side, key)) for side in (base, mine, theirs))
        if not delta and paths.find(theirs, key) in (MISSING, None):  # nothing to add, and to nothing
            continue
        if before is not None and own is not None and now is not None:
            expected = before + delta  # otherwise a handler changed a live parent: it is a value like any other
            if own == expected or math.isclose(own, expected, abs_tol=1e-9):
                sums[key] = now + delta
    return sums


def put_sums(sums: Mapping[str, float], result: dict[str, Any], moved: Collection[str]) -> None:
    """Put the sums into the merged session.

    Args:
        sums: As `sums_of` returns them.
        result: The merged session.
        moved: Keys to leave out, since their place in a list may be another item's now.
    """
    for key, number in sums.items():
        if key not in moved:
            with contextlib.suppress(PathError):  # their side has replaced the number by another value
                paths.assign(result, key, number)


def _number(value: Any) -> float | None:
    if value is MISSING or value is None:
        return 0
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and math.isfinite(float_of(value)) else None  # no float can be added to a larger integer
