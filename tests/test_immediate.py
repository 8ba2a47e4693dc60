"""Coroutines that never wait."""

from __future__ import annotations

import asyncio

import pytest

from node_session.drivers import MemoryDriver
from node_session.errors import ConflictError
from node_session.immediate import is_immediate, never_waits, run
from node_session.store import Store

ID = "A" * 40


def test_result():
    """A coroutine that never waits gives its result without a loop, or raises what it raises."""
    driver = MemoryDriver(1000)
    assert run(driver.write(ID, "text", None)) == "text"
    assert run(driver.read(ID)).payload == "text"
    with pytest.raises(ConflictError):
        run(driver.write(ID, "other", None))


def test_broken_promise():
    """A coroutine that wants to wait is broken off, and named."""
    cleaned = []

    @never_waits
    async def late() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="late is marked by @never_waits"):
        run(late())
    assert cleaned


def test_override_is_not_marked():
    """A subclass that overrides a marked method makes no promise, so it may wait."""

    class Slow(MemoryDriver):
        async def write(self, id, payload, version):
            await asyncio.sleep(0)
            return await super().write(id, payload, version)

    assert is_immediate(MemoryDriver(1000).write)
    assert is_immediate(Slow(1000).touch)
    assert not is_immediate(Slow(1000).write)


def test_commit_at_once():
    """A session is saved at once, unless another request was first, or the session moves to another id."""

    async def scenario() -> None:
        driver = MemoryDriver(10_000)
        first, second = Store("s", driver, ID), Store("s", driver, ID)
        await first.start()
        assert first.commit_at_once(first.stage())
        await second.start()
        first.put("a", 1)
        second.put("b", 2)
        assert first.commit_at_once(first.stage())
        text = second.stage()
        assert not second.commit_at_once(text)
        await second.commit(text)
        assert '"a":1,"b":2' in (await driver.read(ID)).payload
        second.regenerate(destroy=True)
        text = second.stage()
        assert not second.commit_at_once(text)
        await second.commit(text)
        assert (await driver.read(ID)).payload.startswith('{"_left":')

    asyncio.run(scenario())
