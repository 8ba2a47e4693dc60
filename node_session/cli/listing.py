"""ls and show: list the sessions of a store, or print one of them."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any, NamedTuple

from .. import ids
from ..drivers import Entry
from ..errors import DamagedError, MismatchError
from .finding import find, holds, require_readable
from .open_store import OpenStore, open_store, unreadable
from .outcome import ATTENTION, DONE, Outcome
from .spelling import columns, plural, printable, size, span


class Line(NamedTuple):
    """A record in a listing: without its text, to fit into memory."""

    id: str
    size: int
    idle: float
    damage: DamagedError | None


async def ls(options: argparse.Namespace) -> Outcome:
    """List the sessions."""
    lines: list[Line] = []
    async with open_store(options.config) as store:
        if options.user:
            require_readable(store)
        async for entry in store.scan():
            line, attributes = await look(store, entry)
            if holds(attributes, options.user):
                lines.append(line)
    lines.sort(key=lambda line: getattr(line, options.sort), reverse=options.reverse)
    return _listing(lines, lines[: options.limit], options.whole)


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
        except DamagedError as error:
            cure = f"; {error.cure}" if isinstance(error, MismatchError) else ""
            return Outcome(f"{shown} cannot be shown: {error}{cure}", {"id": name, "damage": str(error)}, ATTENTION)
    token = attributes.get("_token")
    if not options.whole and isinstance(token, str):
        attributes["_token"] = ids.shorten(token)
    bytes = _size(record.payload)
    text = f"{shown}, {size(bytes)}\n{json.dumps(attributes, ensure_ascii=False, indent=2)}"
    return Outcome(text, {"id": name, "size": bytes, "attributes": attributes})


async def look(store: OpenStore, entry: Entry) -> tuple[Line, dict[str, Any]]:
    """Look at a listed record.

    Returns:
        Its line and its content; no content if it is damaged, or none can be read.
    """
    attributes: dict[str, Any] = {}
    damage = None
    if not store.is_unreadable:
        try:
            attributes = (await store.load(entry)).attributes
        except DamagedError as error:
            damage = error
    idle = max(0.0, time.time() * 1000 - entry.last_activity)
    return Line(entry.id, _size(entry.payload), idle, damage), attributes


def _size(payload: str) -> int:
    return len(payload.encode("utf-8", "surrogatepass"))


def _listing(lines: list[Line], shown: list[Line], whole: bool) -> Outcome:
    data = [
        {
            "id": line.id if whole else ids.shorten(line.id),
            "size": line.size,
            "idleMilliseconds": round(line.idle),
            **({"damage": str(line.damage)} if line.damage else {}),
        }
        for line in shown
    ]
    rows = [
        (str(each["id"]), size(line.size), span(line.idle), _spell_damage(line.damage))
        for each, line in zip(data, shown, strict=True)
    ]
    total = f"{plural(len(lines), 'session')}, {size(sum(line.size for line in lines))}"
    text = "\n".join([columns([("ID", "SIZE", "IDLE", ""), *rows]), total]) if rows else total
    return Outcome(text, data, ATTENTION if any(line.damage for line in lines) else DONE)


def _spell_damage(damage: DamagedError | None) -> str:
    if damage is None:
        return ""
    return f"{'unreadable' if isinstance(damage, MismatchError) else 'damaged'}: {damage}"
