"""Sessions made up to be expensive: make bench-hostile, or python tests/benchmarks/hostile.py.

Each shape is timed at a size and at the double of it. What a session costs may grow with its size only, so the double
takes about twice as long, and not four times. `test_hostile.py` counts the steps, which no neighbour disturbs.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from typing import Any

import orjson

from node_session import report, serializer
from node_session.csrf_token import CsrfToken
from node_session.merge import merge

Shape = Callable[[int], Callable[[], Any]]
"""Takes a size, roughly in bytes of stored text; gives what to measure, once."""

_MASK = 2**64 - 1


def _sides(make: Callable[[int], dict[str, Any]], **options: Any) -> Callable[[], Any]:
    """The merge of three sessions that are made of 0, 1 and 2."""
    base, mine, theirs = (orjson.loads(orjson.dumps(make(number))) for number in range(3))
    return lambda: merge(base, mine, theirs, **options)


def _nested(bottom: Any, levels: int, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(levels):
        bottom = wrap(bottom)
    return bottom


def deep_objects(size: int, levels: int = 240) -> Callable[[], Any]:
    """Each level has a text beside the next one; both sides changed the bottom."""
    text = "x" * (size // levels)
    return _sides(lambda number: {"a": _nested(number, levels, lambda inner: {"text": text, "a": inner})})


def deeper_objects(size: int) -> Callable[[], Any]:
    """The same, growing in depth."""
    return deep_objects(size, levels=max(1, size // 260))


def deep_tiny_lists(size: int, levels: int = 200) -> Callable[[], Any]:
    """Each level has many empty lists beside the next one."""
    beside = [[]] * (size // levels // 3)
    return _sides(lambda number: {"a": _nested([number], levels, lambda inner: [inner, *beside])})


def tiny_lists(size: int) -> Callable[[], Any]:
    """One list of empty lists, which both sides extend."""
    return _sides(lambda number: {"a": [*([[]] * (size // 3)), number]})


def deep_and_unchanged(size: int) -> Callable[[], Any]:
    """Many values nested 60 deep that neither side changed."""
    values = [_nested(place, 60, lambda inner: [inner]) for place in range(size // 130)]
    return _sides(lambda number: {"a": values, f"key{number}": number})


def flat_and_changed(size: int) -> Callable[[], Any]:
    """Many keys of which both sides changed each one."""
    return _sides(lambda number: {f"key{place}": number for place in range(size // 12)})


def changed_lists(size: int) -> Callable[[], Any]:
    """Many small lists in a list, all of them extended by both sides."""
    return _sides(lambda number: {"a": [[place, number] if number else [place] for place in range(size // 7)]})


def moved_items(size: int) -> Callable[[], Any]:
    """Both sides have another order."""
    items = [[place] for place in range(size // 7)]
    return _sides(lambda number: {"a": random.Random(number).sample(items, len(items))})


def _pairs_of_one_hash(count: int) -> list[list[int]]:
    """Pairs of integers of which the tuples have one hash: xxHash, as CPython does it, solved for the second one."""
    one, two, five = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x27D4EB2F165667C5
    after = 0x123456789ABCDEF * pow(one, -1, 2**64) & _MASK
    target = (after >> 31) | (after << 33) & _MASK
    pairs = []
    for first in range(10**9):
        lane = (five + first * two) & _MASK
        lane = ((lane << 31) | (lane >> 33)) * one & _MASK
        second = (target - lane) * pow(two, -1, 2**64) & _MASK
        if second < 2**61 - 1:
            pairs.append([first, second])
        if len(pairs) == count:
            return pairs
    raise AssertionError("unreachable")


def colliding_pairs(size: int) -> Callable[[], Any]:
    """Pairs of integers of which Python's tuples have one hash, in another order on each side."""
    pairs = _pairs_of_one_hash(size // 26)
    return _sides(lambda number: {"a": random.Random(number).sample(pairs, len(pairs))})


def flashed_by_all(size: int) -> Callable[[], Any]:
    """All sides list many flashed keys."""
    keys = [f"k{number}" for number in range(size // 16)]
    values = dict.fromkeys(keys, 1)
    lists = [{"old": [], "new": keys}, {"old": keys, "new": []}, {"old": keys[::-1], "new": []}]
    return _sides(lambda number: {**values, "flash": lists[number]}, aged=False)


def flashed_within(size: int) -> Callable[[], Any]:
    """Many flashed keys are many spellings of one path to a large value."""
    spellings = [f'a.b["{"c" * number}"]' for number in range(3)]
    keys = ["a", "a.b", *spellings] * (size // 32)
    sides = [{"a": {"b": {"": 1, "c": ["x"] * (size // 8), "n": number}}} for number in range(3)]
    return _sides(lambda number: {**sides[number], "flash": {"old": keys, "new": []}}, aged=False)


def sums_in_moved_lists(size: int) -> Callable[[], Any]:
    """Each of many increments is within a list that was reordered."""
    count = size // 16
    keys = {f"k{number}[0]": 1.0 for number in range(count)}
    made = [lambda n: [n, "x", "y"], lambda n: [n + 1, "y", "x"], lambda n: [n, "y", "z", "x"]]
    return _sides(lambda number: {f"k{n}": made[number](n) for n in range(count)}, increments=keys)


def _keys(size: int, make: Callable[[str], str] = str) -> list[str]:
    return [make(f"key{number}") for number in range(size // 16)]


def flash(size: int, make: Callable[[str], str] = str) -> Callable[[], Any]:
    """Each of many keys is flashed by a call of its own."""
    attributes = CsrfToken()
    return lambda: [attributes.flash(key, 1) for key in _keys(size, make)]


def flash_again(size: int, make: Callable[[str], str] = str) -> Callable[[], Any]:
    """Many keys that were flashed before are flashed again, in any order."""
    attributes = CsrfToken()
    keys = _keys(size, make)
    attributes.put("flash", {"old": [*keys], "new": []})
    random.Random(1).shuffle(keys)
    return lambda: [attributes.flash(key, 1) for key in keys]


def keep(size: int, make: Callable[[str], str] = str) -> Callable[[], Any]:
    """A list of as many keys as were flashed is kept."""
    attributes = CsrfToken()
    keys = _keys(size, make)
    attributes.put("flash", {"old": [*keys], "new": []})
    return lambda: attributes.keep(keys[::-1])


def now(size: int, make: Callable[[str], str] = str) -> Callable[[], Any]:
    """Many keys are there for this request only, and then end."""
    attributes = CsrfToken()
    return lambda: ([attributes.now(key, 1) for key in _keys(size, make)], attributes.age_flash_data())


def increments_then_sets(size: int, make: Callable[[str], str] = str) -> Callable[[], Any]:
    """Many keys are added to, and as many others are set."""
    attributes = CsrfToken()
    keys = _keys(size, make)

    def run() -> None:
        for key in keys:
            attributes.increment("sums." + key)
        for key in keys:
            attributes.put("sums.x" + key, 1)

    return run


def reported(size: int) -> Callable[[], Any]:
    """Many changes below a long key, for the report."""
    before = {"x" * (size // 2): dict.fromkeys(_keys(size), 1)}
    after = {"x" * (size // 2): dict.fromkeys(_keys(size), 2)}
    return lambda: report.changed_keys(serializer.dumps(before), after)


SHAPES: list[Shape] = [
    deep_objects,
    deeper_objects,
    deep_tiny_lists,
    tiny_lists,
    deep_and_unchanged,
    flat_and_changed,
    changed_lists,
    moved_items,
    colliding_pairs,
    flashed_by_all,
    flashed_within,
    sums_in_moved_lists,
    flash,
    flash_again,
    keep,
    now,
    increments_then_sets,
    reported,
]


def measure(shape: Shape, size: int, runs: int = 5) -> float:
    """Milliseconds of processor time, the best of some runs, each of which has a session of its own."""
    best = float("inf")
    for _ in range(runs):
        run = shape(size)
        gc.collect()
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best * 1e3


def main() -> None:
    print("| | 64 KB, ms | 128 KB, ms | times |\n|---|---:|---:|---:|")
    for shape in SHAPES:
        small, large = (30_000, 60_000) if shape is deeper_objects else (64_000, 128_000)  # no deeper than may be
        one, two = measure(shape, small), measure(shape, large)
        print(f"| {shape.__name__.replace('_', ' ')} | {one:.1f} | {two:.1f} | {two / one:.1f} |", flush=True)


if __name__ == "__main__":
    main()
