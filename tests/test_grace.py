"""What a late request finds that still brings the cookie of a regenerated session."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from node_session import GoneError, Store
from node_session.drivers import MemoryDriver
from node_session.store import Terms

run = asyncio.run


def regenerate_and_store(driver, **terms):
    """A session with data is regenerated with destroy=True; gives the old id and the new session."""

    async def main():
        first = Store("s", driver, terms=Terms(**terms))
        await first.start()
        first.put("cart", ["book"])
        await first.save()
        old = first.get_id()
        second = Store("s", driver, old, terms=Terms(**terms))
        await second.start()
        second.put("user", "ann")
        second.regenerate(True)
        await second.save()
        return old, second

    return run(main())


def test_grace_reads_what_was():
    """Within the grace, the old id gives what the session held before, not what it became; nothing is saved by it."""
    driver = MemoryDriver(0)
    old, new = regenerate_and_store(driver, grace=10_000, strict=True)
    before = dict(driver._records)

    async def main():
        late = Store("s", driver, old, terms=Terms(grace=10_000, strict=True))
        await late.start()
        assert (late.get("cart"), late.get("user"), late.get_id(), late.is_gone) == (["book"], None, old, True)
        late.put("x", 1)
        await late.save()
        await late.touch()
        assert await late.take("cart") is None
        assert await late.reload() is False
        with pytest.raises(GoneError):
            async with late.transaction():
                pass

    run(main())
    assert {id: record[0] for id, record in driver._records.items()} == {id: record[0] for id, record in before.items()}
    assert new.get("user") == "ann"


@pytest.mark.parametrize("strict", [True, False])
def test_grace_ends(monkeypatch, strict):
    """After the grace the old id is nobody's: a fresh id, nothing of the data, and the record is gone."""
    driver = MemoryDriver(0)
    old, _ = regenerate_and_store(driver, grace=10_000, strict=strict)
    later = time.time() + 20.1
    monkeypatch.setattr(time, "time", lambda: later)

    async def main():
        late = Store("s", driver, old, terms=Terms(grace=10_000, strict=strict))
        await late.start()
        assert late.get("cart") is None and late.get_id() != old and not late.is_gone
        assert await driver.read(old) is None

    run(main())


def test_no_grace_after_a_logout():
    """What invalidate() destroyed is destroyed at once."""
    driver = MemoryDriver(0)

    async def main():
        first = Store("s", driver, terms=Terms(grace=10_000))
        await first.start()
        await first.save()
        second = Store("s", driver, first.get_id(), terms=Terms(grace=10_000))
        await second.start()
        second.invalidate()
        await second.save()
        assert await driver.read(first.get_id()) is None

    run(main())


def test_no_grace_if_not_wanted():
    """With regenerateGrace 0 nobody can read from the old record; it tells only those who have its id where to."""
    driver = MemoryDriver(0)
    old, new = regenerate_and_store(driver, grace=0)
    kept = run(driver.read(old)).payload
    assert json.loads(kept).keys() == {"_left"} and "book" not in kept and new.get_id() not in kept

    async def main():
        late = Store("s", driver, old, terms=Terms(strict=True))
        await late.start()
        assert late.get("cart") is None and late.get_id() != old and not late.is_gone

    run(main())


def test_request_under_way_stays_gone():
    """A request that loaded the session before it was regenerated cannot save over the farewell."""
    driver = MemoryDriver(0)

    async def main():
        first = Store("s", driver, terms=Terms(grace=10_000))
        await first.start()
        await first.save()
        under_way, rotating = (Store("s", driver, first.get_id(), terms=Terms(grace=10_000)) for _ in range(2))
        await under_way.start()
        await rotating.start()
        rotating.regenerate(True)
        await rotating.save()
        kept = (await driver.read(first.get_id())).payload
        under_way.put("x", 1)
        await under_way.save()
        assert under_way.is_gone and (await driver.read(first.get_id())).payload == kept

    run(main())


def test_farewell_is_no_session_of_a_user():
    """A session that stores something under the farewell's name is a session like any other."""
    driver = MemoryDriver(0)

    async def main():
        first = Store("s", driver)
        await first.start()
        first.put("_left", {"at": 1, "attributes": {}})
        await first.save()
        second = Store("s", driver, first.get_id())
        await second.start()
        assert second.get("_left.at") == 1 and not second.is_gone

    run(main())
