"""The file driver: what is on the disk, who may be beside us, and what happens when things break."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time

import pytest

from node_session import ConflictError, DamagedError, UnavailableError, UnreadableError
from node_session.drivers import FileDriver, file_records, rename
from node_session.testing import DriverContract

ID = "A" * 40
OTHER = "B" * 40


class TestContract(DriverContract):
    """The file driver keeps the contract."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "deep" / "sessions"

    def make_driver(self, lifetime):
        return FileDriver(self.folder, lifetime)

    async def age(self, driver, id, milliseconds):
        then = (self.folder / id).stat().st_mtime - milliseconds / 1000
        os.utime(self.folder / id, (then, then))


class TestContractDurable(TestContract):
    """Waiting for the disk changes nothing else."""

    def make_driver(self, lifetime):
        return FileDriver(self.folder, lifetime, durable=True)


class TestContractWithoutExchange(TestContract):
    """Nor does a system that cannot exchange files."""

    @pytest.fixture(autouse=True)
    def _no_exchange(self, monkeypatch):
        monkeypatch.setattr(rename, "_renameat2", None)


def run(coroutine):
    return asyncio.run(coroutine)


# -------------------------------------------------------------------- what is on the disk


def test_times_in_the_future(driver, folder):
    """Whoever reads a record whose last activity is in the future leaves both its times where they are.

    The original's gc looks at the access time, which the system sets if it is not later than the other one.
    """
    for id, asked in ((ID, driver.write(ID, "text", None, idle=-60_000)), (OTHER, driver.write(OTHER, "text", None))):
        run(asked)
        run(driver.touch(id, idle=-60_000))
        before = (folder / id).stat()
        assert before.st_mtime > time.time() + 50 and before.st_atime > before.st_mtime
        assert run(driver.read(id)).idle < -50_000
        after = (folder / id).stat()
        assert (after.st_atime, after.st_mtime) == (before.st_atime, before.st_mtime)


def test_no_more_system_calls(driver, monkeypatch):
    """A record that was active just now is written without setting its times."""

    def forbidden(*args, **options):
        raise AssertionError("its times were set")

    version = run(driver.write(ID, "text", None))
    monkeypatch.setattr(os, "utime", forbidden)
    run(driver.write(ID, "next", version))
    run(driver.write(OTHER, "text", None))


def test_one_file_a_session(driver, folder):
    """A record is one file, named by its id, that holds its text and nothing else."""
    run(driver.write(ID, '{"a":"ü"}', None))
    assert (folder / ID).read_bytes() == '{"a":"ü"}'.encode()
    assert [each.name for each in folder.iterdir() if not each.name.startswith(".lock-")] == [ID]


def test_only_the_owner_can_read(driver, folder):
    """Files are 0600 and the folder 0700, whatever the umask."""
    before = os.umask(0)
    try:
        version = run(driver.write(ID, "one", None))
        run(driver.write(ID, "two", version))
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}


def test_touch_sets_both_times(driver, folder):
    """A touch sets the access time as well, by which the original's gc goes."""
    run(driver.write(ID, "text", None))
    os.utime(folder / ID, (1000, time.time() - 10))
    run(driver.touch(ID))
    status = (folder / ID).stat()
    assert min(status.st_atime, status.st_mtime) > time.time() - 5


def test_lifetime_zero_never_expires(folder):
    """With lifetime 0 a record is there whatever its age."""
    driver = FileDriver(folder, 0)
    run(driver.write(ID, "text", None))
    os.utime(folder / ID, (1, 1))
    assert run(driver.read(ID)).payload == "text"


def test_large_record(driver):
    """A record too large for the event loop is read in a thread."""
    text = "ü" * 1_000_000
    run(driver.write(ID, text, None))
    assert run(driver.read(ID)).payload == text


def test_empty_record(driver, folder):
    """An empty file, as the original leaves it for a moment, is an empty text and not "no record"."""
    folder.mkdir()
    (folder / ID).touch()
    assert run(driver.read(ID)).payload == ""


def test_no_temporary_file_stays(driver, folder):
    """Neither success nor conflict leaves a temporary file."""
    run(driver.write(ID, "one", None))
    for version in (None, "another"):
        with pytest.raises(ConflictError):
            run(driver.write(ID, "mine", version))
    assert not [each for each in folder.iterdir() if each.name.startswith(".tmp-")]


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "id",
    ["", "../" * 13 + "x", "A" * 39, "A" * 41, "A" * 39 + "\0", "A" * 40 + "\n", "A" * 39 + "/", "é" * 40, 7, None],
)
def test_no_path_of_what_is_no_id(driver, id):
    """An invalid id never becomes a path, in any method."""
    for operation in (
        lambda: driver.read(id),
        lambda: driver.write(id, "text", None),
        lambda: driver.write(id, "text", "version"),
        lambda: driver.touch(id),
        lambda: driver.destroy(id),
        lambda: driver.set_aside(id, None),
    ):
        with pytest.raises(ValueError, match="not a session id"):
            run(operation())


def test_not_utf8(driver, folder):
    """A file that is no text is damaged, and can be set aside."""
    folder.mkdir()
    (folder / ID).write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedError):
        run(driver.read(ID))
    run(driver.set_aside(ID, None))
    assert run(driver.read(ID)) is None
    (aside,) = [each for each in folder.iterdir() if each.name.startswith(".damaged-")]
    assert aside.read_bytes() == b"\xff\xfe" and ID not in aside.name


def test_set_aside_only_what_is_damaged(driver, folder):
    """A record that was replaced since it was found damaged is not set aside."""
    run(driver.write(ID, "whole", None))
    run(driver.set_aside(ID, "damaged"))
    run(driver.set_aside(ID, None))
    assert run(driver.read(ID)).payload == "whole"


def break_file(folder, how):
    path = folder / ID
    folder.mkdir()
    if how == "symlink":
        (folder / "target").write_text("secret")
        path.symlink_to(folder / "target")
    elif how == "folder":
        path.mkdir()
    elif how == "fifo":
        os.mkfifo(path)


@pytest.mark.parametrize("how", ["symlink", "folder", "fifo"])
def test_not_a_file(driver, folder, how):
    """A link, a folder or a pipe in a record's place is "cannot tell": not followed, not waited for, not replaced."""
    break_file(folder, how)
    with pytest.raises(UnreadableError) as caught:
        run(driver.read(ID))
    assert ID not in str(caught.value)
    for version in (None, "version"):
        with pytest.raises(UnavailableError) as caught:
            run(driver.write(ID, "mine", version))
        assert ID not in str(caught.value)
    assert not (folder / ID).is_file() or (folder / ID).is_symlink()
    assert not [each for each in folder.iterdir() if each.name.startswith(".tmp-")]


def test_folder_that_cannot_be(tmp_path):
    """A folder that cannot be made or entered is a clear error for writes, and for reads it is "cannot tell"."""
    (tmp_path / "file").touch()
    driver = FileDriver(tmp_path / "file" / "sessions", 60_000)
    with pytest.raises(UnreadableError, match="Not a directory"):
        run(driver.read(ID))
    with pytest.raises(UnavailableError, match="Not a directory"):
        run(driver.write(ID, "text", None))


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_unreadable(driver, monkeypatch, error):
    """Any failure to read a file means "cannot tell", never "no record"."""
    run(driver.write(ID, "text", None))

    def refuse(*args, **options):
        raise OSError(error, os.strerror(error), f"/path/{ID}")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UnreadableError, match=os.strerror(error)) as caught:
        run(driver.read(ID))
    assert ID not in str(caught.value)


def test_full_disk(driver, folder, monkeypatch):
    """On a full disk a write is an error; the record stays as it was, and nothing is left over."""
    version = run(driver.write(ID, "one", None))
    fsync = []

    def full(file):
        fsync.append(file)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable = FileDriver(folder, 60_000, durable=True)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left"):
        run(durable.write(ID, "two", version))
    assert fsync
    assert run(driver.read(ID)).payload == "one"
    assert not [each for each in folder.iterdir() if each.name.startswith(".tmp-")]


def test_durable(folder, monkeypatch):
    """A durable write reaches the disk before it takes the record's place, and that before it returns; so a removal."""
    doings = []

    def record(name, function, describe):
        def recording(*args, **options):
            doings.append((name, describe(*args)))
            return function(*args, **options)

        return recording

    def what(file):
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode):
            return "record"
        return next(name for path, name in folders.items() if os.path.samestat(status, path.stat()))

    folders = {path: os.path.relpath(path, folder) for path in (folder, *folder.parents)}

    monkeypatch.setattr(os, "fsync", record("sync", os.fsync, what))
    monkeypatch.setattr(os, "link", record("link", os.link, lambda *paths: ""))
    monkeypatch.setattr(file_records, "exchange", record("exchange", file_records.exchange, lambda *paths: ""))
    monkeypatch.setattr(os, "unlink", record("unlink", os.unlink, os.path.basename))
    driver = FileDriver(folder, 60_000, durable=True)
    version = run(driver.write(ID, "one", None))
    parents = [("sync", folders[parent]) for parent in folder.parents]
    assert [each for each in doings if each[0] != "unlink"] == [
        *parents,
        ("sync", "record"),
        ("link", ""),
        ("sync", "."),
    ]
    doings.clear()
    run(driver.write(ID, "two", version))
    assert [each for each in doings if each[0] != "unlink"] == [("sync", "record"), ("exchange", ""), ("sync", ".")]
    doings.clear()
    run(driver.destroy(ID))
    assert doings == [("unlink", ID), ("sync", ".")]


def test_folder_that_is_removed(driver, folder):
    """A folder removed while the program runs is "no record", and made again when something is written."""
    import shutil

    run(driver.write(ID, "one", None))
    shutil.rmtree(folder)
    assert run(driver.read(ID)) is None
    assert run(driver.gc(1000)) == 0
    run(driver.destroy(ID))
    run(driver.touch(ID))
    with pytest.raises(ConflictError):
        run(driver.write(ID, "two", "one"))
    run(driver.write(ID, "two", None))
    assert run(driver.read(ID)).payload == "two"


@pytest.mark.gen_test
async def test_confirming_leaves_another_version_alone(driver, folder, monkeypatch):
    """A renewal of the version that was read does not set the time of one that is written just then."""
    version = await driver.write(ID, "old", None)
    set_times = os.utime

    def another_first(*args, **options):
        monkeypatch.setattr(os, "utime", set_times)
        driver._records.write(ID, b"new", b"old", idle=-3600)
        set_times(*args, **options)

    monkeypatch.setattr(os, "utime", another_first)
    await driver.confirm(ID, version)
    assert (await driver.read(ID)).payload == "new"
    assert (folder / ID).stat().st_mtime > time.time() + 1800
