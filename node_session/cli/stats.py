"""stats: the number of sessions, their sizes and their idle times."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from ..farewell import is_farewell
from ..roster import is_roster
from .each import watched
from .lines import Lines, Spread
from .listing import look
from .open_store import open_store
from .outcome import ATTENTION, DONE, Outcome
from .spelling import bars, plural, size, span

_SIZES = [(1000, "to 1 kB"), (4000, "to 4 kB"), (16_000, "to 16 kB"), (64_000, "to 64 kB"), (float("inf"), "more")]
_IDLE = [
    (60_000, "to 1 min"),
    (300_000, "to 5 min"),
    (3_600_000, "to 1 h"),
    (86_400_000, "to 1 d"),
    (7 * 86_400_000, "to 7 d"),
    (float("inf"), "longer"),
]


async def stats(options: argparse.Namespace) -> Outcome:
    """Count the sessions."""
    lines, old, lists = Lines(), 0, 0
    async with open_store(options.config) as store:
        async for entry in watched(store.scan()):
            line, attributes = await look(store, entry)
            if is_farewell(attributes, store.records.format):
                old += 1
            elif is_roster(attributes):
                lists += 1
            else:
                lines.add(line)
    sizes, idles = lines.spread("size"), lines.spread("idle")
    data = {
        "sessions": lines.count,
        "damaged": lines.damaged,
        "old": old,
        "lists": lists,
        "bytes": {"total": lines.size, **_rounded(sizes)},
        "idleMilliseconds": _rounded(idles),
    }
    text = [f"{plural(lines.count, 'session')}, {size(lines.size)}"]
    if sizes and idles:
        text += [_sentence("size", sizes, size), bars(_histogram(lines.values("size"), _SIZES))]
        text += [_sentence("idle", idles, span), bars(_histogram(lines.values("idle"), _IDLE))]
    if old:
        text.append(f"not counted: {plural(old, 'old record')} of regenerated sessions")
    if lists:
        text.append(f"not counted: {plural(lists, 'list')} of a user's devices")
    if lines.damaged:
        text.append(f"{plural(lines.damaged, 'unreadable record')}: see ls")
    return Outcome("\n".join(text), data, ATTENTION if lines.damaged else DONE)


def _rounded(spread: Spread | None) -> dict[str, float]:
    return {} if spread is None else {name: round(value) for name, value in spread._asdict().items()}


def _sentence(name: str, spread: Spread, spell: Callable[[float], str]) -> str:
    return f"{name}: {spell(spread.least)} to {spell(spread.most)}, median {spell(spread.median)}"


def _histogram(values: Iterable[float], limits: Sequence[tuple[float, str]]) -> list[tuple[str, int]]:
    """Count the values up to each limit and above the one before."""
    counts = dict.fromkeys((name for _, name in limits), 0)
    for value in values:
        counts[next(name for limit, name in limits if value <= limit)] += 1
    return list(counts.items())
