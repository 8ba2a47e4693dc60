"""Work on large sessions, in a thread, so that no other request waits for it.

    attributes = await aside.loads(text)

Python lets a thread and the event loop take turns every 5 ms. Only a single call of orjson cannot be interrupted.

A handler's tasks can change the session's objects at any moment, so no thread may merge these. `merged` gives the
thread a copy, and then puts the result into the session's own objects.
"""

from __future__ import annotations

import asyncio
import gc
import io
import marshal
import operator
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from . import serializer
from .changes import Changes
from .depth import MAX_DEPTH
from .merge import merge
from .serializer import LARGE, TakesLong

T = TypeVar("T")

LARGE_TO_MERGE = 3 * 1024
"""The same as `LARGE`, for merging, which is rare, and takes up to 1.5 ms a kilobyte if both sides changed all."""

_CONTAINERS = (dict, list)


async def run(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """Run a function: in a thread if it works on so many characters."""
    if size < LARGE:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(None, partial(_without_collector, work, *arguments))


def _without_collector(work: Callable[..., T], *arguments: Any) -> T:
    """Run a function while Python's garbage collector is paused.

    The collector would look at all containers of the session again and again as their number grows, at a million for
    half a second, and the event loop waits for that, whichever thread it runs in. If another thread has paused the
    collector, that thread switches it on again, so that a stream of large sessions does not keep it off.
    """
    if not gc.isenabled():
        return work(*arguments)
    gc.disable()
    try:
        return work(*arguments)
    finally:
        gc.enable()


async def loads(text: str) -> dict[str, Any]:
    """See `serializer.loads`."""
    return await run(len(text), serializer.loads, text)


async def dumps(attributes: dict[str, Any], known: str | None = None, *, depth: int = MAX_DEPTH) -> str:
    """See `serializer.dumps`."""
    try:
        return serializer.dumps_quickly(attributes, known, depth=depth)
    except TakesLong as long:
        rest = long.rest
    return await run(LARGE, rest)


async def merged(base: str | None, mine: dict[str, Any], theirs: dict[str, Any], size: int, changes: Changes) -> bool:
    """Merge in a thread, if `mine` and `changes` stay as they are meanwhile.

    Args:
        base: The loaded text.
        mine: Filled with the result.
        theirs: See `merge`.
        size: The size of the larger one of the stored texts.
        changes: Those that a comparison of `base` and `mine` cannot find.

    Returns:
        Whether it was merged. If not, nothing has changed.
    """
    for take in (_snapshot, _slow_snapshot) if size >= LARGE_TO_MERGE else ():
        before = take(mine, changes)
        if before is None:
            continue
        filled = await run(LARGE, _merge_copy, base, mine, before, theirs)
        after = take(mine, changes) if filled is not None else None
        if filled is not None and after is not None and after[:2] == before[:2]:
            for container, content in filled:
                _fill(container, content)
            return True
    return False


class _Snapshot(NamedTuple):
    """A session as bytes. If nothing has changed in between, `content` and `ids` of two snapshots are the same.

    Attributes:
        content: What `load` makes a copy of.
        ids: Those of the objects that the copy and the session share.
        load: Makes a copy.
    """

    content: bytes
    ids: list[int]
    load: Callable[[bytes], Any]


def _snapshot(mine: dict[str, Any], changes: Changes) -> _Snapshot | None:
    """Copy a session as bytes, ten times as fast as in Python.

    None if that fails, because of a date, for example.

    In this version of the format the bytes do not depend on other references to an object.
    """
    try:
        return _Snapshot(marshal.dumps((mine, changes.as_arguments()), 2), [], marshal.loads)
    except ValueError:
        return None


def _slow_snapshot(mine: dict[str, Any], changes: Changes) -> _Snapshot | None:
    """Do what `_snapshot` does in a third of its speed, for any values, and containers that are in a session twice."""
    content = io.BytesIO()
    pickler = _Pickler(content, protocol=5)
    try:
        pickler.dump((mine, changes.as_arguments()))
    except (ValueError, RecursionError):
        return None
    return _Snapshot(content.getvalue(), [*map(id, pickler.shared)], partial(_load, pickler.shared))


class _Pickler(pickle.Pickler):
    """Copies plain containers, and shares all other objects, such as dates: no code of theirs runs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shared: list[Any] = []

    def reducer_override(self, value: Any) -> Any:
        """See `pickle.Pickler`; it is not called for plain containers and scalars."""
        if value is _load:
            return NotImplemented
        if isinstance(value, (dict, list, tuple)):  # of a class of its own, which the thread must not fill
            raise ValueError
        self.shared.append(value)
        return _load, (len(self.shared) - 1,)


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, shared: list[Any]) -> None:
        super().__init__(io.BytesIO(content))
        self._shared = shared

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler`; the only name in a snapshot is that of `_load`."""
        return self._shared.__getitem__


def _load(shared: list[Any], content: bytes) -> Any:
    return _Unpickler(content, shared).load()


def _merge_copy(
    base: str | None, mine: dict[str, Any], snapshot: _Snapshot, theirs: dict[str, Any]
) -> list[tuple[Any, Any]] | None:
    """Merge a copy of `mine`.

    Returns:
        Containers of `mine`, each with its new content; None if the copy cannot be matched with `mine`.
    """
    copied, changes = snapshot.load(snapshot.content)
    pairs = _pair(copied, mine)
    if pairs is None:
        return None
    own = {id(copy): live for copy, live, _ in pairs}
    merge(serializer.loads(base) if base is not None else {}, copied, theirs, **changes)
    filled, made = [], []

    def translate(value: Any) -> Any:
        if isinstance(value, _CONTAINERS) and id(value) not in own:
            made.append(value)
        return own.get(id(value), value)

    for copy, live, before in pairs:
        now = _items(copy)
        if len(now) != len(before) or not all(map(operator.is_, now, before)):
            filled.append((live, _copy(copy, translate)))
    seen = set()
    while made:  # a container that the merge made, or took from the other side, may contain something of mine
        value = made.pop()
        if id(value) not in seen:
            seen.add(id(value))
            _fill(value, _copy(value, translate))
    return filled


def _pair(copied: dict[str, Any], mine: dict[str, Any]) -> list[tuple[Any, Any, list[Any]]] | None:
    """Match each container of a copy with its original.

    The list also keeps the containers alive, so that no other object gets the id of one.

    Returns:
        The copy, the original, and the items of the copy, for each container. None if `mine` has changed since, or
        contains a list or a dict twice of which the copy has two.
    """
    pairs: list[tuple[Any, Any, list[Any]]] = []
    pending: list[tuple[Any, Any]] = [(copied, mine)]
    seen: dict[int, Any] = {}
    while pending:
        copy, live = pending.pop()
        if type(live) is not tuple:
            if id(live) in seen:
                if seen[id(live)] is not copy:
                    return None
                continue
            seen[id(live)] = copy
        items, others = _items(copy), _items(live)
        if type(copy) is not type(live) or len(items) != len(others):
            return None
        pairs.append((copy, live, items))
        pending += [pair for pair in zip(items, others, strict=True) if isinstance(pair[0], (dict, list, tuple))]
    return pairs


def _items(container: Any) -> list[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else [*container]


def _copy(container: Any, translate: Callable[[Any], Any]) -> Any:
    if isinstance(container, dict):
        return {key: translate(each) for key, each in container.items()}
    return [translate(each) for each in container]


def _fill(container: Any, content: Any) -> None:
    if isinstance(container, dict):
        container.clear()
        container.update(content)
    else:
        container[:] = content
