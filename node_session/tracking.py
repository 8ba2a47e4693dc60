"""A mapping that knows whether it may have changed; no waiting, no I/O.

    session["user"]["name"] = "Ann"   # the dict `user` was handed out, so something may have changed
    len(session)                      # nothing can have changed by this

Every value leaves through `_hand_out`, and every change goes through `_change`. All else only looks into the dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import hints, paths
from .content import Content
from .quoting import quote_if_long

T = TypeVar("T")
S = TypeVar("S", bound="TrackedMapping")


class TrackedMapping(MutableMapping[str, Any]):
    """A dict of top-level keys; any other key is a path: ``session["user.name"]``.

    It is true even if it is empty. It equals a dict with the same content. Two of them are equal only if they are the
    same object, so that a session can be in a set. ``session |= {…}`` updates it; ``session | {…}`` is a new dict.
    """

    __slots__ = ("_content",)

    def __init__(self, content: Content | None = None) -> None:
        self._content = Content() if content is None else content

    if not TYPE_CHECKING:  # type checkers must report unknown names themselves

        def __getattr__(self, name: str) -> Any:
            return hints.look_up(self, name, has_keys=True)

    # ---------------------------------------------------------------- the two ways in and out

    def _hand_out(self, value: T) -> T:
        """Give a value to the program, which may change a list or dict in place."""
        if isinstance(value, (dict, list)):
            self._content.is_pristine = False
        return value

    def _change(
        self,
        change: Callable[..., T],
        key: str,
        *arguments: Any,
        is_literal: bool = False,
        added: float | None = None,
    ) -> T:
        """Change a key by ``change(attributes, key, *arguments)``, and record the change.

        Args:
            change: Returns `paths.MISSING` if there was nothing to change.
            key: The key that changes.
            *arguments: What else `change` needs.
            is_literal: Whether the key is a top-level key even if it looks like a path.
            added: The amount that this adds to a number; by default it sets or removes a value.

        Returns:
            What `change` has returned.
        """
        content = self._content
        content.is_pristine = False
        result = change(content.attributes, key, *arguments)
        if content.is_late and result is not paths.MISSING:
            content.note_late(key)
        if added is not None:
            content.changes.add(key, added)
        elif content.changes.increments:
            content.changes.forget((key,) if is_literal else paths.parse(key))
        return result

    # ---------------------------------------------------------------- the mapping

    def __getitem__(self, key: str) -> Any:
        value = self._hand_out(self._content.attributes.get(key, paths.MISSING))
        if value is paths.MISSING:
            value = self._hand_out(paths.find(self._content.attributes, key))
            if value is paths.MISSING:
                raise _no_such_key(key)
        return value

    def __contains__(self, key: object) -> bool:
        if key in self._content.attributes:
            return True
        return isinstance(key, str) and paths.find(self._content.attributes, key) is not paths.MISSING

    def __iter__(self) -> Iterator[str]:
        return iter(self._content.attributes)

    def __len__(self) -> int:
        return len(self._content.attributes)

    def __bool__(self) -> bool:
        return True  # or ``if self.session`` would ask two things: is there a session, and is anything in it

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TrackedMapping):
            return self is other
        return self._content.attributes == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = object.__hash__

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self} if isinstance(other, Mapping) else NotImplemented

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._content.attributes:
            self._change(dict.__setitem__, key, value, is_literal=True)
        else:
            self._change(paths.assign, key, value)

    def __delitem__(self, key: str) -> None:
        if self._remove(key) is paths.MISSING:
            raise _no_such_key(key)

    def _remove(self, key: str) -> Any:
        """Remove a key and return its value; `paths.MISSING` if it is not there."""
        if key in self._content.attributes:
            return self._change(dict.pop, key, is_literal=True)
        return self._change(paths.remove, key)

    def clear(self) -> None:
        """Remove everything."""
        self._change(self._replace_by_nothing, next(iter(self._content.attributes), ""), is_literal=True)

    def _replace_by_nothing(self, attributes: dict[str, Any], key: str) -> Any:
        self._content.attributes = {}  # a new one, so that a dict which `all` has returned stays as it is
        self._content.changes.flush()
        return None if attributes else paths.MISSING

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a key; if there is none, `default` is stored and returned."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self: S, other: Any) -> S:  # type: ignore[misc]  # | gives a dict
        self.update(other)
        return self


def _no_such_key(key: str) -> KeyError:
    # With the key itself, as a dict's; but nobody catches most of them, and then it is in the log.
    return KeyError(quote_if_long(key))
