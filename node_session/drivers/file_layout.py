"""The layouts of a folder of sessions: the names of its files, and where a record's time of last activity is.

- ``node-session``: the name is the id, and the time the file's own.
- ``express-session``, as session-file-store has it: the name is the id and ``.json``, and the time is a member of the
  JSON, ``__lastAccess``. Express writes it with each request, so it does not count when two versions are compared.

That library keeps a record for the `originalMaxAge` of its cookie, or else for its option `ttl`. A driver knows one
lifetime; so to a driver a record that lives longer than others was active later than it really was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

from .. import ids
from ..errors import UnsupportedError

_LAST_ACCESS = "__lastAccess"
_LONGEST_NAME = 250  # bytes, without the suffix

_MOST = 1e15  # milliseconds; a time or a length of time beyond it is none

# So that what it is taken off is JSON if, and only if, it was.
_find_stamp = re.compile(rb'(?:(?<![{\s]),|(?<=\{))"__lastAccess":(?:0|[1-9][0-9]{0,15})$').search
_LONGEST_STAMP = 32  # bytes


def _is_name(id: object) -> bool:
    if not isinstance(id, str) or not ids.ANY.is_valid(id):
        return False
    return "/" not in id and id[0] != "." and len(id.encode()) <= _LONGEST_NAME


class FileLayout:
    """The layout ``node-session``; base class of the others.

    Args:
        seconds: How long a record may be idle; 0: for ever.
    """

    half_written_for = 10_000
    """See `Driver`. The original truncates a file and then fills it. That takes a millisecond; but its machine may be
    busy, and the clock of a file server a little off."""

    keeps_time_inside = False
    """Whether the time of last activity is in the record."""

    suffix = ""
    """What follows the id in the name of a file."""

    is_id: Callable[[object], bool] = staticmethod(ids.is_valid)
    """Whether a value is an id, of which a path can be made."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def refusal(self, id: str) -> Exception:
        """Make the error for an id that is none, or cannot be the name of a file."""
        return ValueError("not a session id, so it is not made a path")

    def id_of(self, name: str) -> str | None:
        """The id of the record in a file of this name; None if it is no record."""
        id = name.removesuffix(self.suffix)
        return id if id + self.suffix == name and self.is_id(id) else None

    def active(self, content: bytes, written: float) -> float:
        """The time of last activity of a record, in seconds since 1970; `written` is the file's own."""
        return written

    def stamp(self, content: bytes, active: float) -> bytes:
        """Put the time of last activity into a record."""
        return content

    def unstamp(self, content: bytes) -> bytes:
        """Take it out again, if `stamp` has put it there."""
        return content

    def is_same(self, one: bytes | None, other: bytes | None) -> bool:
        """Whether two records are the same version."""
        return one == other


class OtherIdsLayout(FileLayout):
    """The layout ``node-session`` with ids of any form (the option `otherIds`) that can be the name of a file."""

    is_id = staticmethod(_is_name)

    def refusal(self, id: str) -> Exception:
        """See `FileLayout.refusal`."""
        return UnsupportedError(
            f"the id of session {ids.shorten(id)} cannot be the name of a file: the driver 'file' takes no ids with "
            f"'/', with '.' at their beginning or of more than {_LONGEST_NAME} bytes; the other drivers do"
        )


class ExpressLayout(OtherIdsLayout):
    """The layout ``express-session``."""

    half_written_for = 0  # it renames a new file over the old one
    keeps_time_inside = True
    suffix = ".json"

    def active(self, content: bytes, written: float) -> float:
        """See `FileLayout.active`."""
        record = _parse(content) or {}
        last_access = _number(record.get(_LAST_ACCESS))
        return written if last_access is None else last_access / 1000 + self._longer(record)

    def stamp(self, content: bytes, active: float) -> bytes:
        """See `FileLayout.stamp`."""
        record = _parse(content)
        if record is None:
            return content
        body = self.unstamp(content)
        if body is content and (_LAST_ACCESS in record or body[-1:] != b"}"):  # keys or blanks are behind it
            record.pop(_LAST_ACCESS, None)
            body = json.dumps(record, separators=(",", ":")).encode()
        time = max(0, int((active - self._longer(record)) * 1000))
        members = body[:-1].rstrip()
        return b'%b%b"__lastAccess":%d}' % (members, b"" if members[-1:] == b"{" else b",", time)

    def unstamp(self, content: bytes) -> bytes:
        """See `FileLayout.unstamp`."""
        return _without_stamp(content)

    def is_same(self, one: bytes | None, other: bytes | None) -> bool:
        """See `FileLayout.is_same`."""
        return one == other or (one is not None and other is not None and _plain(one) == _plain(other))

    def _longer(self, record: dict[str, Any]) -> float:
        """By how many seconds a record lives longer than others."""
        cookie = record.get("cookie")
        lifetime = _number(cookie.get("originalMaxAge")) if isinstance(cookie, dict) else None
        return 0 if not lifetime or not self._seconds else lifetime / 1000 - self._seconds


PLAIN = FileLayout(0)
"""The layout ``node-session``, which asks for no lifetime."""

# By the name of the format and the option `otherIds`. Express has no other ids: it takes any.
_KINDS: dict[tuple[str, bool], type[FileLayout]] = {
    ("node-session", False): FileLayout,
    ("node-session", True): OtherIdsLayout,
    ("express-session", False): ExpressLayout,
    ("express-session", True): ExpressLayout,
}


def choose(format: str, *, other_ids: bool) -> type[FileLayout]:
    """Choose the layout for the options `format` and `otherIds`."""
    return _KINDS[format, other_ids]


def _parse(content: bytes) -> dict[str, Any] | None:
    """Parse a record; None if it is not one."""
    try:
        try:
            record = orjson.loads(content)
        except ValueError:  # it may have a lone surrogate
            record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _plain(content: bytes) -> bytes:
    """A record without its times: those that change with each request of Express."""
    record = _parse(content)
    if record is None:
        return _without_stamp(content)
    record.pop(_LAST_ACCESS, None)
    if isinstance(record.get("cookie"), dict):
        record["cookie"].pop("expires", None)
    return json.dumps(record).encode()


def _without_stamp(content: bytes) -> bytes:
    """Take the stamp off; what is no JSON may have several, and none is left, so that it is the same version then."""
    end = len(content) - 1  # of what is before the last brace
    if content[end:] != b"}":
        return content
    while found := _find_stamp(content, max(0, end - _LONGEST_STAMP), end):
        end = found.start()
    return content if end == len(content) - 1 else content[:end] + b"}"


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _MOST else None
