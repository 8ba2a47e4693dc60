"""Merging two writers' sessions: what was loaded, what I have made of it, what somebody else has stored meanwhile.

    merge({"n": 1, "cart": [1]}, {"n": 2, "cart": [1, 2]}, {"n": 1, "cart": [1, 3]})   # {"n": 2, "cart": [1, 3, 2]}

Nothing in here waits, reads or writes. The rules:

- Objects merge key by key. What only one side changed is that side's; what both changed is mine. What one side deleted
  is gone, unless the other side changed it: then the change stays, of an object or a list just what was changed or
  added in it. What both added is an object of both, a list of both, or my value.
- Lists that kept the places of their items merge item by item; then come their new items, then mine. So two pushes are
  both there, although they push the same, and so is a change inside an item. If a side removed or moved items, the new
  items of the other one are added to what that side made of the list; if the other one did more than add, mine is kept.
- An increment adds to the number stored now.
- Flash data: what was old when I loaded is mine to remove, what somebody flashed since is not. A key that either side
  flashed is there, with its value, and is old for the next request. Whoever lists a key that was old already has
  flashed it anew.
- A flush on my side leaves what I have, and nothing else.

Values are compared by what would be stored: a tuple equals a list and 1 equals 1.0, but True does not equal 1.

My dicts and lists stay the objects they are, and take in the merged content, so that a reference a handler holds is
still part of the session. Of an object that is in the session twice, one place keeps it and others may get a copy.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from . import paths
from .equality import SCALARS, Comparison, float_of
from .errors import PathError
from .keytree import KeyTree
from .paths import MISSING

# Where a value is: how deep, its key in the session or in the dict above, and the sums that are in it.
_At = tuple[int, "str | None", "KeyTree | None"]


def merge(
    base: dict[str, Any],
    mine: dict[str, Any],
    theirs: dict[str, Any],
    *,
    increments: Mapping[str, float] | None = None,
    flushed: bool = False,
    aged: bool = True,
) -> dict[str, Any]:
    """Make my changes changes of what is stored now.

    Args:
        base: What was loaded; parsed JSON.
        mine: What I have; live objects. It is filled with the result.
        theirs: What is stored now; parsed JSON. Parts of it become parts of the result.
        increments: What `mine` has added to which key since `base`.
        flushed: `mine` was emptied since `base`.
        aged: `mine` has aged its flash data since `base`. If not, the old keys it lists are no new flash of its own.

    Returns:
        `mine`.
    """
    comparison = Comparison()
    if flushed or comparison.is_copy(theirs, base, 0):
        return mine
    sums = _sums(base, mine, theirs, increments or {})
    flash = _Flash(base, mine, theirs, aged, comparison)
    merger = _Merger(comparison, mine)
    merger.merge(base, mine, theirs, KeyTree(sums) if sums else None)
    for key, number in sums.items():
        if key not in merger.moved:
            with contextlib.suppress(PathError):  # they have put something else where the number was
                paths.assign(mine, key, number)
    flash.settle(mine)
    return mine


class _Merger:
    """Merges values, and only then fills my containers: until the last is compared, none may change.

    Attributes:
        moved: The keys of sums that lead through a list in which their place may be another item's by now.
    """

    def __init__(self, comparison: Comparison, mine: dict[str, Any]) -> None:
        self.moved: set[str] = set()
        self._comparison = comparison
        self._is_tree = not _has_twice(mine)
        self._contents: dict[int, tuple[Any, Any]] = {}  # by the id of a container of mine: it, and what it becomes

    def merge(self, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], sums: KeyTree | None) -> None:
        """Fill `mine` with the merged content of three sessions."""
        self._object((0, None, sums), base, mine, theirs)
        for container, content in self._contents.values():
            if isinstance(container, dict):
                container.clear()
                container.update(content)
            else:
                container[:] = content

    def _value(self, at: _At, base: Any, mine: Any, theirs: Any) -> Any:
        """The merged value; any of the three, and so the result, may be `MISSING`."""
        depth = at[0]
        if self._comparison.is_copy(theirs, base, depth):  # which leaves most of a large session at once
            return self._unchanged(mine)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            return self._object(at, base if isinstance(base, dict) else {}, mine, theirs)
        if isinstance(mine, (list, tuple)) and isinstance(theirs, list):
            return self._list(at, base if isinstance(base, list) else [], mine, theirs)
        if self._comparison.is_same(mine, base, depth):
            return theirs
        return self._remains(at, base, mine, theirs) if mine is MISSING or theirs is MISSING else mine

    def _remains(self, at: _At, base: Any, mine: Any, theirs: Any) -> Any:
        """What remains of a value that one side deleted and the other one changed: of a container, the changes."""
        changed = theirs if mine is MISSING else mine
        for kind in (dict, list):
            if changed and isinstance(base, kind) and isinstance(changed, kind) and at[:2] != (1, "flash"):
                merged = self._value(at, base, *(kind() if side is MISSING else side for side in (mine, theirs)))
                _, content = self._contents.get(id(merged), (None, merged))
                return merged if content else MISSING
        return changed

    def _unchanged(self, mine: Any) -> Any:
        if self._is_tree or not isinstance(mine, (dict, list)):
            return mine
        if id(mine) in self._contents:
            return copy.deepcopy(mine)
        items = mine.items() if isinstance(mine, dict) else enumerate(mine)
        content = {key: self._unchanged(each) for key, each in items}
        self._contents[id(mine)] = (mine, content if isinstance(mine, dict) else [*content.values()])
        return mine

    def _object(self, at: _At, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> Any:
        depth, _, sums = at
        content = {}
        for key, other in theirs.items():
            before, value = base.get(key, MISSING), mine.get(key, MISSING)
            if type(other) in SCALARS and type(other) is type(before) and other == before:
                value = self._unchanged(value)  # as most are
            else:
                value = self._value((depth + 1, key, sums and sums.at(key)), before, value, other)
            if value is not MISSING:
                content[key] = value
        for key, own in mine.items():
            if key not in theirs:
                value = self._value((depth + 1, key, sums and sums.at(key)), base.get(key, MISSING), own, MISSING)
                if value is not MISSING:
                    content[key] = value
        return self._keep(mine, content)

    def _list(self, at: _At, base: list[Any], mine: list[Any] | tuple[Any, ...], theirs: list[Any]) -> Any:
        depth, _, sums = at
        length = len(base)
        places = self._comparison.differences(base, theirs, depth, is_live=False)
        mine_changed = self._changed(base, mine, self._comparison.differences(base, mine, depth, is_live=True))
        theirs_changed = self._changed(base, theirs, places)
        if self._keeps_places(base, mine, mine_changed) and self._keeps_places(base, theirs, theirs_changed):
            content = [*mine[:length]]
            for place in places if self._is_tree else range(length):
                below = (depth + 1, None, sums and sums.at(str(place)))
                content[place] = self._value(below, base[place], mine[place], theirs[place])
            content += [*theirs[length:], *mine[length:]]
        else:
            self.moved.update(sums or ())
            if theirs_changed == [] and len(theirs) >= length:
                content = [*mine, *theirs[length:]]
            elif mine_changed == [] and len(mine) >= length:
                content = [*theirs, *mine[length:]]
            else:
                content = [*mine]
        if isinstance(mine, tuple):
            form = self._comparison.form
            is_same = len(content) == len(mine) and [*map(form, content)] == [*map(form, mine)]
            return mine if is_same else content
        return self._keep(mine, content)

    def _changed(self, before: list[Any], after: Sequence[Any], places: list[int]) -> list[int]:
        """Of some places of two lists those whose items are not stored alike."""
        form = self._comparison.form
        return [place for place in places if form(before[place]) != form(after[place])]

    def _keeps_places(self, before: list[Any], after: Sequence[Any], changed: list[int]) -> bool:
        """Whether each item is where it was, changed perhaps: none is gone, and none turns up in another place."""
        if len(after) < len(before):
            return False
        if not changed:
            return True
        form = self._comparison.form
        new = [*(after[place] for place in changed), *after[len(before) :]]
        return {form(before[place]) for place in changed}.isdisjoint(map(form, new))

    def _keep(self, mine: Any, content: Any) -> Any:
        if id(mine) in self._contents:  # it is in the session twice, and cannot become two things
            return content
        self._contents[id(mine)] = (mine, content)
        return mine


class _Flash:
    """The flash data of the result, decided before anything is merged."""

    def __init__(
        self, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], aged: bool, comparison: Comparison
    ) -> None:
        self._base, self._mine, self._aged, self._comparison = base, mine, aged, comparison
        self._values: dict[str, Any] = {}
        self._lists: dict[str, list[Any]] = {}
        for which in ("new", "old"):
            before, own, other = (_flashed(side, which) for side in (base, mine, theirs))
            known, listed = (set(map(comparison.form, each)) for each in (before, other))
            own = [key for key in own if comparison.form(key) not in known or self._is_flashed_again(key)]
            self._lists[which] = [*other, *(key for key in own if comparison.form(key) not in listed)]
            # Key by key the values would be lost: one side has removed what the other flashed again, unchanged.
            for side, keys in ((mine, own), (theirs, other)):
                for key in keys:
                    value = paths.find(side, key) if isinstance(key, str) else MISSING
                    if value is not MISSING:
                        self._values.setdefault(key, value)

    def _is_flashed_again(self, key: Any) -> bool:
        """Whether I have flashed a key again that was listed already when I loaded."""
        return isinstance(key, str) and (self._has_mine_aged or self._has_changed(key))

    @cached_property
    def _has_mine_aged(self) -> bool:
        return self._aged and not self._comparison.is_same(self._mine, self._base, 0)

    def _has_changed(self, key: str) -> bool:
        before, after = (paths.find(side, key) for side in (self._base, self._mine))
        if before is MISSING or after is MISSING:
            return before is not after
        return self._comparison.form(before) != self._comparison.form(after)

    def settle(self, result: dict[str, Any]) -> None:
        """Put the flash data into the merged session."""
        for key, value in self._values.items():
            if paths.find(result, key) is MISSING:
                with contextlib.suppress(PathError):  # it was in a list that is another one by now
                    paths.assign(result, key, value)
        flash = result.get("flash")
        for which, keys in self._lists.items():
            if isinstance(flash, dict) and isinstance(flash.get(which), list):
                flash[which] = keys


def _flashed(attributes: dict[str, Any], which: str) -> list[Any]:
    flash = attributes.get("flash")
    keys = flash.get(which) if isinstance(flash, dict) else None
    return list(keys) if isinstance(keys, (list, tuple)) else []


def _has_twice(value: dict[str, Any]) -> bool:
    """Whether a container is in a value twice. There may be lists and dicts in it to any depth."""
    seen: set[int] = set()
    level: list[Any] = [value]
    while level:
        found = set(map(id, level))
        if len(found) < len(level) or not found.isdisjoint(seen):
            return True
        seen |= found
        items = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in itertools.chain.from_iterable(items) if isinstance(each, (dict, list, tuple))]
    return False


def _sums(
    base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], increments: Mapping[str, float]
) -> dict[str, float]:
    """What the numbers become that were added to. Where somebody put no number, there is no sum."""
    sums = {}
    for key, delta in increments.items():
        before, own, now = (_number(paths.find(side, key)) for side in (base, mine, theirs))
        if not delta and paths.find(theirs, key) in (MISSING, None):  # nothing to add, and to nothing
            continue
        if before is not None and own is not None and now is not None:
            expected = before + delta  # unless a live parent was changed since; then it is a value like any other
            if own == expected or math.isclose(own, expected, abs_tol=1e-9):
                sums[key] = now + delta
    return sums


def _number(value: Any) -> float | None:
    if value is MISSING or value is None:
        return 0
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and math.isfinite(float_of(value)) else None  # no float can be added to a larger integer
