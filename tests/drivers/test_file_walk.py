"""gc and listings of the file driver: which files they take for records, and which they leave alone."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import time

import pytest

from node_session import UnavailableError
from node_session.drivers import FileDriver

ID = "A" * 40
OTHER = "B" * 40


def run(coroutine):
    return asyncio.run(coroutine)


# Names that only begin, end or look like those of our own files.
STRANGE = [
    ".hidden",
    ".tmp-important.doc",
    ".tmp-",
    f".tmp-{'0' * 23}",
    f".tmp-{'0' * 25}",
    f".tmp-{'A' * 24}",
    f".tmp-{'0' * 24}\n",
    f"x.tmp-{'0' * 24}",
    ".damaged-report",
    f".damaged-{'a' * 5}-{'0' * 24}",
    f".damaged-{'a' * 6}-{'0' * 24}~",
    f".damaged-{'.' * 6}-{'0' * 24}",
]


def test_gc_leaves_other_files_alone(driver, folder):
    """Gc removes records and its own leftovers, each in its time, and nothing else."""
    run(driver.write(ID, "old", None))
    run(driver.write(OTHER, "young", None))
    now = time.time()
    ages = {
        f".tmp-{'0' * 24}": 2 * 3600,
        f".tmp-{'1' * 24}": 60,
        f".damaged-_-aaaa-{'0' * 24}": 8 * 86400,
        f".damaged-_-aaaa-{'1' * 24}": 2 * 3600,
        **dict.fromkeys(STRANGE, 10**8),
        "README.md": 10**8,
        "C" * 39: 10**8,
        ID: 120,
    }
    for name, age in ages.items():
        (folder / name).touch()
        os.utime(folder / name, (now, now - age))
    (folder / ("D" * 40)).mkdir()
    os.utime(folder / ("D" * 40), (1, 1))
    assert run(driver.gc(60_000)) == 1
    left = {each.name for each in folder.iterdir() if not each.name.startswith(".lock-")}
    young = {f".tmp-{'1' * 24}", f".damaged-_-aaaa-{'1' * 24}"}
    assert left == {OTHER, *young, *STRANGE, "README.md", "C" * 39, "D" * 40}


def test_gc_spares_what_was_used_in_the_meantime(driver, folder, monkeypatch):
    """A record that is used between gc's look and its removal stays."""
    run(driver.write(ID, "text", None))
    os.utime(folder / ID, (1, 1))
    flock = fcntl.flock

    def use_and_lock(file, operation):
        if operation == fcntl.LOCK_EX:  # the record's lock; gc has looked at the record
            os.utime(folder / ID)
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", use_and_lock)
    assert run(driver.gc(60_000)) == 0
    assert (folder / ID).exists()


def test_a_listing_goes_on_past_what_is_broken(driver, folder, caplog, monkeypatch):
    """A listing leaves out what is no record, and goes on past records that are no text or cannot be read."""

    async def scenario():
        for name in "ABC":
            await driver.write(name * 40, name, None)
        (folder / ("A" * 40)).write_bytes(b"\xff\xfe")
        (folder / "notes.txt").write_text("mine")
        (folder / ("D" * 40)).mkdir()
        (folder / ("E" * 40)).symlink_to(folder / ("B" * 40))
        monkeypatch.setattr(os, "open", fail_to_open)
        return {entry.id[0]: entry.payload async for entry in driver.scan()}

    def fail_to_open(path, *args, open=os.open, **options):
        if path == f"{folder}/{'C' * 40}":
            raise OSError(errno.EIO, "Input/output error", "/secret/path")
        return open(path, *args, **options)

    assert run(scenario()) == {"A": "", "B": "B", "C": ""}
    (record,) = caplog.records
    assert "cannot read session CCCCCC…" in record.message and "Input/output error" in record.message
    assert "C" * 40 not in record.message


def test_a_listing_reads_in_parts(driver, folder, monkeypatch):
    """However many there are, no more than a part of the records is in memory at the same time."""
    opened, most = 0, 0

    def count(path, *args, open=os.open, **options):
        nonlocal opened
        opened += path.startswith(f"{folder}/")
        return open(path, *args, **options)

    async def scenario():
        nonlocal most
        for number in range(450):
            await driver.write(f"{number:040d}", "text", None)
        monkeypatch.setattr(os, "open", count)
        listed = 0
        async for _ in driver.scan():
            most = max(most, opened - listed)
            listed += 1
        assert listed == opened == 450

    run(scenario())
    assert most <= 200


def test_a_folder_that_cannot_be_listed(tmp_path):
    """A folder that is none is an UnavailableError that names it."""
    (tmp_path / "file").write_text("")

    async def scenario():
        return [entry async for entry in FileDriver(tmp_path / "file", 0).scan()]

    with pytest.raises(UnavailableError, match=f"cannot list the sessions in {tmp_path}/file"):
        run(scenario())
