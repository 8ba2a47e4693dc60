"""The three-way merge of a session: as loaded, as changed here, as stored since.

    merge({"n": 1, "cart": [1]}, {"n": 2, "cart": [1, 2]}, {"n": 1, "cart": [1, 3]})   # {"n": 2, "cart": [1, 3, 2]}

Nothing in here waits, reads or writes. The rules:

- Objects merge key by key. A value that only one side changed is that side's; one that both changed is mine. A value
  that one side deleted is gone, unless the other side changed it: then the change stays, and of an object or a list
  only the changed and added parts. A key that both sides added becomes an object of both, a list of both, or my value.
- Lists whose items kept their places merge item by item; then come their new items, then mine. So two pushes are both
  there, even of equal items, and so is a change inside an item. If one side removed or moved items, the other side's
  new items are added to that side's list; if the other side did more than add items, mine is kept.
- Increments and flash data have rules of their own: see `node_session.merge_sums` and `node_session.merge_flash`.
- After a flush on my side, the result is what I have, and nothing else.

Values are compared by what would be stored: a tuple equals a list and 1 equals 1.0, but True does not equal 1.

My dicts and lists stay the same objects, filled with the merged content, so that a handler's reference is still a part
of the session. If an object is in the session twice, one place keeps it, and others may get a copy.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .equality import Comparison
from .forms import SCALARS
from .keytree import KeyTree
from .merge_flash import FlashMerge
from .merge_sums import put_sums, sums_of
from .paths import MISSING

# The place of a value: its depth, its key in the session or in the dict above, and the keys of sums that lead into it.
_Place = tuple[int, "str | None", "KeyTree | None"]


def merge(
    base: dict[str, Any],
    mine: dict[str, Any],
    theirs: dict[str, Any],
    *,
    increments: Mapping[str, float] | None = None,
    flushed: bool = False,
    aged: bool = True,
    flash_key: str = "flash",
) -> dict[str, Any]:
    """Apply my changes to the stored content.

    Args:
        base: The loaded content; parsed JSON.
        mine: What I have; live objects. It is filled with the result.
        theirs: The content stored now; parsed JSON. Parts of it become parts of the result.
        increments: The numbers that `mine` has added since `base`, by key.
        flushed: `mine` was emptied since `base`.
        aged: `mine` has aged its flash data since `base`. If not, the old keys in it are no new flash of its own.
        flash_key: The key of the lists of flashed keys.

    Returns:
        `mine`.
    """
    comparison = Comparison()
    if flushed or comparison.is_copy(theirs, base, 0):
        return mine
    sums = sums_of(base, mine, theirs, increments or {})
    flash = FlashMerge(base, mine, theirs, aged, comparison, flash_key)
    merger = _Merger(comparison, mine, flash_key)
    merger.merge(base, mine, theirs, KeyTree(sums) if sums else None)
    put_sums(sums, mine, merger.moved)
    flash.put_into(mine)
    return mine


class _Merger:
    """Merge all values, and only then fill my containers.

    No container may change before the last comparison.

    Attributes:
        moved: The keys of sums that lead through a list in which their place may be another item's now.
    """

    def __init__(self, comparison: Comparison, mine: dict[str, Any], flash_key: str) -> None:
        self.moved: set[str] = set()
        self._flash = (1, flash_key)
        self._comparison = comparison
        self._is_tree = not _has_shared_containers(mine)  # then most values are left alone, in half of the time
        # By the id of a container of mine: the container, and its new content.
        self._contents: dict[int, tuple[Any, Any]] = {}

    def merge(self, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], sums: KeyTree | None) -> None:
        """Fill `mine` with the merged content of three sessions."""
        self._object((0, None, sums), base, mine, theirs)
        for container, content in self._contents.values():
            if isinstance(container, dict):
                container.clear()
                container.update(content)
            else:
                container[:] = content

    def _value(self, place: _Place, base: Any, mine: Any, theirs: Any) -> Any:
        """Merge a value. Any of the three, and the result, may be `MISSING`."""
        depth = place[0]
        if self._comparison.is_copy(theirs, base, depth):  # true of most of a large session
            return self._keep(mine)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            return self._object(place, base if isinstance(base, dict) else {}, mine, theirs)
        if isinstance(mine, (list, tuple)) and isinstance(theirs, list):
            return self._list(place, base if isinstance(base, list) else [], mine, theirs)
        if self._comparison.is_same(mine, base, depth):
            return theirs
        return self._deleted(place, base, mine, theirs) if mine is MISSING or theirs is MISSING else mine

    def _deleted(self, place: _Place, base: Any, mine: Any, theirs: Any) -> Any:
        """Merge a value that one side deleted and the other changed.

        Of a container, only the changes remain.
        """
        changed = theirs if mine is MISSING else mine
        kinds: tuple[tuple[type, Callable[..., Any]], ...] = ((dict, self._object), (list, self._list))
        for kind, merge_kind in kinds:  # `_value` would add a frame a level, too many for the deepest values
            if changed and isinstance(base, kind) and isinstance(changed, kind) and place[:2] != self._flash:
                merged = merge_kind(place, base, *(kind() if side is MISSING else side for side in (mine, theirs)))
                _, content = self._contents.get(id(merged), (None, merged))
                return merged if content else MISSING
        return changed

    def _keep(self, mine: Any) -> Any:
        """Keep a value of mine, or a copy of a container that another place keeps."""
        if self._is_tree or not isinstance(mine, (dict, list)):
            return mine
        if id(mine) in self._contents:
            return copy.deepcopy(mine)
        items = mine.items() if isinstance(mine, dict) else enumerate(mine)
        content = {key: self._keep(each) for key, each in items}
        self._contents[id(mine)] = (mine, content if isinstance(mine, dict) else [*content.values()])
        return mine

    def _object(self, place: _Place, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> Any:
        depth, _, sums = place
        content = {}
        for key, other in theirs.items():
            before, value = base.get(key, MISSING), mine.get(key, MISSING)
            if type(other) in SCALARS and type(other) is type(before) and other == before:  # true of most
                value = self._keep(value)
            else:
                value = self._value((depth + 1, key, sums and sums.at(key)), before, value, other)
            if value is not MISSING:
                content[key] = value
        for key, own in mine.items():
            if key not in theirs:
                value = self._value((depth + 1, key, sums and sums.at(key)), base.get(key, MISSING), own, MISSING)
                if value is not MISSING:
                    content[key] = value
        return self._become(mine, content)

    def _list(self, place: _Place, base: list[Any], mine: list[Any] | tuple[Any, ...], theirs: list[Any]) -> Any:
        depth, _, sums = place
        length = len(base)
        places = self._comparison.differences(base, theirs, depth, is_live=False)
        mine_changed = self._comparison.differences(base, mine, depth, is_live=True)
        is_same = self._comparison.is_same
        theirs_changed = [place for place in places if not is_same(theirs[place], base[place], depth + 1)]
        keeps_places = self._keeps_places
        if keeps_places(base, mine, mine_changed, depth) and keeps_places(base, theirs, theirs_changed, depth):
            content = [*mine[:length]]
            for index in places if self._is_tree else range(length):
                below = (depth + 1, None, sums and sums.at(str(index)))
                content[index] = self._value(below, base[index], mine[index], theirs[index])
            content += [*theirs[length:], *mine[length:]]
        else:
            self.moved.update(sums or ())
            if theirs_changed == [] and len(theirs) >= length:
                content = [*mine, *theirs[length:]]
            elif mine_changed == [] and len(mine) >= length:
                content = [*theirs, *mine[length:]]
            else:
                content = [*mine]
        if isinstance(mine, list):
            return self._become(mine, content)
        forms = self._comparison.forms
        return mine if len(content) == len(mine) and forms(content) == forms(mine) else content

    def _keeps_places(self, before: list[Any], after: Sequence[Any], changed: list[int], depth: int) -> bool:
        """Whether each item is in its place, and only new items were added."""
        if len(after) < len(before):
            return False
        if not changed:
            return True
        added = after[len(before) :]
        if len(changed) == 1:  # it is no copy of what is in its place now
            old = before[changed[0]]
            return not any(self._comparison.is_same(each, old, depth + 1) for each in added)
        forms = self._comparison.forms
        new = [*(after[place] for place in changed), *added]
        return not set(forms([before[place] for place in changed])).intersection(forms(new))

    def _become(self, mine: Any, content: Any) -> Any:
        """Note the new content of a container of mine."""
        if id(mine) in self._contents:  # it is in the session twice, and cannot become two things
            return content
        self._contents[id(mine)] = (mine, content)
        return mine


def _has_shared_containers(value: dict[str, Any]) -> bool:
    """Whether a container is in a value twice, at any depth."""
    seen: set[int] = set()
    level: list[Any] = [value]
    while level:
        found = set(map(id, level))
        if len(found) < len(level) or not found.isdisjoint(seen):
            return True
        seen |= found
        items = [*itertools.chain.from_iterable([each.values() if isinstance(each, dict) else each for each in level])]
        kinds = [*map(type, items)]
        containers = {kind for kind in set(kinds) if issubclass(kind, (dict, list, tuple))}
        level = [*itertools.compress(items, map(containers.__contains__, kinds))]
    return False
