"""stats: the number of sessions, their sizes and their idle times."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

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
    sizes: list[int] = []
    idles: list[float] = []
    damaged = 0
    async with open_store(options.config) as store:
        async for entry in store.scan():
            line, _ = await look(store, entry)
            sizes.append(line.size)
            idles.append(line.idle)
            damaged += bool(line.damage)
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


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"least": round(min(values)), "median": round(statistics.median(values)), "most": round(max(values))}


def _sentence(name: str, values: Sequence[float], spell: Callable[[float], str]) -> str:
    return f"{name}: {spell(min(values))} to {spell(max(values))}, median {spell(statistics.median(values))}"


def _histogram(values: Sequence[float], limits: Sequence[tuple[float, str]]) -> list[tuple[str, int]]:
    """Count the values up to each limit and above the one before."""
    counts = dict.fromkeys((name for _, name in limits), 0)
    for value in values:
        counts[next(name for limit, name in limits if value <= limit)] += 1
    return list(counts.items())
