"""ls and show: list the sessions of a store, or print one of them."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from .. import ids
from ..drivers import Entry
from ..errors import DamagedError, MismatchError, UnsupportedError
from ..farewell import is_farewell, shorten_tokens
from ..roster import is_roster, map_ids
from .each import watched
from .finding import find, holds, require_readable
from .lines import Line, Lines
from .open_store import OpenStore, open_store, unreadable
from .outcome import ATTENTION, DONE, Outcome
from .spelling import aligned, plural, printable, size, span


async def ls(options: argparse.Namespace) -> Outcome:
    """List the sessions."""
    lines = Lines()
    async with open_store(options.config) as store:
        if options.user:
            require_readable(store)
        async for entry in watched(store.scan()):
            line, attributes = await look(store, entry)
            if (
                not is_farewell(attributes, store.records.format)
                and not is_roster(attributes)
                and holds(attributes, options.user)
            ):
                lines.add(line)
    return _listing(
        lines, lambda: lines.sorted(options.sort, reverse=options.reverse, limit=options.limit), options.whole
    )


async def show(options: argparse.Namespace) -> Outcome:
    """Print what a session holds."""
    async with open_store(options.config) as store:
        records, id = await find(store, options.id)
        name = id if options.whole else ids.shorten(id)
        shown = printable(name, kept="")
        try:
            record = await records.driver.read(id)
            if record is None:
                raise DamagedError("it has just been removed")
            if records is store.kept and store.is_unreadable:
                raise unreadable()
            attributes = (await records.parse(record, id)).attributes
        except (DamagedError, UnsupportedError) as error:
            cure = f"; {error.cure}" if isinstance(error, MismatchError) else ""
            return Outcome(f"{shown} cannot be shown: {error}{cure}", {"id": name, "damage": str(error)}, ATTENTION)
    if not options.whole:
        shorten_tokens(attributes)
    if not options.whole and is_roster(attributes):
        attributes = map_ids(attributes, ids.shorten)
    bytes = _size(record.payload)
    text = f"{shown}, {size(bytes)}\n{json.dumps(attributes, ensure_ascii=False, indent=2)}"
    return Outcome(text, {"id": name, "size": bytes, "attributes": attributes})


async def look(store: OpenStore, entry: Entry) -> tuple[Line, dict[str, Any]]:
    """Look at a listed record.

    Returns:
        Its line and its content; no content if it is damaged, or none can be read.
    """
    attributes: dict[str, Any] = {}
    damage, is_mismatch = "", False
    idle = time.time() * 1000 - entry.last_activity
    if not store.is_unreadable:
        try:
            loaded = await store.load(entry)
            attributes, idle = loaded.attributes, loaded.idle  # which the stored time alone does not tell of all
        except DamagedError as error:
            damage, is_mismatch = str(error), isinstance(error, MismatchError)
    return Line(entry.id, _size(entry.payload), max(0.0, idle), damage, is_mismatch), attributes


def _size(payload: str) -> int:
    return len(payload.encode("utf-8", "surrogatepass"))


def _listing(lines: Lines, shown: Callable[[], Iterator[Line]], whole: bool) -> Outcome:
    """Make the outcome; it gets each of the lines only when it is printed."""

    def rows() -> Iterator[tuple[str, ...]]:
        yield "ID", "SIZE", "IDLE", ""
        for line in shown():
            yield _name(line, whole), size(line.size), span(line.idle), _spell_damage(line)

    def text() -> Iterator[str]:
        if next(shown(), None) is not None:
            yield from aligned(rows)
        yield f"{plural(lines.count, 'session')}, {size(lines.size)}"

    data = (
        {
            "id": _name(line, whole),
            "size": line.size,
            "idleMilliseconds": round(line.idle),
            **({"damage": line.damage} if line.damage else {}),
        }
        for line in shown()
    )
    return Outcome(text(), data, ATTENTION if lines.damaged else DONE)


def _name(line: Line, whole: bool) -> str:
    return line.id if whole else ids.shorten(line.id)


def _spell_damage(line: Line) -> str:
    return f"{'unreadable' if line.is_mismatch else 'damaged'}: {line.damage}" if line.damage else ""
