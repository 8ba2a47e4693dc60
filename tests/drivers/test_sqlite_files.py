"""An SQLite file that is deleted or replaced under running programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from drivers.serving import ID, SECRET, application
from node_session.drivers.sqlite import SqliteDriver
from node_session.errors import UnavailableError

LATER = 0.02  # seconds, after which those who only read look at the file again


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.sqlite"


def files(path):
    return [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]


def stored(path):
    """The payloads of a database, which is whole."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [payload for (payload,) in database.execute("SELECT payload FROM sessions ORDER BY id")]


def backup(path):
    copy = path.with_name("backup")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM INTO ?", (str(copy),))
    return copy


def delete(path, copy):
    path.unlink()


def delete_all(path, copy):
    for each in files(path):
        each.unlink()


def replace(path, copy):
    copy.replace(path)


def move_away(path, copy):
    path.rename(path.with_name("moved"))


def move_all_away(path, copy):
    for each in files(path):
        each.rename(path.with_name(each.name.replace(path.name, "moved")))


def move_folder_away(path, copy):
    path.parent.rename(path.parent.with_name("moved"))


def delete_log(path, copy):
    files(path)[1].unlink()


def delete_index(path, copy):
    files(path)[2].unlink()


@pytest.mark.parametrize(
    ("damage", "count"),
    [
        (delete, 1),
        (delete_all, 1),
        (replace, 3),
        (move_away, 1),
        (move_all_away, 1),
        (move_folder_away, 1),
        (delete_log, 6),
        (delete_index, 6),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_over_http(tmp_path, caplog, damage, count):
    """A file that is gone is noticed by the next request, whose session is in the file at the path; one warning."""
    path = tmp_path / "folder" / "sessions.sqlite"
    config = {"secret": SECRET, "driver": "database", "connection": {"adapter": "sqlite", "database": str(path)}}

    async def main():
        async with application(config) as ask:
            _, _, cookie = await ask(None)
            assert (await ask(cookie))[1] == "2"
            copy = backup(path)
            for _ in range(3):
                status, body, _ = await ask(cookie)
            assert (status, body) == (200, "5")
            damage(path, copy)
            await asyncio.sleep(LATER)
            status, body, cookie = await ask(cookie)
            assert (status, body) == (200, str(count))
            assert [f'\\"count\\":{count}' in payload for payload in stored(path)] == [True]
            assert (await ask(cookie, "/read"))[1] == str(count)
            assert (await ask(cookie))[1] == str(count + 1)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600 or damage is replace

    asyncio.run(main())
    assert f'\\"count\\":{count + 1}' in stored(path)[0]
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING and each.name == "node_session"]
    assert str(path) in warning.getMessage() and "opened again" in warning.getMessage()
    for moved in (path.with_name("moved"), tmp_path / "moved" / path.name):
        if moved.exists():
            assert '\\"count\\":5' in stored(moved)[0]


@pytest.mark.parametrize("damage", [delete, delete_all, replace, move_away, delete_log, delete_index])
def test_written_immediately(path, damage):
    """A write after it, with no read before, is in the file at the path; a version of the old file is a conflict."""

    async def main():
        driver = SqliteDriver(str(path), "sessions", 0)
        await driver.write("b" * 40, "old", None)
        copy = backup(path)
        await driver.write(ID, "old", None)
        damage(path, copy)
        await asyncio.gather(*(driver.write(f"{number:040d}", str(number), None) for number in range(20)))
        assert [payload for payload in stored(path) if "old" not in payload] == [f'"{number}"' for number in range(20)]
        await driver.close()

    asyncio.run(main())


def test_replaced_during_a_commit(path):
    """A write is not acknowledged where its file was replaced before it could be."""

    async def main():
        driver = SqliteDriver(str(path), "sessions", 0)
        await driver.write(ID, "old", None)
        times = []

        def remove(statement):  # in the thread
            if statement == "COMMIT":
                times.append(1)
                path.unlink()

        await (await driver._connections.get()).writer.connection.set_trace_callback(remove)
        await driver.write("b" * 40, "new", None)
        assert times and stored(path) == ['"new"']
        await driver.close()

    asyncio.run(main())


def test_replaced_again_and_again(path, monkeypatch):
    """A file that is another one each time is an error that says so, and no endless attempt."""

    async def main():
        driver = SqliteDriver(str(path), "sessions", 0)
        await driver.write(ID, "old", None)
        monkeypatch.setattr("node_session.drivers.sqlite_files.SqliteFiles.have_moved", lambda self: True)
        with pytest.raises(UnavailableError, match="again and again"):
            await driver.write("b" * 40, "new", None)
        monkeypatch.undo()
        await driver.write("b" * 40, "new", None)
        await driver.close()

    asyncio.run(main())


def test_a_log_of_nobody(path):
    """A log that is left over where there is no database is not taken for the new one's."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE old (number)")
        database.commit()
        kept = [each.read_bytes() for each in files(path)[1:]]
    path.unlink()
    for each, content in zip(files(path)[1:], kept, strict=True):
        each.write_bytes(content)

    async def main():
        driver = SqliteDriver(str(path), "sessions", 0)
        await driver.write(ID, "new", None)
        assert stored(path) == ['"new"']
        await driver.close()

    asyncio.run(main())


def test_log_of_a_link(path):
    """If the path is a link, the log is beside its target, and is noticed there."""
    real = path.with_name("real.sqlite")
    path.symlink_to(real)

    async def main():
        driver = SqliteDriver(str(path), "sessions", 0)
        version = await driver.write(ID, "old", None)
        assert stat.S_IMODE(real.stat().st_mode) == 0o600
        files(real)[1].unlink()
        await driver.write(ID, "new", version)
        assert stored(real) == ['"new"'] and files(real)[1].exists()
        await driver.close()

    asyncio.run(main())


def test_locks_stay(path):
    """Another driver of the process that opens the file takes no lock of SQLite's away from the first."""
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode = DELETE')"

    async def main():
        first, second = (SqliteDriver(str(path), "sessions", 0) for _ in range(2))
        await first.write(ID, "text", None)
        await second.read(ID)
        # Needs that nobody else has it open; with the locks gone it would remove the log of those who have.
        process = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60
        )
        assert "locked" in process.stderr
        assert all(each.exists() for each in files(path))
        await first.close()
        await second.close()

    asyncio.run(main())


def test_log_that_another_loop_uses(path):
    """A deleted log that another loop of the process still uses is an error until that loop has left it."""
    driver = SqliteDriver(str(path), "sessions", 0)
    idle, go_on = threading.Event(), threading.Event()

    async def other():
        await driver.write(ID, "text", None)
        idle.set()
        await asyncio.to_thread(go_on.wait, 60)
        await driver.close()

    async def main():
        await driver.read(ID)
        thread.start()  # now: of two that make the file at the same moment, one may find it locked
        await asyncio.to_thread(idle.wait, 60)
        files(path)[1].unlink()
        with pytest.raises(UnavailableError, match="another event loop"):
            await driver.write("b" * 40, "text", None)
        go_on.set()
        await asyncio.to_thread(thread.join)
        await driver.write("b" * 40, "text", None)
        assert len(stored(path)) == 2
        await driver.close()

    thread = threading.Thread(target=lambda: asyncio.run(other()))
    asyncio.run(main())


# Reads lines: an id and a text to write, or an id to read. After "many" it writes without end.
PROGRAM = """
import asyncio, itertools, logging, sys, time
from node_session.drivers.sqlite import SqliteDriver

async def write_without_end(driver, name):
    for number in itertools.count():
        began = time.monotonic_ns()
        await driver.write(f"{name}-{number}", "text", None)
        print(f"{name}-{number}", began, flush=True)

async def main():
    logging.basicConfig(format="%(message)s")
    driver = SqliteDriver(sys.argv[1], "sessions", 0)
    while line := await asyncio.to_thread(sys.stdin.readline):
        id, _, text = line.strip().partition(" ")
        if id == "many":
            await asyncio.gather(*(write_without_end(driver, text + name) for name in "xyz"))
        elif text:
            await driver.write(id, text, None)
            print("written", flush=True)
        else:
            record = await driver.read(id)
            print(record and record.payload, flush=True)
    await driver.close()

asyncio.run(main())
"""


class Process:
    """Another process that uses a database."""

    def __init__(self, path):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        return self.process.stdout.readline().strip()

    def end(self):
        """Its log lines."""
        return self.process.communicate(timeout=60)[1].splitlines()


@pytest.mark.parametrize("damage", [delete, delete_all, replace, move_away, move_all_away, delete_log, delete_index])
def test_two_processes(path, damage):
    """Two processes that were idle meanwhile both notice, and then see what the other one writes."""
    processes = first, second = Process(path), Process(path)
    assert first.ask("1 one") == "written" and second.ask("1") == "one"
    copy = backup(path)
    assert second.ask("2 two") == "written" and first.ask("2") == "two"
    damage(path, copy)
    time.sleep(LATER)
    assert first.ask("2") == ("two" if damage in (delete_log, delete_index) else "None")
    assert first.ask("3 three") == "written" and second.ask("3") == "three"
    assert second.ask("4 four") == "written" and first.ask("4") == "four"
    assert stored(path)[-2:] == ['"three"', '"four"']
    for process in processes:
        (warning,) = process.end()
        assert "opened again" in warning
    assert stored(path)[-2:] == ['"three"', '"four"']


@pytest.mark.parametrize("damage", [delete, delete_all, replace, delete_log, delete_index])
def test_two_busy_processes(path, damage):
    """While two processes write, all that was begun after it and acknowledged is in the file, which is whole."""
    processes = first, second = Process(path), Process(path)
    assert first.ask("1 one") == "written" and second.ask("1") == "one"
    acknowledged = []
    first.tell("many a")
    second.tell("many b")

    def collect(process):
        acknowledged.extend(line.split() for line in process.process.stdout)

    threads = [threading.Thread(target=collect, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()

    def since(then):
        return [line[0] for line in list(acknowledged) if len(line) == 2 and int(line[1]) > then]

    def both_go_on(then):
        deadline = time.monotonic() + 60
        while min(sum(id.startswith(name) for id in since(then)) for name in "ab") < 20:
            assert time.monotonic() < deadline, [process.process.poll() for process in processes]
            time.sleep(0.01)

    then = time.monotonic_ns()
    try:
        for _ in range(3):
            both_go_on(then)
            copy = backup(path) if damage is replace else path.with_name("none")
            damage(path, copy)
            then = time.monotonic_ns()
        both_go_on(then)
    finally:
        for process in processes:
            process.process.kill()
        for thread in threads:
            thread.join()
        warnings = [process.process.stderr.read() for process in processes]
        for process in processes:
            process.process.communicate()
    assert [warning.count("opened again") for warning in warnings] == [3, 3]
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        there = {id for (id,) in database.execute("SELECT id FROM sessions")}
    nothing_is_lost = damage in (delete_log, delete_index)
    expected = set(since(0 if nothing_is_lost else then))
    assert len(expected) >= 40 and expected <= there


def test_no_descriptor_is_left(path):
    """Opening again leaves nothing open."""

    async def main():
        driver = SqliteDriver(str(path), "sessions", 0)
        await driver.write(ID, "text", None)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            path.unlink()
            await driver.write(ID, "text", None)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
        await driver.close()

    asyncio.run(main())
