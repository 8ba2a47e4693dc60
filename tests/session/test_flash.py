"""Flash data: what the next request sees, and no later one."""

from __future__ import annotations

import pytest
from visitors import ID

pytestmark = pytest.mark.gen_test


async def test_flash_lives_for_one_request(world):
    """Flash data is there in its own request and in the next, and then gone; a dotted key too."""
    await world.request(lambda session: (session.flash("status", "Saved."), session.flash("form.name", "Ann")))
    assert await world.seen("status", "form.name") == ["Saved.", "Ann"]
    assert await world.seen("status", "form.name") == [None, None]


async def test_now(world):
    """now() is there for this request only."""
    session = await world.request(lambda session: session.now("status", "here"))
    assert await world.seen("status") == [None]
    session = await world.start()
    session.now("status", "here")
    assert session.get("status") == "here"


async def test_reflash_and_keep(world):
    """reflash() keeps all flash data for one more request, keep() what it is told to."""
    await world.request(lambda session: [session.flash(key, key) for key in "abc"])
    await world.request(lambda session: session.reflash())
    await world.request(lambda session: (session.keep("a"), session.keep(["b"])))
    assert await world.seen(*"abc") == ["a", "b", None]
    assert await world.seen(*"abc") == [None, None, None]


async def test_flash_again(world):
    """Data flashed again in the request that sees it lives for another one."""
    await world.request(lambda session: session.flash("status", 1))
    await world.request(lambda session: session.flash("status", 2))
    assert await world.seen("status") == [2]


async def test_manual_save_does_not_age_twice(world):
    """A save() in the middle of a request does not cost the next one its flash data."""
    session = await world.start()
    session.flash("status", "Saved.")
    await session.save()
    await session.save()
    session.flash("late", "too")
    await session.save()
    assert await world.seen("status", "late") == ["Saved.", "too"]
    assert await world.seen("status", "late") == [None, None]


async def test_flash_input(world):
    """Flashed form input is found field by field in the next request."""
    await world.request(lambda session: session.flash_input({"name": "Ann", "address": {"city": "Ulm"}}))
    assert (await world.stored())["_old_input"] == [{"name": "Ann", "address": {"city": "Ulm"}}]
    session = await world.start()
    assert session.get_old_input("name") == "Ann"
    assert session.get_old_input("address.city") == "Ulm"
    assert session.get_old_input("age", 7) == 7
    await session.save()
    assert (await world.start()).get_old_input("name") is None


async def test_broken_flash_lists(world):
    """Flash lists that are none do no harm."""
    for flash in (None, 7, [], {"old": "x"}, {"new": [1, None], "old": [{}]}):
        await world.request(lambda session, flash=flash: session.put("flash", flash))
        await world.request(lambda session: session.flash("status", 1))
        assert await world.seen("status") == [1]


async def test_aging_alone_is_a_change(world):
    """Flash data that was stored as new is the previous request's after one that only looks."""
    world.id = ID
    await world.driver.write(ID, '{"_token":"t","flash":{"old":[],"new":["status"]},"status":"Saved."}', None)
    await world.request(lambda session: session.get("status"))
    assert (await world.stored())["flash"] == {"old": ["status"], "new": []}
