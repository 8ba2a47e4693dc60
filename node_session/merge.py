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
import math
from collections.abc import Mapping
from typing import Any

import orjson

from . import paths, serializer
from .errors import PathError, SerializationError
from .paths import MISSING

_USUAL_VALUES = 10_000  # side by side in a session; of larger ones it takes longer to see how deep they are


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
    if flushed or _is_copy(theirs, base):
        return mine
    sums = _sums(base, mine, theirs, increments or {})
    flash = _Flash(base, mine, theirs, aged and not _same(mine, base))
    merger = _Merger()
    merger.value((), base, mine, theirs)
    merger.fill()
    for key, number in sums.items():
        if not merger.has_moved(key):
            with contextlib.suppress(PathError):  # they have put something else where the number was
                paths.assign(mine, key, number)
    flash.settle(mine)
    return mine


class _Merger:
    """Merges values, and only then fills my containers: until the last is compared, none may change."""

    def __init__(self) -> None:
        self._contents: dict[int, tuple[Any, Any]] = {}  # by the id of a container of mine: it, and what it becomes
        self._moved: list[tuple[str, ...]] = []  # the lists whose items could not be merged one by one
        # Of containers within lists, by their id: the container (so that no other one gets this id), and its form.
        self._forms: dict[int, tuple[Any, object]] = {}
        self._shared: dict[Any, object] = {}

    def value(self, path: tuple[str, ...], base: Any, mine: Any, theirs: Any) -> Any:
        """The merged value; any of the three, and so the result, may be `MISSING`."""
        if _is_copy(theirs, base):  # which leaves most of a large session at once
            return self._unchanged(mine)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            return self._object(path, base if isinstance(base, dict) else {}, mine, theirs)
        if isinstance(mine, (list, tuple)) and isinstance(theirs, list):
            return self._list(path, base if isinstance(base, list) else [], mine, theirs)
        if _same(mine, base):
            return theirs
        return self._remains(path, base, mine, theirs) if mine is MISSING or theirs is MISSING else mine

    def _remains(self, path: tuple[str, ...], base: Any, mine: Any, theirs: Any) -> Any:
        """What remains of a value that one side deleted and the other one changed: of a container, the changes."""
        changed = theirs if mine is MISSING else mine
        for kind in (dict, list):
            if changed and isinstance(base, kind) and isinstance(changed, kind) and path != ("flash",):
                merged = self.value(path, base, *(kind() if side is MISSING else side for side in (mine, theirs)))
                _, content = self._contents.get(id(merged), (None, merged))
                return merged if content else MISSING
        return changed

    def _unchanged(self, mine: Any) -> Any:
        if not isinstance(mine, (dict, list)):
            return mine
        if id(mine) in self._contents:
            return copy.deepcopy(mine)
        items = mine.items() if isinstance(mine, dict) else enumerate(mine)
        content = {key: self._unchanged(each) for key, each in items}
        self._contents[id(mine)] = (mine, content if isinstance(mine, dict) else [*content.values()])
        return mine

    def fill(self) -> None:
        """Give my containers their merged content."""
        for container, content in self._contents.values():
            if isinstance(container, dict):
                container.clear()
                container.update(content)
            else:
                container[:] = content

    def has_moved(self, key: str) -> bool:
        """Whether a key leads through a list in which its place may be another item's by now."""
        steps = paths.parse(key)
        return any(steps[: len(path)] == path for path in self._moved)

    def _object(self, path: tuple[str, ...], base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> Any:
        content = {}
        for key in [*theirs, *(each for each in mine if each not in theirs)]:
            sides = [side.get(key, MISSING) for side in (base, mine, theirs)]
            value = self.value((*path, key), *sides)
            if value is not MISSING:
                content[key] = value
        return self._keep(mine, content)

    def _list(
        self, path: tuple[str, ...], base: list[Any], mine: list[Any] | tuple[Any, ...], theirs: list[Any]
    ) -> Any:
        length = len(base)
        was, is_mine, is_theirs = (tuple(map(self._form, each)) for each in (base, mine, theirs))
        if _keeps_places(was, is_mine) and _keeps_places(was, is_theirs):
            items = zip(base, mine, theirs, strict=False)
            content = [self.value((*path, str(place)), *sides) for place, sides in enumerate(items)]
            content += [*theirs[length:], *mine[length:]]
        else:
            self._moved.append(path)
            if is_theirs[:length] == was:
                content = [*mine, *theirs[length:]]
            elif is_mine[:length] == was:
                content = [*theirs, *mine[length:]]
            else:
                content = [*mine]
        if isinstance(mine, tuple):
            return mine if tuple(map(self._form, content)) == is_mine else content
        return self._keep(mine, content)

    def _form(self, value: Any) -> Any:
        """As `_canonical`, but containers that are stored alike have one object for a form.

        Lists within lists are compared on every level. With this that takes one step an item; otherwise a megabyte
        that somebody has nested on purpose would take minutes.
        """
        if not isinstance(value, (dict, list, tuple)):
            return _canonical(value)
        known = self._forms.get(id(value))
        if known is None:
            items = value.items() if isinstance(value, dict) else None
            form: Any = (
                tuple(map(self._form, value))
                if items is None
                else frozenset((str(key), self._form(each)) for key, each in items)
            )
            known = self._forms[id(value)] = (value, self._shared.setdefault(form, object()))
        return known[1]

    def _keep(self, mine: Any, content: Any) -> Any:
        if id(mine) in self._contents:  # it is in the session twice, and cannot become two things
            return content
        self._contents[id(mine)] = (mine, content)
        return mine


class _Flash:
    """The flash data of the result, decided before anything is merged."""

    def __init__(self, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], mine_aged: bool) -> None:
        self._values: dict[str, Any] = {}
        self._lists: dict[str, list[Any]] = {}
        for which in ("new", "old"):
            before, own, other = (_flashed(side, which) for side in (base, mine, theirs))

            def is_own(key: Any, before: list[Any] = before) -> bool:
                return key not in before or (isinstance(key, str) and (mine_aged or _changed(key, base, mine)))

            self._lists[which] = [*other, *(key for key in own if key not in other and is_own(key))]
            # Key by key the values would be lost: one side has removed what the other flashed again, unchanged.
            for side, keys in ((mine, [key for key in own if is_own(key)]), (theirs, other)):
                for key in keys:
                    value = paths.find(side, key) if isinstance(key, str) else MISSING
                    if value is not MISSING:
                        self._values.setdefault(key, value)

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
    return value if is_number and math.isfinite(_float(value)) else None  # no float can be added to a larger integer


def _float(number: float) -> float:
    """As a float; an integer that is too large for one becomes infinite, as it does to JavaScript."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _keeps_places(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether each item is where it was, changed perhaps: none is gone, and none turns up in another place."""
    if len(after) < len(before):
        return False
    changed = [(old, new) for old, new in zip(before, after, strict=False) if old != new]
    return {old for old, _ in changed}.isdisjoint([*(new for _, new in changed), *after[len(before) :]])


def _changed(key: str, base: dict[str, Any], mine: dict[str, Any]) -> bool:
    return not _same(paths.find(base, key), paths.find(mine, key))


def _is_copy(one: Any, other: Any) -> bool:
    """Whether two parsed values are the same JSON. orjson says so in a fiftieth of the time that `_same` takes."""
    if isinstance(one, (dict, list)):
        if type(one) is not type(other) or len(one) != len(other):
            return False
        text = _text(one)  # None: with a lone surrogate in it, say
        return bool(_canonical(one) == _canonical(other)) if text is None else text == _text(other)
    return type(one) is type(other) and bool(one == other)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are stored alike; one may be live, of tuples, dates and keys that are numbers."""
    if isinstance(one, dict) and isinstance(other, dict) and len(one) == len(other):
        if _text(one) == _text(other) is not None:
            return True
        if all(isinstance(key, str) and key in other for key in one):  # in most of its keys it is a copy
            return all(_same(each, other[key]) for key, each in one.items())
    return bool(_canonical(one) == _canonical(other))


def _text(value: Any) -> bytes | None:
    if not serializer.is_shallow(value, _USUAL_VALUES):
        return None
    try:
        return orjson.dumps(value, None, orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return None


def _canonical(value: Any) -> Any:
    """A hashable that is equal for values that are stored alike."""
    if isinstance(value, bool):
        return (bool, value)
    if value is None or value is MISSING or isinstance(value, str):
        return value
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        # It is read as a float again. Python's hashes of such integers are alike where an attacker wants them to be.
        value = _float(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return frozenset((str(key), _canonical(each)) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_canonical(each) for each in value)
    try:  # a date and the like: live it is an object, in a record it is a text
        return _canonical(serializer.loads(serializer.dumps({"value": value}))["value"])
    except SerializationError:
        return (object, id(value))  # saving will say what is wrong with it
