"""Flash data in a merge.

- A key that was old when I loaded is mine to remove. A key that another request has flashed since is not.
- A key that either side flashed is there, with its value, and is old for the next request.
- A side that lists an already-old key has flashed it again.
"""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import Any

from . import paths
from .equality import Comparison
from .errors import PathError
from .paths import MISSING


class FlashMerge:
    """The flash data of a merged session, decided before the merge changes anything.

    Args:
        base, mine, theirs, aged, flash_key: As for `merge`.
        comparison: The one of this merge.
    """

    def __init__(
        self,
        base: dict[str, Any],
        mine: dict[str, Any],
        theirs: dict[str, Any],
        aged: bool,
        comparison: Comparison,
        flash_key: str = "flash",
    ) -> None:
        self._key = flash_key
        self._base, self._mine, self._aged, self._comparison = base, mine, aged, comparison
        self._values: dict[str, Any] = {}
        self._lists: dict[str, list[Any]] = {}
        self._changed: dict[str, bool] = {}
        for which in ("new", "old"):
            before, own, other = (_listed(side, flash_key, which) for side in (base, mine, theirs))
            known, listed = (set(map(comparison.form, each)) for each in (before, other))
            own = [key for key in own if comparison.form(key) not in known or self._is_flashed_again(key)]
            self._lists[which] = [*other, *(key for key in own if comparison.form(key) not in listed)]
            # A merge key by key would lose the values: one side has removed what the other flashed again, unchanged.
            for side, keys in ((mine, own), (theirs, other)):
                for key in keys:
                    if isinstance(key, str) and key not in self._values:
                        value = paths.find(side, key)
                        if value is not MISSING:
                            self._values[key] = value

    def put_into(self, result: dict[str, Any]) -> None:
        """Put the flash data into the merged session."""
        for key, value in self._values.items():
            if paths.find(result, key) is MISSING:
                with contextlib.suppress(PathError):  # it was in a list that is another one now
                    paths.assign(result, key, value)
        flash = result.get(self._key)
        for which, keys in self._lists.items():
            if isinstance(flash, dict) and isinstance(flash.get(which), list):
                flash[which] = keys

    def _is_flashed_again(self, key: Any) -> bool:
        """Whether I have flashed a key again that was already listed when I loaded."""
        return isinstance(key, str) and (self._has_mine_aged or self._has_changed(key))

    @cached_property
    def _has_mine_aged(self) -> bool:
        return self._aged and not self._comparison.is_same(self._mine, self._base, 0)

    def _has_changed(self, key: str) -> bool:
        if key not in self._changed:  # it may be listed many times
            self._changed[key] = self._compare(key)
        return self._changed[key]

    def _compare(self, key: str) -> bool:
        before, after = (paths.find(side, key) for side in (self._base, self._mine))
        if before is MISSING or after is MISSING:
            return before is not after
        return self._comparison.form(before) != self._comparison.form(after)


def _listed(attributes: dict[str, Any], flash_key: str, which: str) -> list[Any]:
    flash = attributes.get(flash_key)
    keys = flash.get(which) if isinstance(flash, dict) else None
    return list(keys) if isinstance(keys, (list, tuple)) else []
