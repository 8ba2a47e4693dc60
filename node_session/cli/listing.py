"""ls, show, stats: what is in a store. None of them changes anything in it."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any, NamedTuple

from .. import ids, paths, serializer
from ..drivers import Entry
from ..errors import ConfigError, DamagedError, MismatchError
from .outcome import ATTENTION, DONE, Outcome, bars, columns, plural, printable, size, span
from .records import Records, find, open_records

_SIZES = [(1000, "to 1 kB"), (4000, "to 4 kB"), (16_000, "to 16 kB"), (64_000, "to 64 kB"), (float("inf"), "more")]
_IDLE = [
    (60_000, "to 1 min"),
    (300_000, "to 5 min"),
    (3_600_000, "to 1 h"),
    (86_400_000, "to 1 d"),
    (7 * 86_400_000, "to 7 d"),
    (float("inf"), "longer"),
]


class _Line(NamedTuple):
    """What a listing keeps of a record: not its text, or a large store would not fit into memory."""

    id: str
    size: int
    idle: float
    damage: DamagedError | None


async def ls(options: argparse.Namespace) -> Outcome:
    """List the sessions."""
    lines: list[_Line] = []
    async with open_records(options.config) as records:
        if options.user:
            require_readable(records)
        async for entry in records.scan():
            attributes, damage = await _look(records, entry)
            if holds(attributes, options.user):
                lines.append(_line(entry, damage))
    lines.sort(key=lambda line: getattr(line, options.sort), reverse=options.reverse)
    shown = lines[: options.limit]
    return _listing(lines, shown, options.whole)


async def show(options: argparse.Namespace) -> Outcome:
    """Print what a session holds."""
    async with open_records(options.config) as records:
        driver, id = await find(records, options.id)
        name = id if options.whole else ids.shorten(id)
        shown = printable(name, kept="")
        try:
            record = await driver.read(id)
            payload = "" if record is None else record.payload
            if driver is records.kept and records.is_sealed:
                raise DamagedError("with hashIds, an encrypted record can be read with its session's cookie only")
            attributes = serializer.loads(records.reveal(payload, id))
        except DamagedError as error:
            cure = f"; {error.cure}" if isinstance(error, MismatchError) else ""
            return Outcome(f"{shown} cannot be shown: {error}{cure}", {"id": name, "damage": str(error)}, ATTENTION)
    token = attributes.get("_token")
    if not options.whole and isinstance(token, str):
        attributes["_token"] = ids.shorten(token)
    bytes = len(payload.encode("utf-8", "surrogatepass"))
    text = f"{shown}, {size(bytes)}\n{json.dumps(attributes, ensure_ascii=False, indent=2)}"
    return Outcome(text, {"id": name, "size": bytes, "attributes": attributes})


async def stats(options: argparse.Namespace) -> Outcome:
    """Count the sessions."""
    sizes: list[int] = []
    idles: list[float] = []
    damaged = 0
    async with open_records(options.config) as records:
        async for entry in records.scan():
            _, damage = await _look(records, entry)
            line = _line(entry, damage)
            sizes.append(line.size)
            idles.append(line.idle)
            damaged += bool(damage)
    data = {
        "sessions": len(sizes),
        "damaged": damaged,
        "bytes": {"total": sum(sizes), **_spread(sizes)},
        "idleMilliseconds": _spread(idles),
    }
    text = [f"{plural(len(sizes), 'session')}, {size(sum(sizes))}"]
    if sizes:
        text += [_sentence("size", sizes, size), bars(_histogram(sizes, _SIZES))]
        text += [_sentence("idle", idles, span), bars(_histogram(idles, _IDLE))]
    if damaged:
        text.append(f"{plural(damaged, 'unreadable record')}: see ls")
    return Outcome("\n".join(text), data, ATTENTION if damaged else DONE)


async def _look(records: Records, entry: Entry) -> tuple[dict[str, Any], DamagedError | None]:
    """What a record holds, or what is wrong with it."""
    if records.is_sealed:
        return {}, None
    try:
        return serializer.loads(await records.text(entry)), None
    except DamagedError as error:
        return {}, error


def _line(entry: Entry, damage: DamagedError | None) -> _Line:
    idle = max(0.0, time.time() * 1000 - entry.last_activity)
    return _Line(entry.id, len(entry.payload.encode("utf-8", "surrogatepass")), idle, damage)


def require_readable(records: Records) -> None:
    """Refuse ``--user`` on a store of which no record can be read.

    Raises:
        ConfigError: It is such a store.
    """
    if records.is_sealed:
        raise ConfigError("--user: with hashIds, encrypted records can be read with their sessions' cookies only")


def holds(attributes: dict[str, Any], wanted: list[tuple[str, str]]) -> bool:
    """Whether a session has all these values (``--user``)."""
    return all(_holds(attributes, key, value) for key, value in wanted)


def _holds(attributes: dict[str, Any], key: str, value: str) -> bool:
    """Whether a session has this value: as text, or as JSON spells it (42, true)."""
    found = paths.find(attributes, key)
    if found is paths.MISSING:
        return False
    return value in (found, json.dumps(found, ensure_ascii=False))


def _listing(lines: list[_Line], shown: list[_Line], whole: bool) -> Outcome:
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


def _spread(values: list[Any]) -> dict[str, float]:
    if not values:
        return {}
    return {"least": round(min(values)), "median": round(statistics.median(values)), "most": round(max(values))}


def _sentence(name: str, values: list[Any], spell: Any) -> str:
    return f"{name}: {spell(min(values))} to {spell(max(values))}, median {spell(statistics.median(values))}"


def _histogram(values: list[Any], limits: list[tuple[float, str]]) -> list[tuple[str, int]]:
    """How many values are up to each limit, and above the one before."""
    counts = dict.fromkeys((name for _, name in limits), 0)
    for value in values:
        counts[next(name for limit, name in limits if value <= limit)] += 1
    return list(counts.items())
