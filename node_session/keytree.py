"""A tree of keys, which quickly finds the keys above and below another one.

KeyTree(["user.visits", "user.age", "total"]).cut(("user",))   # ["user.visits", "user.age"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from . import paths


class KeyTree:
    """Keys by their steps. Several may have one path, such as ``a.b`` and ``a["b"]``."""

    __slots__ = ("_below", "_here")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._here: list[str] = []
        self._below: dict[str, KeyTree] = {}
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Add a key."""
        node = self
        for step in paths.parse(key):
            following = node._below.get(step)
            if following is None:
                following = node._below[step] = KeyTree()
            node = following
        node._here.append(key)

    def at(self, step: str) -> KeyTree | None:
        """The tree below a step; None if no key begins with it."""
        return self._below.get(step)

    def __iter__(self) -> Iterator[str]:
        nodes = [self]
        while nodes:
            node = nodes.pop()
            yield from node._here
            nodes += node._below.values()

    def cut(self, steps: tuple[str, ...]) -> list[str]:
        """Remove and return the keys of a place, of its parents and of all below it."""
        *parents, last = steps
        node = self
        found: list[str] = []
        for step in parents:
            following = node._below.get(step)
            if following is None:
                return found
            node = following
            found += node._here
            node._here = []
        found += node._below.pop(last, ())
        return found
