"""A session's attributes by key, with the original's methods; no waiting, no I/O.

    attributes.put("user.name", "Ann")
    attributes.get("user.name")            # 'Ann'

Keys are those of `node_session.paths`: ``a.b.c``, ``a[0]``, ``a["b-c"]``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from . import paths
from .quoting import quote
from .tracking import TrackedMapping

T = TypeVar("T")

logger = logging.getLogger("node_session")


class Attributes(TrackedMapping):
    """The attributes of a session by key.

    Its methods try a path before a literal key, unless they say otherwise. Reserved keys are ``_token`` (the
    CSRF token), ``flash``, ``_old_input``, ``_created`` (of `absoluteLifetime`), ``_lifetime`` (of `set_lifetime`),
    ``_owner`` and ``_device`` (of `set_owner`).
    """

    __slots__ = ()

    # ---------------------------------------------------------------- reading

    @overload
    def get(self, key: str, default: None = None) -> Any: ...

    @overload
    def get(self, key: str, default: T) -> Any | T: ...

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; `default` if there is none.

        It is the session's own object: changes made inside it are saved.
        """
        value = self._hand_out(paths.find(self._content.attributes, key))
        if value is not paths.MISSING:
            return value
        return self._find_no_token(default) if key == "_token" else default

    def _find_no_token(self, default: Any) -> Any:
        """The value of ``_token`` if there is none; a subclass may make one."""
        return default

    def all(self) -> dict[str, Any]:
        """All attributes, as the session's own dict."""
        return self._hand_out(self._content.attributes)

    def has(self, key: str) -> bool:
        """Whether a key has a value other than None. `exists` counts None as well."""
        return self.get(key) is not None

    def exists(self, key: str) -> bool:
        """Whether a key is there, even if its value is None."""
        return paths.find(self._content.attributes, key) is not paths.MISSING

    def missing(self, key: str) -> bool:
        """Whether a key has no value, or None: the opposite of `has`."""
        return not self.has(key)

    def only(self, *keys: str | Iterable[str]) -> dict[str, Any]:
        """A new dict of the given keys and their values, without missing keys."""
        values = ((key, self._hand_out(paths.find(self._content.attributes, key))) for key in flatten(keys))
        return {key: value for key, value in values if value is not paths.MISSING}

    # ---------------------------------------------------------------- changing

    def set(self, key: str, value: Any) -> None:
        """Set a key. Parents that are missing, or are no containers, become objects.

        Raises:
            PathError: The key leads into a list, but not to one of its places.
        """
        self._change(paths.assign, key, value)

    def put(self, key: str | Mapping[str, Any], value: Any = None) -> None:
        """Set a key, or each key of a mapping."""
        if not isinstance(key, str) and isinstance(key, Mapping):  # the first is quicker, and mostly the answer
            for each in key:
                self._change(paths.assign, each, key[each])
        else:
            self._change(paths.assign, key, value)

    def push(self, key: str, value: Any) -> None:
        """Append to a list, or make it; another value stays, with a warning in the log."""
        values: Any = self.get(key, [])
        if isinstance(values, list):
            values.append(value)
            self.set(key, values)
        else:
            logger.warning("push(%s) did nothing: the session holds a %s there", quote(key), type(values).__name__)

    def increment(self, key: str, amount: float = 1) -> Any:
        """Add to a number (0 if there is none); concurrent requests' increments add up.

        Returns:
            The new value, as far as this request knows.

        Raises:
            TypeError: The stored value, or `amount`, is no number.
        """
        before = paths.find(self._content.attributes, key)
        if before is paths.MISSING or before is None:
            before = 0
        for number in (before, amount):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise TypeError(
                    f"cannot add {quote(amount)} to session[{quote(key)}]: {type(number).__name__} is no number"
                )
        self._change(paths.assign, key, before + amount, added=amount)
        return before + amount

    def decrement(self, key: str, amount: float = 1) -> Any:
        """Subtract from a number; see `increment`."""
        return self.increment(key, -amount)

    def remember(self, key: str, callback: Callable[[], T]) -> T | Any:
        """The value of a key; if missing or None, `callback()` makes and this stores it.

        Raises:
            TypeError: `callback` is asynchronous; await its value and `put` it.
        """
        value = self.get(key)
        if value is None:
            value = callback()
            if hasattr(value, "__await__"):
                if hasattr(value, "close"):
                    value.close()
                raise TypeError(
                    f"remember({quote(key)}, …) takes a plain function: await the value yourself and put() it"
                )
            self.set(key, value)
        return value

    def pull(self, key: str, default: Any = None) -> Any:
        """Remove a key and return its value, or `default`; a literal key precedes a path."""
        value = self._remove(key)
        return default if value is paths.MISSING else value

    def forget(self, keys: str | Iterable[str]) -> None:
        """Remove a key, or each of several. A literal key goes before a path."""
        for key in [keys] if isinstance(keys, str) else keys:
            self.pull(key)

    def flush(self) -> None:
        """Remove everything, the CSRF token too; the next start makes a new one."""
        self.clear()


def flatten(keys: Iterable[str | Iterable[str]]) -> Iterator[str]:
    """Keys given one by one, in a list, or both."""
    for key in keys:
        if isinstance(key, str):
            yield key
        else:
            yield from key
