"""Flash data: attributes for the next request only, as "Saved." after a redirect.

    session.flash("status", "Saved.")   # for this request and the next one
    session.get("status")               # 'Saved.'

The session lists the keys, in ``flash`` (or another key, by its format): those in ``new`` are for the next request,
those in ``old`` go with this one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from . import paths
from .attributes import Attributes, flatten
from .content import Content
from .formats import Format

_NO_FLASH: dict[str, list[str]] = {"old": [], "new": []}


class Flash(Attributes):
    """Attributes with flash data among them."""

    __slots__ = ()

    def flash(self, key: str, value: Any) -> None:
        """Set a key for this request and the next one."""
        self._put_flashed(key, value)
        self._live_list("new").append(key)
        self._live_list("old").remove(key)

    def flash_input(self, value: Any) -> None:
        """Flash form input for `get_old_input` in the next request. npm: `flashInput`."""
        self.flash("_old_input", list(value) if isinstance(value, (list, tuple)) else [value])

    def get_old_input(self, key: str, default: Any = None) -> Any:
        """A field of the form input that the previous request flashed with `flash_input`."""
        flashed = self.get("_old_input")
        for fields in reversed(flashed if isinstance(flashed, list) else []):
            value = paths.find(fields, key) if isinstance(fields, dict) else paths.MISSING
            if value is not paths.MISSING:
                return value
        return default

    def get_flashed(self, key: str) -> list[Any]:
        """Take what was flashed under a key, as a list: each of it is shown once.

        In the format express-session these are also the messages of connect-flash: ``get_flashed("info")`` is its
        ``req.flash("info")``.
        """
        format, found = self._content.format, []
        if isinstance(_messages(self._content.attributes, format.messages_key, key), list):
            found += self._change(_take_messages, str(format.messages_key), key, is_literal=True)
        if key in self._flashed("new") or key in self._flashed("old"):
            value = self.pull(key, [])
            found += value if isinstance(value, list) else [value]
        return found

    def now(self, key: str, value: Any) -> None:
        """Set a key for this request only."""
        self._put_flashed(key, value)
        self._live_list("old").append(key)
        if self._content.passing is None:
            self._content.passing = []
        self._content.passing.append(key)

    def reflash(self) -> None:
        """Keep all flash data for one more request."""
        self._add_to_new(self._flashed("old"))
        self._set_flashed("old", [])

    def keep(self, *keys: str | Iterable[str]) -> None:
        """Keep the given flash data, as arguments or in a list, for one more request."""
        names = [name for name in flatten(keys) if isinstance(name, str)]  # nothing else can have been flashed
        self._add_to_new(names)
        kept = set(names)
        self._set_flashed("old", [key for key in self._flashed("old") if key not in kept])

    def age_flash_data(self) -> None:
        """Remove the flash data of the previous request. npm: `ageFlashData`.

        `save` does this itself, once a request.
        """
        self._content.passing = None
        for key in reversed(self._flashed("old")):  # the items of a list from its end, or they would move
            self.pull(key)
        self._set_flashed("old", self._flashed("new"))
        self._set_flashed("new", [])

    def _drop_passing(self) -> None:
        """Remove what `now` has set, unless it was flashed or kept since."""
        passing, self._content.passing = set(self._content.passing or ()), None
        old = self._flashed("old")
        for key in reversed(old):
            if key in passing:
                self.pull(key)
        self._set_flashed("old", [key for key in old if key not in passing])

    def _keep_shown(self) -> None:
        """Keep the data flashed since the last aging: the next request must find it, too."""
        if self._content.passing is not None:
            self._drop_passing()
        if self._flashed("new"):
            self._set_flashed("old", list(dict.fromkeys([*self._flashed("old"), *self._flashed("new")])))
            self._set_flashed("new", [])

    def _flashed(self, which: str) -> list[str]:
        """A copy of one of the two lists, without values that are no keys."""
        content = self._content
        flash = content.attributes.get(content.format.flash_key)
        keys = flash.get(which) if isinstance(flash, dict) else None
        return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []

    def _set_flashed(self, which: str, keys: list[str]) -> None:
        self._change(_set_list, self._content.format.flash_key, which, keys, is_literal=True)

    def _put_flashed(self, key: str, value: Any) -> None:
        self.put(key, value)
        if "flash" in key:  # it may lead into the lists themselves
            self._content.flashed_lists = None

    def _live_list(self, which: str) -> _Keys:
        """One of the two lists, without values that are no keys, to change it in place."""
        if self._content.flashed_lists is None:
            self._content.flashed_lists = {}
        known = self._content.flashed_lists.get(which)
        flash = self._hand_out(self._content.attributes.get(self._content.format.flash_key))
        if known is None or not isinstance(flash, dict) or not known.are(flash.get(which)):
            keys = self._flashed(which)
            self._set_flashed(which, keys)
            known = self._content.flashed_lists[which] = _Keys(keys)
        return known

    def _add_to_new(self, keys: list[str]) -> None:
        self._set_flashed("new", list(dict.fromkeys([*self._flashed("new"), *keys])))


def _set_list(attributes: dict[str, Any], key: str, which: str, keys: list[str]) -> Any:
    """Set one of the two lists of flashed keys; `paths.MISSING` if it was the same."""
    flash = attributes.get(key)
    if not isinstance(flash, dict):  # a program has put something else there
        flash = attributes[key] = {}
    before = flash.get(which)
    flash[which] = keys
    return paths.MISSING if before == keys else None


def _messages(attributes: dict[str, Any], messages_key: str | None, key: str) -> Any:
    """The messages that another program has flashed under a key."""
    messages = None if messages_key is None else attributes.get(messages_key)
    return messages.get(key) if isinstance(messages, dict) else None


def _take_messages(attributes: dict[str, Any], messages_key: str, key: str) -> Any:
    return attributes[messages_key].pop(key)


def settle_flash(content: Content) -> None:
    """Bring the flash data into the state in which the next request should find it."""
    format = content.format
    if content.ages_flash:
        listed = content.attributes.get(format.flash_key)
        if listed != _NO_FLASH and (listed is not None or format.lists_no_flash):
            Flash(content).age_flash_data()
        content.ages_flash, content.changes.aged = False, True
    elif format.flash_key in content.attributes:
        Flash(content)._keep_shown()
    if not format.lists_no_flash:
        unlist_no_flash(content)


def list_no_flash(attributes: dict[str, Any], format: Format) -> None:
    """Give a session lists of flashed keys for a merge, in a format that leaves out empty ones."""
    attributes.setdefault(format.flash_key, {"old": [], "new": []})


def unlist_no_flash(content: Content) -> None:
    """Remove empty lists of flashed keys, for a format that leaves them out."""
    if content.attributes.get(content.format.flash_key) == _NO_FLASH:
        content.is_pristine = False
        del content.attributes[content.format.flash_key]


class _Keys:
    """A list of flashed keys that is changed in place without a search for each key.

    A key's number is the number of keys that came before it. It never changes, so the numbers of the keys that are
    left are in order, and the place of a number is the place of its key.
    """

    __slots__ = ("_keys", "_last", "_left", "_numbers")

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        self._numbers: dict[str, list[int]] | None = None  # by key; made by the first `remove`
        self._left: list[int] = []  # the numbers of the keys that are left
        self._last = 0

    def are(self, keys: object) -> bool:
        """Whether these keys are still that list, and nobody else has changed its length."""
        return keys is self._keys and (self._numbers is None or len(self._keys) == len(self._left))

    def append(self, key: str) -> None:
        """Append a key."""
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
            if self._keys[place] != key:  # a program has changed the order of the live list
                self._keys[:] = [each for each in self._keys if each != key]
                self._numbers, self._left = None, []
                return
            del self._keys[place], self._left[place]

    def _number(self, key: str) -> None:
        assert self._numbers is not None  # noqa: S101 - for the type checker
        self._numbers.setdefault(key, []).append(self._last)
        self._left.append(self._last)
        self._last += 1
