"""Finding sessions: one by the start of its id, several by their values."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from .. import ids, paths
from ..drivers import Entry
from ..errors import ConfigError, DamagedError, SessionError
from ..ids import Rule
from ..records import Records
from .open_store import OpenStore
from .spelling import short, warn


class NotFoundError(SessionError):
    """No session has such an id."""


async def find(store: OpenStore, start: str) -> tuple[Records, str]:
    """Find the one record whose id is `start` or begins with it.

    Returns:
        The records that know it by this id (`OpenStore.records` or `OpenStore.kept`), and its whole id.

    Raises:
        NotFoundError: There is none, or more than one.
    """
    if store.records.ids.is_valid(start):  # which may be the beginning of another one as well
        for records in (store.records, store.kept):
            with contextlib.suppress(DamagedError):
                if await records.driver.read(start) is None:
                    continue
            return records, start
        if ids.is_valid(start):
            raise NotFoundError(f"there is no session {ids.shorten(start)}")
    found, count = "", 0
    async for entry in store.scan():
        if entry.id.startswith(start):
            found, count = entry.id, count + 1
    if count != 1:
        start = f"{start[:6]}…"
        if not count:
            raise NotFoundError(f"there is no session whose id begins with {start!r}; ls lists them")
        raise NotFoundError(f"the ids of {count} sessions begin with {start!r}; give more characters of the id")
    return store.kept, found


def is_session(entry: Entry, rule: Rule) -> bool:
    """Whether a record has a session's id; if not, warn that it is passed over."""
    if rule.is_valid(entry.id):
        return True
    warn(f"the record {short(entry.id)} is passed over: its id is not a session's")
    return False


def require_readable(store: OpenStore) -> None:
    """Refuse ``--user`` on a store whose records cannot be read.

    Raises:
        ConfigError: It is such a store.
    """
    if store.is_unreadable:
        raise ConfigError("--user: with hashIds, encrypted records can be read with their sessions' cookies only")


def holds(attributes: dict[str, Any], wanted: list[tuple[str, str]]) -> bool:
    """Whether a session holds all these values, as text or as JSON (``--user``)."""
    return all(_holds(attributes, key, value) for key, value in wanted)


def _holds(attributes: dict[str, Any], key: str, value: str) -> bool:
    found = paths.find(attributes, key)
    if found is paths.MISSING:
        return False
    return value in (found, json.dumps(found, ensure_ascii=False))
