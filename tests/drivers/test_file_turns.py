"""Work of many requests in one thread hop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from node_session.drivers.file_turns import FileTurns


def test_one_hop_for_one_turn_of_the_loop():
    """What is asked for in one turn of the loop runs in one thread, not the loop's, in order; each gets its outcome."""
    ran = []

    def work(number: int) -> int:
        ran.append((number, threading.get_ident()))
        if number == 1:
            raise ValueError("one")
        if number == 2:
            raise asyncio.CancelledError  # no Exception, and its request would wait for ever
        return number * 10

    async def scenario():
        turns = FileTurns()
        return await asyncio.gather(*(turns.run(work, number) for number in range(200)), return_exceptions=True)

    first, failed, cancelled, *rest = asyncio.run(scenario())
    assert [first, *rest] == [0, *range(30, 2000, 10)]
    assert isinstance(failed, ValueError) and isinstance(cancelled, asyncio.CancelledError)
    assert [number for number, _ in ran] == [*range(200)]
    assert len({thread for _, thread in ran}) == 1 and ran[0][1] != threading.get_ident()


def test_one_gives_up():
    """A request that gives up takes nothing from the others, before its turn begins or after."""
    done = []

    async def scenario():
        turns, begun, go_on = FileTurns(), threading.Event(), threading.Event()

        def wait() -> None:
            begun.set()
            go_on.wait(60)

        early = [asyncio.ensure_future(turns.run(done.append, number)) for number in range(3)]
        await asyncio.sleep(0)
        early[1].cancel()
        await asyncio.gather(early[0], early[2])
        late = [asyncio.ensure_future(turns.run(work)) for work in (wait, lambda: done.append("late"))]
        await asyncio.to_thread(begun.wait, 60)
        late[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        await late[1]

    asyncio.run(scenario())
    assert done == [0, 2, "late"]


def test_slow_disk():
    """A turn that waits for the disk does not keep later ones waiting."""

    async def scenario():
        turns, go_on = FileTurns(), threading.Event()
        slow = asyncio.ensure_future(turns.run(go_on.wait, 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await turns.run(int) == 0 and not slow.done()
        go_on.set()
        assert await slow

    asyncio.run(scenario())


def test_several_loops():
    """Loops in several threads, and one after the other, use it."""
    turns = FileTurns()

    async def scenario():
        assert await asyncio.gather(*(turns.run(int, number) for number in range(50))) == [*range(50)]
        ended.append(1)

    ended: list[int] = []
    threads = [threading.Thread(target=asyncio.run, args=(scenario(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(scenario())
    assert len(ended) == 4


def test_loop_that_is_shutting_down():
    """If no thread can start any more, all waiting callers get the error."""

    async def scenario():
        await asyncio.to_thread(int)
        await asyncio.get_running_loop().shutdown_default_executor()
        turns = FileTurns()
        outcomes = await asyncio.gather(*(turns.run(int) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in outcomes] == [RuntimeError] * 3
        await turns.run(int)

    with pytest.raises(RuntimeError, match="shut"):
        asyncio.run(scenario())
