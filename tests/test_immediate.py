"""Coroutines that need no task."""

from __future__ import annotations

import asyncio
import json

import pytest
from visitors import ID
from world import make_session

from node_session import ConflictError
from node_session.drivers import MemoryDriver
from node_session.immediate import begin, is_immediate


async def note(notes: list[str], waits_for=None) -> None:
    """Note what happens to this coroutine, which waits once if it has something to wait for."""
    notes.append("begun")
    try:
        if waits_for is not None:
            notes.append(await waits_for)
    except BaseException as error:
        notes.append(type(error).__name__)
        raise
    notes.append("done")


def test_without_waiting():
    """A coroutine that never waits is done without a loop."""
    notes = []
    assert begin(note(notes)) is None
    assert notes == ["begun", "done"]


def test_an_error():
    """An error of a coroutine that never waits is raised where the rest of it is awaited."""
    driver = MemoryDriver(1000)
    assert begin(driver.write(ID, "text", None)) is None
    rest = begin(driver.write(ID, "other", None))
    with pytest.raises(ConflictError):
        asyncio.run(rest)


def test_a_coroutine_that_waits():
    """The rest of a coroutine that waits after all is done when it is awaited, by a task too."""

    async def scenario() -> None:
        for as_task in (False, True):
            notes, future = [], asyncio.get_running_loop().create_future()
            rest = begin(note(notes, future))
            assert rest is not None and notes == ["begun"]
            waiting = asyncio.ensure_future(rest) if as_task else rest
            asyncio.get_running_loop().call_soon(future.set_result, "went on")
            await waiting
            assert notes == ["begun", "went on", "done"]

    asyncio.run(scenario())


def test_an_interrupted_rest():
    """A rest that is cancelled, fails or is closed lets its coroutine clean up."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        notes = []
        task = asyncio.ensure_future(begin(note(notes, loop.create_future())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert notes == ["begun", "CancelledError"]
        notes, future = [], loop.create_future()
        rest = begin(note(notes, future))
        future.set_exception(ConflictError("somebody else was first"))
        with pytest.raises(ConflictError):
            await rest
        assert notes == ["begun", "ConflictError"]
        notes = []
        begin(note(notes, loop.create_future())).close()
        assert notes == ["begun", "GeneratorExit"]

    asyncio.run(scenario())


def test_override_is_not_marked():
    """A subclass that overrides a marked method makes no promise, so it may wait."""

    class Slow(MemoryDriver):
        async def write(self, id, payload, version):
            await asyncio.sleep(0)
            return await super().write(id, payload, version)

    assert is_immediate(MemoryDriver(1000).write)
    assert not is_immediate(Slow(1000).write)


def test_a_save_that_has_to_wait():
    """A save that was begun without a task merges what another request has saved first, when it is awaited."""

    async def scenario() -> None:
        driver = MemoryDriver(10_000)
        first, second = make_session(driver, ID), make_session(driver, ID)
        await first.start()
        assert begin(first.save()) is None
        await second.start()
        first.put("a", 1)
        second.put("b", 2)
        assert begin(first.save()) is None
        rest = begin(second.save())
        if rest is not None:
            await rest
        stored = json.loads((await driver.read(ID)).payload)
        assert (stored["a"], stored["b"]) == (1, 2)

    asyncio.run(scenario())
