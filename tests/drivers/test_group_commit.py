"""The changes of many requests in one transaction of SQLite, by way of the driver."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from node_session.drivers.sqlite import SqliteDriver, _close
from node_session.errors import ConflictError, UnavailableError

IDS = [f"{number:040d}" for number in range(1203)]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "sessions.sqlite")


@contextlib.asynccontextmanager
async def opened(path, lifetime=0, **options):
    """A driver that has connected."""
    driver = SqliteDriver(path, "sessions", lifetime, **options)
    try:
        await driver.read(IDS[0])
        yield driver
    finally:
        await driver.close()


async def connection(driver):
    return (await driver._connections.get()).writer.connection


async def traced(driver):
    """The statements that are run from now on, by their first words."""
    statements = []
    await (await connection(driver)).set_trace_callback(lambda text: statements.append(text.split()[0]))
    return statements


def all_at_once(*work):
    return asyncio.gather(*work, return_exceptions=True)


def stored(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {id: payload.strip('"') for id, payload in database.execute("SELECT id, payload FROM sessions")}


def types(outcomes):
    return [type(each) for each in outcomes]


@pytest.mark.parametrize("database", [None, ":memory:"])
def test_one_transaction(path, database):
    """What is asked for in one turn of the loop is one transaction, in order, and each request has its own outcome."""

    async def main():
        async with opened(database or path) as driver:
            # Two, since one alone is followed by a transaction of one.
            version, _ = await asyncio.gather(driver.write(IDS[0], "old", None), driver.touch(IDS[0]))
            statements = await traced(driver)
            first, second, absent, again, new, *rest = await all_at_once(
                driver.write(IDS[0], "first", version),
                driver.write(IDS[0], "second", version),
                driver.write(IDS[1], "absent", version),
                driver.write(IDS[0], "again", None),
                driver.write(IDS[2], "new", None),
                driver.touch(IDS[0]),
                driver.destroy(IDS[2]),
            )
            assert types([second, absent, again]) == [ConflictError] * 3 and rest == [None, None]
            assert (await driver.read(IDS[0])).version == first and new
            assert await driver.read(IDS[1]) is await driver.read(IDS[2]) is None
            assert statements[:9] == ["BEGIN", *["UPDATE"] * 3, *["INSERT"] * 2, "UPDATE", "DELETE", "COMMIT"]
            assert statements.count("BEGIN") == 1

    asyncio.run(main())


def test_while_a_transaction_runs(path):
    """What is asked for while the writer is busy waits for it, and is one transaction, too: the next one."""

    async def main():
        async with opened(path) as driver:
            statements = await traced(driver)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            writes = []
            for id in IDS[:20]:
                writes.append(asyncio.ensure_future(driver.write(id, "text", None)))
                await asyncio.sleep(0.002)
            other.execute("ROLLBACK")
            other.close()
            await asyncio.gather(*writes)
            assert statements.count("INSERT") == 20 and statements.count("COMMIT") == 2

    asyncio.run(main())
    assert len(stored(path)) == 20


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ("RAISE(ABORT, 'refused')", [str, UnavailableError, str]),
        ("RAISE(ROLLBACK, 'refused')", [UnavailableError] * 3),
    ],
)
def test_error_of_one(path, trigger, told):
    """An error of one request is its own, unless SQLite has undone the whole transaction: then everybody learns."""

    async def main():
        async with opened(path) as driver:
            await (await connection(driver)).execute(
                f"CREATE TRIGGER t BEFORE INSERT ON sessions WHEN new.payload = '\"bad\"' BEGIN SELECT {trigger}; END"
            )
            outcomes = await all_at_once(
                *(driver.write(id, text, None) for id, text in zip(IDS, ["a", "bad", "c"], strict=False))
            )
            assert types(outcomes) == told
            assert stored(path) == {id: text for id, text in ((IDS[0], "a"), (IDS[2], "c")) if str in told}
            await driver.write(IDS[3], "later", None)

    asyncio.run(main())
    assert stored(path)[IDS[3]] == "later"


def test_commit_that_fails(path):
    """If the commit fails, all are told so, nothing is stored, and the lock is free again."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE users (id PRIMARY KEY)")
        database.execute(
            "CREATE TABLE sessions (id TEXT PRIMARY KEY REFERENCES users DEFERRABLE INITIALLY DEFERRED, "
            "payload TEXT NOT NULL, lastActivity INTEGER NOT NULL)"
        )

    async def main():
        async with opened(path) as driver:
            await (await connection(driver)).execute("PRAGMA foreign_keys = ON")
            outcomes = await all_at_once(*(driver.write(id, "text", None) for id in IDS[:3]))
            assert types(outcomes) == [UnavailableError] * 3 and "FOREIGN KEY" in str(outcomes[0])
            with contextlib.closing(sqlite3.connect(path, timeout=0)) as other, other:
                other.executemany("INSERT INTO users VALUES (?)", [(id,) for id in IDS[:3]])
            assert stored(path) == {}
            await driver.write(IDS[0], "later", None)

    asyncio.run(main())
    assert stored(path) == {IDS[0]: "later"}


def test_cancelled_request(path):
    """One of a transaction that is cancelled, at whatever moment, leaves the others alone."""

    async def main():
        async with opened(path) as driver:
            for turns in range(6):
                ids = [f"{turns}-{id}" for id in IDS[:3]]
                tasks = [asyncio.ensure_future(driver.write(id, "text", None)) for id in ids]
                for _ in range(turns):
                    await asyncio.sleep(0)
                tasks[1].cancel()
                outcomes = await asyncio.wait_for(all_at_once(*tasks), 5)
                assert types(outcomes) in ([str, asyncio.CancelledError, str], [str] * 3)
                assert {ids[0], ids[2]} <= set(stored(path))

    asyncio.run(main())


def test_time_limits_while_another_process_writes(path):
    """Each request has its own time limit; of one that has given up nothing is done, and a later one is in time."""

    async def main():
        async with opened(path, timeout=2000) as driver:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            early = asyncio.ensure_future(driver.write(IDS[0], "early", None))
            await asyncio.sleep(1.5)
            cancelled = asyncio.ensure_future(driver.write(IDS[2], "cancelled", None))
            late = asyncio.ensure_future(driver.write(IDS[1], "late", None))
            with pytest.raises(UnavailableError, match="locked"):
                await early
            assert not late.done()
            cancelled.cancel()
            await asyncio.sleep(0.15)
            other.execute("ROLLBACK")
            other.close()
            await late

    asyncio.run(main())
    assert stored(path) == {IDS[1]: "late"}


def test_slow_transaction(path):
    """A change that a transaction has taken is waited for, beyond its time limit: it may have happened."""

    async def main():
        async with opened(path, timeout=100) as driver:
            hold = lambda statement: statement.startswith("INSERT") and time.sleep(0.4)  # noqa: E731 - in the thread
            await (await connection(driver)).set_trace_callback(hold)
            assert types(await all_at_once(*(driver.write(id, "text", None) for id in IDS[:2]))) == [str] * 2

    asyncio.run(main())
    assert set(stored(path)) == set(IDS[:2])


def test_locked_for_long(path):
    """Those who come while everybody waits in vain are told in time, too, as often as that happens."""

    async def main():
        async with opened(path, timeout=1500) as driver:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")

            async def limited(delay):
                await asyncio.sleep(delay)
                started = time.monotonic()
                with pytest.raises(UnavailableError, match="locked"):
                    await driver.write(IDS[0], "text", None)
                return time.monotonic() - started

            waited = await asyncio.gather(*(limited(number * 0.25) for number in range(14)))
            assert min(waited) > 1 and max(waited) < 2.25  # behind another one's limit it would be 2.75
            other.close()
            await driver.write(IDS[0], "text", None)

    asyncio.run(main())


def test_all_give_up_while_another_process_writes(path, monkeypatch):
    """If the last request of a transaction gives up while it waits, nothing of it is done, and what comes later is."""
    monkeypatch.setattr("node_session.drivers.turn.MOMENT", 0.01)

    async def main():
        async with opened(path, timeout=20_000) as driver:
            statements = await traced(driver)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            given_up = [asyncio.ensure_future(driver.write(id, "given up", None)) for id in IDS[:3]]
            await asyncio.sleep(0.05)
            for task in given_up:
                task.cancel()
            while (await driver._connections.get()).writer._turns._under_way:
                await asyncio.sleep(0.005)
            later = [asyncio.ensure_future(driver.write(id, "later", None)) for id in IDS[2:5]]
            await asyncio.sleep(0.05)
            other.execute("ROLLBACK")
            other.close()
            assert types(await all_at_once(*later)) == [str] * 3 and statements.count("INSERT") == 3

    asyncio.run(main())
    assert stored(path) == dict.fromkeys(IDS[2:5], "later")


def test_close_does_what_waits(path):
    """Changes requested before a driver is closed are made, also by a transaction that has yet to begin."""

    async def main():
        async with opened(path) as driver:
            begun, go_on = asyncio.Event(), threading.Event()
            loop = asyncio.get_running_loop()

            def hold(statement):  # in the thread
                if statement.startswith("INSERT"):
                    loop.call_soon_threadsafe(begun.set)
                    go_on.wait(5)

            await (await connection(driver)).set_trace_callback(hold)
            first = asyncio.ensure_future(driver.write(IDS[0], "text", None))
            await begun.wait()
            second = asyncio.ensure_future(driver.write(IDS[1], "text", None))
            closing = asyncio.ensure_future(driver.close())
            await asyncio.sleep(0.02)
            go_on.set()
            await asyncio.gather(first, second, closing)

    asyncio.run(main())
    assert set(stored(path)) == {IDS[0], IDS[1]}


def test_connection_that_is_closed(path):
    """If the connection is gone, waiting callers get the error."""

    async def main():
        driver = SqliteDriver(path, "sessions", 0)
        await driver.read(IDS[0])
        await (await connection(driver)).close()
        outcomes = await asyncio.wait_for(all_at_once(*(driver.write(id, "text", None) for id in IDS[:3])), 5)
        assert types(outcomes) == [UnavailableError] * 3
        with pytest.raises(UnavailableError):
            await driver._fetch("SELECT * FROM nowhere")  # what the reader refuses goes to the writer's connection
        await driver.close()

    asyncio.run(main())


def test_loop_that_is_shut_down(path):
    """A loop that ends while another process writes does not wait for that, and its requests get an error."""
    other = sqlite3.connect(path, isolation_level=None)

    async def main():
        driver = SqliteDriver(path, "sessions", 0, timeout=60_000)
        await driver.read(IDS[0])
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.ensure_future(driver.write(IDS[0], "text", None))
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks() - {asyncio.current_task(), write}:
            task.cancel()
        with pytest.raises(UnavailableError, match="is being closed"):
            await asyncio.wait_for(write, 30)
        other.execute("ROLLBACK")
        other.close()
        await driver.write(IDS[1], "text", None)
        await driver.close()

    asyncio.run(main())
    assert stored(path) == {IDS[1]: "text"}


def test_after_all_tasks_were_cancelled(path):
    """A shutdown that cancels every task before it has begun does not keep later writes from being done."""

    async def main():
        async with opened(path, timeout=1000) as driver:
            write = asyncio.ensure_future(driver.write(IDS[0], "text", None))
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await write
            await asyncio.wait_for(driver.write(IDS[1], "text", None), 30)

    asyncio.run(main())
    assert stored(path)[IDS[1]] == "text"


def test_a_loop_that_stalls(path):
    """That a handler keeps the loop from working for longer than the time limit is no reason to refuse writes."""

    async def main():
        async with opened(path, timeout=100) as driver:
            write = asyncio.ensure_future(driver.write(IDS[0], "text", None))
            await asyncio.sleep(0)
            time.sleep(0.15)
            await write

    asyncio.run(main())
    assert stored(path) == {IDS[0]: "text"}


def test_in_another_process(path, monkeypatch):
    """If the process forks while the loop runs, the child has connections of its own."""

    async def main():
        async with opened(path) as driver:
            parents, used = await driver._connections.get(), await traced(driver)
            with monkeypatch.context() as forked:
                forked.setattr("os.getpid", lambda: -1)
                await driver.write(IDS[0], "text", None)
                assert (await driver.read(IDS[0])).payload == "text"
                assert await driver._connections.get() is not parents and not used
                await driver.close()
            await _close(parents)

    asyncio.run(main())


def test_several_loops(path):
    """Loops in several threads write by one driver, each through a connection of its own; no count is missed."""
    driver = SqliteDriver(path, "sessions", 0)

    async def count():
        for _ in range(50):
            done = False
            while not done:
                record = await driver.read(IDS[0])
                with contextlib.suppress(ConflictError):
                    await driver.write(IDS[0], str(int(record.payload) + 1), record.version)
                    done = True

    async def main(*work):
        await asyncio.gather(*work)
        await driver.close()

    asyncio.run(main(driver.write(IDS[0], "0", None)))
    threads = [threading.Thread(target=asyncio.run, args=(main(count(), count()),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(path) == {IDS[0]: "300"}


def test_gc_goes_in_steps(path):
    """Removing many records lets others write in between, and removes all that have expired and no other."""

    async def main():
        async with opened(path, 1000) as driver:
            await asyncio.gather(*(driver.write(id, "text", None) for id in IDS))
            await (await connection(driver)).execute("UPDATE sessions SET lastActivity = lastActivity - 2000")
            await driver.write("fresh", "text", None)
            statements = await traced(driver)
            removing = asyncio.ensure_future(driver.gc(1000))
            await asyncio.sleep(0)
            await driver.write("meanwhile", "text", None)
            assert not removing.done() and await removing == len(IDS)
            assert statements.count("DELETE") == 13
            assert await driver.gc(1000) == 0

    asyncio.run(main())
    assert set(stored(path)) == {"fresh", "meanwhile"}


PROGRAM = """
import asyncio, sys
from node_session.drivers.sqlite import SqliteDriver, _close

async def main():
    driver = SqliteDriver(sys.argv[1], "sessions", 0)

    async def write(name):
        for number in range(100_000):
            await driver.write(f"{name}-{number}", "text", None)
            print(f"{name}-{number}", flush=True)

    await asyncio.gather(*(write(name) for name in range(16)))

asyncio.run(main())
"""


def test_killed(path):
    """Acknowledged writes are there after a SIGKILL."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, path], stdout=subprocess.PIPE, text=True) as process:
        answered = [process.stdout.readline() for _ in range(500)]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.readlines()
    answered = {line.strip() for line in answered if line.endswith("\n")}
    assert len(answered) >= 500 and answered <= set(stored(path))
