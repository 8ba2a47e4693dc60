"""What a session holds, by key; flash data; the CSRF token. Nothing in here waits, loads or saves.

    attributes.put("user.name", "Ann")
    attributes.get("user.name")            # 'Ann'
    attributes.flash("status", "Saved.")   # there for the next request, then gone

Keys are those of `node_session.paths`: ``a.b.c``, ``a[0]``, ``a["b-c"]``.
"""

from __future__ import annotations

import hmac
import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import hints, ids, paths
from .keytree import KeyTree
from .quoting import quote, quote_if_long

T = TypeVar("T")
S = TypeVar("S", bound="Attributes")

logger = logging.getLogger("node_session")


class Attributes(MutableMapping[str, Any]):
    """The attributes of a session, with the original's methods, and as a mapping.

    A session works as a dict of its top-level keys, so ``dict(session)`` is a copy of it. Where no top-level key is
    spelled so, a key is a path: ``session["user.name"]``. `get`, `set` and `put` try the path first, as the original
    does.

    A session is true even if it is empty. It equals a dict with the same content. Two sessions are equal only if they
    are the same object, so that a session can be in a set. ``session |= {…}`` updates it; ``session | {…}`` is a new
    dict.

    Reserved keys are ``_token`` (the CSRF token), ``flash``, ``_old_input`` and ``_created`` (of `absoluteLifetime`).
    """

    __slots__ = (
        "_attributes",
        "_flashed_lists",
        "_flushed",
        "_incremented",
        "_increments",
        "_is_pristine",
        "_token_on_demand",
        "is_late",
    )

    def __init__(self) -> None:
        self._attributes: dict[str, Any] = {}
        # Of what was done since the record was loaded, these two a comparison of before and after could not tell:
        self._increments: dict[str, float] = {}  # what increment() added, by key
        self._incremented: tuple[dict[str, float], KeyTree] | None = None  # made where increments meet other changes
        self._flashed_lists: dict[str, _Keys] | None = None  # made where something is flashed
        self._flushed = False
        # Nothing was changed, and no list or dict was handed out in which something could be. Then there is no need
        # to compare before and after, which takes as long as a tenth of loading.
        self._is_pristine = True
        self._token_on_demand = False
        self.is_late = False  # no response is to come that could save a change; each is noted

    if not TYPE_CHECKING:  # type checkers are to find such names themselves

        def __getattr__(self, name: str) -> Any:
            return hints.look_up(self, name, has_keys=True)

    # ---------------------------------------------------------------- reading

    @overload
    def get(self, key: str, default: None = None) -> Any: ...

    @overload
    def get(self, key: str, default: T) -> Any | T: ...

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; `default` if there is none.

        What is returned is the session's own object: what is changed inside it is saved.
        """
        value = self._find(key)
        if value is not paths.MISSING:
            return value
        return self.get_token() if key == "_token" and self._token_on_demand else default

    def all(self) -> dict[str, Any]:
        """All attributes, as the session's own dict."""
        self._is_pristine = False
        return self._attributes

    def has(self, key: str) -> bool:
        """Whether a key has a value other than None. `exists` counts None as well."""
        return self.get(key) is not None

    def exists(self, key: str) -> bool:
        """Whether a key is there, even if its value is None."""
        return paths.find(self._attributes, key) is not paths.MISSING

    def missing(self, key: str) -> bool:
        """Whether a key has no value, or None: the opposite of `has`."""
        return not self.has(key)

    def only(self, *keys: str | Iterable[str]) -> dict[str, Any]:
        """The given keys with their values, in a new dict; those that are not there are left out."""
        values = ((key, self._find(key)) for key in _flatten(keys))
        return {key: value for key, value in values if value is not paths.MISSING}

    def get_old_input(self, key: str, default: Any = None) -> Any:
        """A field of the form input that the previous request flashed with `flash_input`."""
        flashed = self.get("_old_input")
        for fields in reversed(flashed if isinstance(flashed, list) else []):
            value = paths.find(fields, key) if isinstance(fields, dict) else paths.MISSING
            if value is not paths.MISSING:
                return value
        return default

    def __getitem__(self, key: str) -> Any:
        value = self._attributes.get(key, paths.MISSING)
        if isinstance(value, (dict, list)):
            self._is_pristine = False
        elif value is paths.MISSING:
            value = self._find(key)
            if value is paths.MISSING:
                raise _no_such_key(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._attributes or (isinstance(key, str) and self.exists(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def __bool__(self) -> bool:
        return True  # or ``if self.session`` would ask two things: is there a session, and is anything in it

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Attributes):
            return self is other
        return self._attributes == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = object.__hash__

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self} if isinstance(other, Mapping) else NotImplemented

    def _find(self, key: str) -> Any:
        """What is there, to hand it out; `paths.MISSING` if nothing is."""
        value = paths.find(self._attributes, key)
        if isinstance(value, (dict, list)):
            self._is_pristine = False
        return value

    # ---------------------------------------------------------------- changing

    def set(self, key: str, value: Any) -> None:
        """Set a key. Parents that are missing, or are no containers, become objects.

        Raises:
            PathError: The key leads into a list, but not to one of its places.
        """
        self._is_pristine = False
        paths.assign(self._attributes, key, value)
        if self.is_late:
            self._note_late(key)
        if self._increments:
            self._forget_increments(paths.parse(key))

    def put(self, key: str | Mapping[str, Any], value: Any = None) -> None:
        """Set a key, or each key of a mapping."""
        if isinstance(key, Mapping):
            for each in key:
                self.set(each, key[each])
        else:
            self.set(key, value)

    def push(self, key: str, value: Any) -> None:
        """Append to a list, which is made if the key is not there. A value that is no list is left as it is."""
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
            TypeError: What is there, or `amount`, is no number.
        """
        before = self.get(key)
        if before is None:
            before = 0
        for number in (before, amount):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise TypeError(
                    f"cannot add {quote(amount)} to session[{quote(key)}]: {type(number).__name__} is no number"
                )
        self._is_pristine = False
        paths.assign(self._attributes, key, before + amount)
        if self.is_late:
            self._note_late(key)
        self._count_increment(key, amount)
        return before + amount

    def decrement(self, key: str, amount: float = 1) -> Any:
        """Subtract from a number; see `increment`."""
        return self.increment(key, -amount)

    def remember(self, key: str, callback: Callable[[], T]) -> T | Any:
        """The value of a key; if there is none (or None), what `callback()` returns is stored and returned.

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
        """Remove a key and return its value; `default` if it is not there. A literal key goes before a path."""
        self._is_pristine = False
        if key in self._attributes:
            value = self._attributes.pop(key)
            steps: tuple[str, ...] = (key,)
        else:
            value = paths.remove(self._attributes, key)
            steps = paths.parse(key)
        if self.is_late and value is not paths.MISSING:
            self._note_late(key)
        if self._increments:
            self._forget_increments(steps)
        return default if value is paths.MISSING else value

    def forget(self, keys: str | Iterable[str]) -> None:
        """Remove a key, or each of several. A literal key goes before a path."""
        for key in [keys] if isinstance(keys, str) else keys:
            self.pull(key)

    def flush(self) -> None:
        """Remove everything, the CSRF token too; the next start makes a new one."""
        self._is_pristine = False
        if self.is_late and self._attributes:
            self._note_late(next(iter(self._attributes)))
        self._attributes = {}
        self._increments.clear()
        self._flushed = True

    clear = flush

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._attributes:
            self.set(key, value)
            return
        self._is_pristine = False
        self._attributes[key] = value
        if self.is_late:
            self._note_late(key)
        if self._increments:
            self._forget_increments((key,))

    def __delitem__(self, key: str) -> None:
        if self.pull(key, paths.MISSING) is paths.MISSING:
            raise _no_such_key(key)

    def _note_late(self, key: str) -> None:
        """A key was changed although `is_late`."""

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a key; if there is none, `default` is stored and returned."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self: S, other: Any) -> S:  # type: ignore[misc]  # | gives a dict
        self.update(other)
        return self

    def _count_increment(self, key: str, amount: float) -> None:
        increments = self._increments
        if self._incremented is not None and self._incremented[0] is increments and key not in increments:
            self._incremented[1].add(key)
        increments[key] = increments.get(key, 0) + amount

    def _forget_increments(self, steps: tuple[str, ...]) -> None:
        """A value that was set is no longer a sum: forget what was added to it, above it and below it."""
        if self._incremented is None or self._incremented[0] is not self._increments:
            self._incremented = (self._increments, KeyTree(self._increments))
        for each in self._incremented[1].cut(steps):
            self._increments.pop(each, None)  # of keys that were cleared since, the tree may know still

    # ---------------------------------------------------------------- flash data

    def flash(self, key: str, value: Any) -> None:
        """Set a key for this request and the next one."""
        self._put_flashed(key, value)
        self._flash_list("new").append(key)
        self._flash_list("old").remove(key)

    def flash_input(self, value: Any) -> None:
        """Flash form input, for `get_old_input` to find in the next request. npm: `flashInput`."""
        self.flash("_old_input", list(value) if isinstance(value, (list, tuple)) else [value])

    def now(self, key: str, value: Any) -> None:
        """Set a key for this request only."""
        self._put_flashed(key, value)
        self._flash_list("old").append(key)

    def reflash(self) -> None:
        """Keep all flash data for one more request."""
        self._add_to_new(self._flashed("old"))
        self._set_flashed("old", [])

    def keep(self, *keys: str | Iterable[str]) -> None:
        """Keep the given flash data, as arguments or in a list, for one more request."""
        names = [name for name in _flatten(keys) if isinstance(name, str)]  # nothing else can have been flashed
        self._add_to_new(names)
        self._remove_from_old(names)

    def age_flash_data(self) -> None:
        """Remove the flash data of the previous request. `save` does this itself, once a request.

        npm: `ageFlashData`.
        """
        for key in reversed(self._flashed("old")):  # the items of a list from its end, or they would move
            self.pull(key)
        self._set_flashed("old", self._flashed("new"))
        self._set_flashed("new", [])

    def _flashed(self, which: str) -> list[Any]:
        flash = self._attributes.get("flash")
        keys = flash.get(which) if isinstance(flash, dict) else None
        return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []

    def _set_flashed(self, which: str, keys: list[str]) -> None:
        self._is_pristine = False
        flash = self._attributes.get("flash")
        if not isinstance(flash, dict):  # a program has put something else there
            flash = self._attributes["flash"] = {}
        if self.is_late and keys != flash.get(which):
            self._note_late("flash")
        flash[which] = keys

    def _put_flashed(self, key: str, value: Any) -> None:
        self.put(key, value)
        if "flash" in key:  # it may lead into the lists themselves
            self._flashed_lists = None

    def _flash_list(self, which: str) -> _Keys:
        """One of the two lists, without anything that is no key, to be changed in place."""
        if self._flashed_lists is None:
            self._flashed_lists = {}
        known = self._flashed_lists.get(which)
        flash = self._attributes.get("flash")
        if known is None or not isinstance(flash, dict) or not known.are(flash.get(which)):
            keys = self._flashed(which)
            self._set_flashed(which, keys)
            known = self._flashed_lists[which] = _Keys(keys)
        self._is_pristine = False
        return known

    def _remove_from_old(self, keys: list[str]) -> None:
        removed = set(keys)
        self._set_flashed("old", [key for key in self._flashed("old") if key not in removed])

    def _add_to_new(self, keys: list[str]) -> None:
        self._set_flashed("new", list(dict.fromkeys([*self._flashed("new"), *keys])))

    # ---------------------------------------------------------------- CSRF token

    def get_token(self) -> Any:
        """The CSRF token, made when the session starts; without `saveUninitialized`, now. npm: `getToken`."""
        if self._token_on_demand and "_token" not in self._attributes:
            self.regenerate_token()
        token = self._find("_token")
        return None if token is paths.MISSING else token

    def regenerate_token(self) -> None:
        """Make a new CSRF token. npm: `regenerateToken`."""
        self.put("_token", ids.generate())

    def verify_token(self, token: object) -> bool:
        """Whether `token` is this session's CSRF token; takes the same time whatever is wrong with it."""
        own = self._attributes.get("_token")
        if not isinstance(token, str) or not isinstance(own, str) or not own:
            return False
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), own.encode("utf-8", "surrogatepass"))


def _no_such_key(key: str) -> KeyError:
    # With the key itself, as a dict's; but nobody catches most of them, and then it is in the log.
    return KeyError(quote_if_long(key))


def _flatten(keys: Iterable[str | Iterable[str]]) -> Iterator[str]:
    """Keys given one by one, in a list, or both."""
    for key in keys:
        if isinstance(key, str):
            yield key
        else:
            yield from key


class _Keys:
    """A list of flashed keys that is changed in place, and not searched for each key.

    A key's number is how many keys came in before it. It never changes, so the numbers of the keys that are left are in
    order, and a key is where its number is.
    """

    __slots__ = ("_keys", "_last", "_left", "_numbers")

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        self._numbers: dict[str, list[int]] | None = None  # of each key; a list of keys may be long, and not searched
        self._left: list[int] = []  # the numbers of the keys that are left
        self._last = 0

    def are(self, keys: object) -> bool:
        """Whether these keys are still that list, and nobody else has changed its length."""
        return keys is self._keys and (self._numbers is None or len(self._keys) == len(self._left))

    def append(self, key: str) -> None:
        self._keys.append(key)
        if self._numbers is not None:
            self._number(key)

    def remove(self, key: str) -> None:
        """Remove a key wherever it is."""
        if self._numbers is None:
            self._numbers = {}
            for each in self._keys:
                self._number(each)
        for number in self._numbers.pop(key, ()):
            place = bisect_left(self._left, number)
            if self._keys[place] != key:  # a program has put the items of the live list in another order
                self._keys[:] = [each for each in self._keys if each != key]
                self._numbers, self._left = None, []
                return
            del self._keys[place], self._left[place]

    def _number(self, key: str) -> None:
        assert self._numbers is not None  # noqa: S101 - for the type checker
        self._numbers.setdefault(key, []).append(self._last)
        self._left.append(self._last)
        self._last += 1
