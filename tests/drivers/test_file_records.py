"""The records of the file driver: beside the original, on poor file systems, in several processes, killed."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from drivers.serving import SECRET, application
from node_session import ConflictError
from node_session.drivers import file_records, rename

ID = "A" * 40


def run(coroutine):
    return asyncio.run(coroutine)


def test_what_the_original_writes_is_not_overwritten(driver, folder, monkeypatch):
    """The original writes into the file in the very moment of the exchange: its text stays, ours is a conflict."""
    version = run(driver.write(ID, "one", None))
    exchange = file_records.exchange

    def late(one, other):
        monkeypatch.setattr(file_records, "exchange", exchange)
        (folder / ID).write_text("the original's")
        return exchange(one, other)

    monkeypatch.setattr(file_records, "exchange", late)
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", version))
    assert (folder / ID).read_text() == "the original's"
    assert not [each for each in folder.iterdir() if each.name.startswith(".tmp-")]


def test_what_the_original_writes_twice(driver, folder, monkeypatch):
    """The original writes before the exchange, and again before the files are exchanged back: the later text stays."""
    version = run(driver.write(ID, "one", None))
    exchange, texts = file_records.exchange, ["the original's", "the original's, later"]

    def late(one, other):
        if texts:
            (folder / ID).write_text(texts.pop(0))
        return exchange(one, other)

    monkeypatch.setattr(file_records, "exchange", late)
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", version))
    assert (folder / ID).read_text() == "the original's, later"
    assert not [each for each in folder.iterdir() if each.name.startswith(".tmp-")]


def test_what_the_original_writes_and_destroys(driver, folder, monkeypatch):
    """The original writes before the exchange, and destroys before the files are exchanged back: it stays destroyed."""
    version = run(driver.write(ID, "one", None))
    exchange, doings = file_records.exchange, [lambda: (folder / ID).write_text("late"), (folder / ID).unlink]

    def late(one, other):
        doings.pop(0)()
        return exchange(one, other)

    monkeypatch.setattr(file_records, "exchange", late)
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", version))
    assert not (folder / ID).exists()


def test_what_the_original_creates_is_not_overwritten(driver, folder, monkeypatch):
    """The original creates the record in the very moment that we do: ours is a conflict."""
    link = os.link

    def late(one, other):
        (folder / ID).write_text("the original's")
        return link(one, other)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", None))
    assert (folder / ID).read_text() == "the original's"


def test_what_the_original_destroys_is_not_brought_back(driver, folder, monkeypatch):
    """The original destroys the record in the very moment of the exchange: it stays destroyed."""
    version = run(driver.write(ID, "one", None))
    exchange = file_records.exchange

    def late(one, other):
        (folder / ID).unlink()
        return exchange(one, other)

    monkeypatch.setattr(file_records, "exchange", late)
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", version))
    assert not (folder / ID).exists()


NO_LINKS = [errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EACCES]


def refuse(number):
    def refusing(*args, **options):
        raise OSError(number, os.strerror(number))

    return refusing


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("number", NO_LINKS, ids=errno.errorcode.get)
def test_no_links(driver, folder, monkeypatch, number, exchanges):
    """On a file system without links records are created, replaced and destroyed all the same, and only if absent."""
    monkeypatch.setattr(os, "link", refuse(number))
    if not exchanges:
        monkeypatch.setattr(rename, "_renameat2", None)
    version = run(driver.write(ID, "one", None))
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", None))
    run(driver.write(ID, "two", version))
    assert run(driver.read(ID)).payload == "two"
    os.utime(folder / ID, (1, 1))
    run(driver.write(ID, "new", None))
    assert run(driver.read(ID)).payload == "new"
    run(driver.destroy(ID))
    assert not [each.name for each in folder.iterdir() if not each.name.startswith(".lock-")]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EACCES])
def test_no_exchange(driver, monkeypatch, number):
    """Nor does a file system need renameat2."""

    def unsupported(*args):
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(rename, "_renameat2", unsupported)
    monkeypatch.setattr(os, "link", refuse(errno.ENOSYS))
    run(driver.write(ID, "two", run(driver.write(ID, "one", None))))
    assert run(driver.read(ID)).payload == "two"


def test_original_creates_where_there_are_no_links(driver, folder, monkeypatch):
    """A record that the original makes in just this moment is not overwritten, without links either."""
    renameat2 = rename._renameat2

    def late(*args):
        (folder / ID).write_text("theirs")
        return renameat2(*args)

    monkeypatch.setattr(os, "link", refuse(errno.ENOSYS))
    monkeypatch.setattr(rename, "_renameat2", late)
    with pytest.raises(ConflictError):
        run(driver.write(ID, "mine", None))
    assert (folder / ID).read_text() == "theirs"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP], ids=errno.errorcode.get)
def test_no_locks(folder, monkeypatch, caplog, number):
    """Without flock a request that saves is a 503, and the log names what is missing, where, and the cure."""
    monkeypatch.setattr(fcntl, "flock", refuse(number))

    async def main():
        async with application({"secret": SECRET, "files": str(folder)}) as ask:
            assert (await ask(None))[0] == 503

    run(main())
    (told,) = [each.getMessage() for each in caplog.records if "cannot write" in each.getMessage()]
    assert str(folder) in told and "no flock" in told and os.strerror(number) in told and "local disk" in told
    assert not [each for each in folder.iterdir() if not each.name.startswith(".lock-")]


COUNT = """
import asyncio, sys
from pathlib import Path
from node_session import ConflictError
from node_session.drivers import FileDriver

async def main():
    driver = FileDriver(Path(sys.argv[1]), 60_000)
    for _ in range(int(sys.argv[2])):
        while True:
            record = await driver.read("A" * 40)
            try:
                await driver.write("A" * 40, str(int(record.payload) + 1), record.version)
                break
            except ConflictError:
                pass

asyncio.run(main())
"""


def test_processes_count_together(driver, folder):
    """Four processes that concurrently count up one record miss no count."""
    run(driver.write(ID, "0", None))
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, folder, "50"]) for _ in range(4)]
    assert [each.wait() for each in processes] == [0] * 4
    assert run(driver.read(ID)).payload == "200"


WRITE = """
import asyncio, sys
from pathlib import Path
from node_session.drivers import FileDriver

async def main():
    driver = FileDriver(Path(sys.argv[1]), 60_000)
    record = await driver.read("A" * 40)
    version, number = record.version, int(record.payload.split()[0])
    print("ready", flush=True)
    while True:
        number += 1
        version = await driver.write("A" * 40, f"{number} " * (number % 5000 + 1), version)

asyncio.run(main())
"""


def test_killed_at_any_moment(driver, folder):
    """A process killed while it writes leaves the record whole, old or new, and no lock that others wait for."""
    run(driver.write(ID, "0 ", None))
    last = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITE, folder], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        text = run(driver.read(ID)).payload
        number = int(text.split()[0])
        assert text == f"{number} " * (number % 5000 + 1)
        assert number >= last
        last = number
    assert last > 0
    for orphan in folder.glob(".tmp-*"):
        os.utime(orphan, (1, 1))
    run(driver.gc(60_000))
    assert not list(folder.glob(".tmp-*"))


def test_cancelled_write(driver, folder):
    """A write whose request is cancelled is finished or not begun, never half."""

    async def scenario():
        version = await driver.write(ID, "x" * 100_000, None)
        for number in range(20):
            text = str(number) * 100_000
            task = asyncio.ensure_future(driver.write(ID, text, version))
            await asyncio.sleep(random.uniform(0, 0.002))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0.02)
            version = (await driver.read(ID)).version
            assert len(set(version)) <= 2 and len(version) >= 100_000

    run(scenario())
    assert not list(folder.glob(".tmp-*"))
