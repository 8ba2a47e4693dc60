"""Late requests that still bring the old cookie of a regenerated session."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from visitors import ID
from world import is_gone, start_session

from node_session import GoneError
from node_session.drivers import MemoryDriver
from node_session.loading import touch
from node_session.session import work_of

run = asyncio.run


def regenerate_and_store(driver, **terms):
    """A session with data is regenerated with destroy=True; gives the old id and the new session."""

    async def main():
        first = await start_session(driver, **terms)
        first.put("cart", ["book"])
        await first.save()
        old = first.get_id()
        second = await start_session(driver, old, **terms)
        second.put("user", "ann")
        second.regenerate(True)
        await second.save()
        return old, second

    return run(main())


async def contents(driver) -> dict[str, str]:
    """Every record that is stored, by its id."""
    return {entry.id: entry.payload async for entry in driver.scan()}


def test_grace_reads_what_was():
    """Within the grace, the old id gives what the session held before, not what it became; nothing is saved by it."""
    driver = MemoryDriver(0)
    old, new = regenerate_and_store(driver, regenerate_grace=10_000, strict=True)
    before = run(contents(driver))

    async def main():
        late = await start_session(driver, old, regenerate_grace=10_000, strict=True)
        assert (late.get("cart"), late.get("user"), late.get_id(), is_gone(late)) == (["book"], None, old, True)
        late.put("x", 1)
        await late.save()
        await touch(work_of(late))
        assert await late.take("cart") is None
        assert await late.reload() is False
        with pytest.raises(GoneError):
            async with late.transaction():
                pass

    run(main())
    assert run(contents(driver)) == before
    assert new.get("user") == "ann"


@pytest.mark.parametrize("strict", [True, False])
def test_grace_ends(monkeypatch, strict):
    """After the grace the old id is nobody's: a fresh id, nothing of the data, and the record is gone."""
    driver = MemoryDriver(0)
    old, _ = regenerate_and_store(driver, regenerate_grace=10_000, strict=strict)
    later = time.time() + 20.1
    monkeypatch.setattr(time, "time", lambda: later)

    async def main():
        late = await start_session(driver, old, regenerate_grace=10_000, strict=strict)
        assert late.get("cart") is None and late.get_id() != old and not is_gone(late)
        assert await driver.read(old) is None

    run(main())


def test_another_session_under_the_old_id_stays(monkeypatch):
    """A late request destroys the old record only, and not a session that somebody has begun there meanwhile."""
    driver = MemoryDriver(0)
    old, _ = regenerate_and_store(driver, regenerate_grace=10_000)
    later, read = time.time() + 20.1, driver.read
    monkeypatch.setattr(time, "time", lambda: later)

    async def replace(id):
        record = await read(id)
        await driver.destroy(id)
        await driver.write(id, '{"user":"Eve"}', None)
        return record

    async def main():
        driver.read = replace
        late = await start_session(driver, old, regenerate_grace=10_000)
        assert late.get("user") is None and late.get_id() != old
        assert (await read(old)).payload == '{"user":"Eve"}'

    run(main())


def test_no_grace_after_a_logout():
    """invalidate() destroys the record immediately, without grace."""
    driver = MemoryDriver(0)

    async def main():
        first = await start_session(driver, regenerate_grace=10_000)
        await first.save()
        second = await start_session(driver, first.get_id(), regenerate_grace=10_000)
        second.invalidate()
        await second.save()
        assert await driver.read(first.get_id()) is None

    run(main())


def test_no_grace_if_not_wanted():
    """With regenerateGrace 0 nobody can read from the old record; it tells only those who have its id where to."""
    driver = MemoryDriver(0)
    old, new = regenerate_and_store(driver, regenerate_grace=0)
    kept = run(driver.read(old)).payload
    assert json.loads(kept).keys() == {"_left"} and "book" not in kept and new.get_id() not in kept

    async def main():
        late = await start_session(driver, old, strict=True)
        assert late.get("cart") is None and late.get_id() != old and not is_gone(late)

    run(main())


def test_request_under_way_stays_gone():
    """A request that loaded the session before it was regenerated cannot save over the farewell."""
    driver = MemoryDriver(0)

    async def main():
        first = await start_session(driver, regenerate_grace=10_000)
        await first.save()
        under_way, rotating = [await start_session(driver, first.get_id(), regenerate_grace=10_000) for _ in range(2)]
        rotating.regenerate(True)
        await rotating.save()
        kept = (await driver.read(first.get_id())).payload
        under_way.put("x", 1)
        await under_way.save()
        assert is_gone(under_way) and (await driver.read(first.get_id())).payload == kept

    run(main())


def test_farewell_is_no_session_of_a_user():
    """A session that stores something under the farewell's name is a session like any other."""
    driver = MemoryDriver(0)

    async def main():
        first = await start_session(driver)
        first.put("_left", {"at": 1, "attributes": {}})
        await first.save()
        second = await start_session(driver, first.get_id())
        assert second.get("_left.at") == 1 and not is_gone(second)

    run(main())


LEFT = {"at": 1, "to": "B" * 40}


@pytest.mark.parametrize(
    "attributes",
    [
        {"_left": LEFT, "user": "ann"},
        {"_left": 1},
        {"_left": [LEFT]},
        {"_left": {"to": "B" * 40}},
        {"_left": {**LEFT, "at": "1"}},
        {"_left": {**LEFT, "at": True}},
        {"_left": {**LEFT, "more": 1}},
        {"_left": {**LEFT, "to": "!"}},
        {"_left": {**LEFT, "attributes": ["book"]}},
    ],
    ids=str,
)
def test_a_record_that_only_resembles_a_farewell(attributes):
    """A record that has not exactly the form of a farewell, as a Node program may store it, is a session."""
    driver = MemoryDriver(0)

    async def main():
        await driver.write(ID, json.dumps(attributes), None)
        session = await start_session(driver, ID)
        assert session.get_id() == ID and session.only(*attributes) == attributes

    run(main())


def test_what_is_not_saved_need_not_be_storable():
    """A late request, which saves nothing, may put into its session what has no form in JSON."""
    driver = MemoryDriver(0)
    old, _ = regenerate_and_store(driver, regenerate_grace=10_000)

    async def main():
        late = await start_session(driver, old, regenerate_grace=10_000)
        late.put("x", object())
        await late.save()

    run(main())


def test_grace_by_a_clock_that_is_ahead(monkeypatch):
    """Late in the grace, on a machine whose clock is nearly a grace ahead, the old id still gives what it held."""
    driver = MemoryDriver(0)
    old, _ = regenerate_and_store(driver, regenerate_grace=10_000)
    later = time.time() + 19
    monkeypatch.setattr(time, "time", lambda: later)
    assert run(start_session(driver, old, regenerate_grace=10_000)).get("cart") == ["book"]
