"""Removing expired records in steps: each promise of `removal`, on a list."""

from __future__ import annotations

import asyncio

import pytest

from node_session.drivers import removal
from node_session.drivers.removal import Expired, all_of, remove_in_steps


class Store:
    """Records by last activity, of which some cannot be removed; notes what it is asked."""

    def __init__(self, times, kept=()) -> None:
        self.records = [Expired(f"{number}", time) for number, time in enumerate(sorted(times))]
        self.kept = set(kept)
        self.looks: list[float] = []
        self.steps: list[int] = []

    async def look(self, since):
        self.looks.append(since)
        return [each for each in self.records if each.last_activity >= since][: removal.LOOK]

    async def remove(self, expired):
        self.steps.append(len(expired))
        gone = {each for each in expired if each.id not in self.kept}
        self.records = [each for each in self.records if each not in gone]
        return len(gone)

    def gc(self) -> int:
        return asyncio.run(all_of(remove_in_steps(self.look, self.remove)))


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch) -> None:
    monkeypatch.setattr(removal, "STEP", 10)
    monkeypatch.setattr(removal, "LOOK", 30)


def test_steps():
    """Each look begins at the last record of the one before, and its records are removed in steps."""
    store = Store(range(100, 195))
    assert store.gc() == 95 and not store.records
    assert store.looks == [0, 129, 159, 189] and store.steps == [*[10] * 9, 5]


@pytest.mark.parametrize("number", [0, 1, 30, 60])
def test_edges(number):
    """However many there are, all are removed, and the number is exact."""
    store = Store(range(number))
    assert store.gc() == number and not store.records


def test_of_the_same_time():
    """Records of one and the same time are removed, however many there are."""
    store = Store([5] * 95)
    assert store.gc() == 95 and not store.records


@pytest.mark.parametrize("times", [range(95), [5] * 95, [5] * 40 + [6] * 55])
def test_records_that_stay(times):
    """Records that cannot be removed neither keep a sweep going for ever nor count."""
    store = Store(times, kept=map(str, range(95)))
    assert store.gc() == 0 and len(store.records) == 95
    store = Store(range(95), kept=map(str, range(0, 95, 2)))
    assert store.gc() == 47 and len(store.records) == 48


def test_stopped_half_way():
    """Nothing is removed after somebody has taken as many steps as they want."""

    async def main() -> None:
        store = Store(range(95))
        steps = remove_in_steps(store.look, store.remove)
        assert [await steps.__anext__(), await steps.__anext__()] == [10, 10]
        await steps.aclose()
        assert len(store.records) == 75

    asyncio.run(main())
