"""Work on large sessions, in a thread, so that no other request waits for it.

    attributes = await aside.loads(text)

Python lets a thread and the event loop take turns every 5 ms. Only a single call of orjson cannot be interrupted.

A handler's tasks can change the session's objects at any moment, so no thread may merge these. `merged` gives the
thread a copy, and then puts the result into the session's own objects.
"""

from __future__ import annotations

import asyncio
import gc
import marshal
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from . import serializer
from .changes import Changes
from .depth import MAX_DEPTH
from .merge import merge
from .serializer import LARGE, TakesLong

T = TypeVar("T")

LARGE_TO_MERGE = 8 * 1024
"""The same as `LARGE`, for merging, which is rare, and takes 4 s a megabyte if values are nested deep."""

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
    before = _snapshot(mine, changes) if size >= LARGE_TO_MERGE else None
    if before is None:
        return False
    filled = await run(LARGE, _merge_copy, base, mine, before, theirs)
    if filled is None or _snapshot(mine, changes) != before:
        return False
    for container, content in filled:
        _fill(container, content)
    return True


def _snapshot(mine: dict[str, Any], changes: Changes) -> bytes | None:
    """Copy a session as bytes, ten times as fast as in Python.

    None if that fails, because of a date, for example.

    In this version of the format the bytes do not depend on other references to an object.
    """
    try:
        return marshal.dumps((mine, changes.as_arguments()), 2)
    except ValueError:
        return None


def _merge_copy(
    base: str | None, mine: dict[str, Any], snapshot: bytes, theirs: dict[str, Any]
) -> list[tuple[Any, Any]] | None:
    """Merge a copy of `mine`.

    Returns:
        Containers of `mine`, each with its new content; None if the copy cannot be matched with `mine`.
    """
    copied, changes = marshal.loads(snapshot)  # noqa: S302 - made in this process
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
        contains a list or a dict twice.
    """
    pairs: list[tuple[Any, Any, list[Any]]] = []
    pending: list[tuple[Any, Any]] = [(copied, mine)]
    seen = set()
    while pending:
        copy, live = pending.pop()
        items, others = _items(copy), _items(live)
        if type(copy) is not type(live) or len(items) != len(others) or id(live) in seen:
            return None
        if type(live) is not tuple:
            seen.add(id(live))
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
