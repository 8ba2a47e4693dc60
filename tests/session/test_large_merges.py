"""Merges of large sessions in a thread, and changes that other tasks make meanwhile."""

from __future__ import annotations

import asyncio
import enum
from datetime import date, datetime, timezone
from uuid import UUID

import pytest
from world import start_session_of

from node_session import writing
from node_session.aside import LARGE_TO_MERGE

pytestmark = pytest.mark.gen_test

LARGE = "x" * LARGE_TO_MERGE


@pytest.fixture
def while_merging(monkeypatch, io_loop):
    """Register a function that runs while the next thread merges, before its result is used."""
    functions = []
    loop = io_loop.asyncio_loop
    run_in_executor = loop.run_in_executor

    async def run_and_interrupt(*args):
        result = await run_in_executor(*args)
        while functions:
            await functions.pop(0)()
        return result

    monkeypatch.setattr(loop, "run_in_executor", run_and_interrupt)
    return functions.append


async def conflict(world, **ours):
    """Start a large session that must merge when it is saved: another request has stored `theirs`, and 10 more."""
    await world.request(lambda session: session.put({"large": LARGE, "n": 1, "theirs": "before"}))
    session = await world.start()
    await world.request(lambda other: (other.increment("n", 10), other.put("theirs", "after")))
    session.put(ours)
    return session


async def test_value_changed_while_merging(world, while_merging):
    """A value that a task sets while a thread merges is stored, with what the other request has stored."""
    session = await conflict(world, ours=1)

    async def change():
        session.put("ours", 2)

    while_merging(change)
    await session.save()
    stored = await world.stored()
    assert (stored["ours"], stored["theirs"], stored["n"]) == (2, "after", 11)


async def test_sum_becomes_a_value_while_merging(world, while_merging):
    """A number that a task sets while a thread merges is no sum any more, although it stays the same."""
    session = await conflict(world)
    session.increment("n")

    async def change():
        session.put("n", 2)

    while_merging(change)
    await session.save()
    stored = await world.stored()
    assert (stored["n"], stored["theirs"]) == (2, "after")


async def test_transaction_undone_while_merging(world, while_merging):
    """A transaction that raises while its save merges undoes its own changes, and none of the other request's."""
    session = await conflict(world)
    merging = asyncio.Event()
    tasks = []

    async def wait_for_the_end():
        merging.set()
        while "ours" in session:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="within"):
        async with session.transaction():
            await world.request(lambda other: other.put("theirs", "later"))
            while_merging(wait_for_the_end)
            session.put("ours", 1)
            tasks.append(asyncio.ensure_future(session.save()))
            await merging.wait()
            raise RuntimeError("within")
    await tasks[0]
    stored = await world.stored()
    assert ("ours" in stored, stored["theirs"], stored["n"]) == (False, "later", 11)
    assert session.get("theirs") == "later"


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "memory", "format": "express-session"}], ids=str)
async def test_flash_data_of_a_transaction_undone_while_merging(sessions, while_merging):
    """Flash data that was kept before such a transaction is still there, although another request has removed it."""
    first = await start_session_of(sessions, None)
    first.put("large", LARGE)
    first.flash("status", "Saved.")
    await first.save()
    session, other = [await start_session_of(sessions, first.get_id()) for _ in range(2)]
    session.reflash()
    merging, tasks = asyncio.Event(), []

    async def wait_for_the_end():
        merging.set()
        while "ours" in session:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="within"):
        async with session.transaction():
            await other.save()
            while_merging(wait_for_the_end)
            session.put("ours", 1)
            tasks.append(asyncio.ensure_future(session.save()))
            await merging.wait()
            raise RuntimeError("within")
    await tasks[0]
    await session.save()
    seen = []
    for _ in range(2):
        each = await start_session_of(sessions, first.get_id())
        seen.append(each.get("status"))
        await each.save()
    assert seen == ["Saved.", None]


async def test_new_id_while_merging(world, while_merging):
    """A session that gets another id while a thread merges goes on under that id, with all changes."""
    session = await conflict(world, ours=1)
    before = session.get_id()

    async def change():
        session.regenerate(destroy=True)

    while_merging(change)
    await session.save()
    await session.save()
    assert session.get_id() != before
    world.id = session.get_id()
    stored = await world.stored()
    assert (stored["ours"], stored["theirs"], stored["n"]) == (1, "after", 11)
    assert await world.is_left(before)


SHARED = ["in two places"]


@pytest.mark.parametrize(
    ("ours", "stored"),
    [
        (date(2026, 11, 22), "2026-11-22T00:00:00.000Z"),
        ([{"at": datetime(2026, 11, 22, tzinfo=timezone.utc)}], [{"at": "2026-11-22T00:00:00.000Z"}]),
        (UUID(int=1), str(UUID(int=1))),
        (enum.Enum("E", {"A": "x"}).A, "x"),
        ({"one": SHARED, "other": SHARED}, {"one": SHARED, "other": SHARED}),
    ],
    ids=["date", "datetime", "uuid", "enum", "shared"],
)
async def test_any_value_is_merged_in_a_thread(world, monkeypatch, ours, stored):
    """A date in a large session, or a list in two places of it, is no reason for the event loop to wait for a merge."""
    session = await conflict(world, ours=ours)
    monkeypatch.setattr(writing, "merge", lambda *args, **options: pytest.fail("merged in the event loop"))
    await session.save()
    assert (await world.stored())["ours"] == stored
    assert (await world.stored())["theirs"] == "after"
    assert session.get("ours") is ours


async def test_merged_again_in_a_thread(world, while_merging, monkeypatch):
    """If a task changes the session while a thread merges, a thread merges again."""
    session = await conflict(world, ours=1)
    monkeypatch.setattr(writing, "merge", lambda *args, **options: pytest.fail("merged in the event loop"))

    async def change():
        session.put("ours", date(2026, 11, 22))

    while_merging(change)
    await session.save()
    stored = await world.stored()
    assert (stored["ours"], stored["theirs"], stored["n"]) == ("2026-11-22T00:00:00.000Z", "after", 11)


async def test_an_object_of_a_class_of_its_own_while_merging(world, while_merging):
    """A dict of a program's own class, which is no plain copy, is filled in the event loop, and stays the same one."""

    class Own(dict):
        pass

    own = Own(n=1)
    session = await conflict(world, own=own)
    await session.save()
    assert (await world.stored())["own"] == {"n": 1}
    assert session.get("own") is own
