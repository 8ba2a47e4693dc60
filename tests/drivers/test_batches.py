"""Work of many requests in one thread hop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from node_session.drivers.batches import Batches


def test_one_hop_for_one_turn_of_the_loop():
    """What is asked for in one turn of the loop runs in one thread, not the loop's, in order; each gets its outcome."""
    ran = []

    def work(number: int) -> int:
        ran.append((number, threading.get_ident()))
        if number == 1:
            raise ValueError("one")
        return number * 10

    async def scenario():
        batches = Batches()
        return await asyncio.gather(*(batches.run(work, number) for number in range(4)), return_exceptions=True)

    first, failed, *rest = asyncio.run(scenario())
    assert [first, *rest] == [0, 20, 30] and isinstance(failed, ValueError)
    assert [number for number, _ in ran] == [0, 1, 2, 3]
    assert len({thread for _, thread in ran}) == 1 and ran[0][1] != threading.get_ident()


def test_who_has_given_up():
    """Of those who gave up waiting the work is done, and the others get their results."""
    done = []

    async def scenario():
        batches = Batches()
        futures = [batches.run(done.append, number) for number in range(3)]
        futures[1].cancel()
        await futures[0]
        await futures[2]

    asyncio.run(scenario())
    assert done == [0, 1, 2]


def test_loop_that_is_shutting_down():
    """If no thread can start any more, all waiting callers get the error."""

    async def scenario():
        await asyncio.to_thread(int)
        await asyncio.get_running_loop().shutdown_default_executor()
        await Batches().run(int)

    with pytest.raises(RuntimeError, match="shut"):
        asyncio.run(scenario())
