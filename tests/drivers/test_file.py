"""The file driver: what is on the disk, who may be beside us, and what happens when things break."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest

from drivers.on_server import SECRET, application
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


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sessions"


@pytest.fixture
def driver(folder):
    return FileDriver(folder, 60_000)


def run(coroutine):
    return asyncio.run(coroutine)


# -------------------------------------------------------------------- what is on the disk


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
    """What is no id never becomes a path, in no method."""
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
    """Whatever keeps a file from being read is "cannot tell", never "no record"."""
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


# -------------------------------------------------------------------- folders of others


OPERATIONS = {
    "read": lambda driver: driver.read(ID),
    "create": lambda driver: driver.write(OTHER, "mine", None),
    "replace": lambda driver: driver.write(ID, "mine", "planted"),
    "touch": lambda driver: driver.touch(ID),
    "destroy": lambda driver: driver.destroy(ID),
    "set aside": lambda driver: driver.set_aside(ID, "planted"),
    "gc": lambda driver: driver.gc(1),
    "scan": lambda driver: listed(driver),
}


async def listed(driver):
    return [entry async for entry in driver.scan()]


@pytest.fixture(params=[False, True], ids=["", "durable"])
def foreign(folder, monkeypatch, request):
    """A driver on a folder that another user has made, with a record in it."""
    folder.mkdir(mode=0o700)
    (folder / ID).write_text("planted")
    os.utime(folder / ID, (1, 1))
    if os.geteuid() == 0:
        os.chown(folder, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    return FileDriver(folder, 0, durable=request.param)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_folder_of_another_user(foreign, folder, operation):
    """What another user has prepared is neither read nor written, and the error says whose it is and what to do."""
    with pytest.raises(UnavailableError, match=r"belongs to another user .* chown it"):
        run(OPERATIONS[operation](foreign))
    assert {each.name for each in folder.iterdir()} == {ID}
    assert (folder / ID).read_text() == "planted" and (folder / ID).stat().st_mtime == 1


def test_folder_of_another_user_for_who_looks_after_it(foreign):
    """With any_owner, as for root at the command line, it is a folder like any other."""
    foreign.any_owner = True
    for operation in OPERATIONS.values():
        run(operation(foreign))


@pytest.mark.parametrize("mode", [0o1777, 0o770])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_folder_that_others_can_write(driver, folder, operation, mode):
    """Nor is a folder used into which others can put files, and which was opened to them only now."""
    run(driver.write(ID, "planted", None))
    driver.any_owner = True
    folder.chmod(mode)
    with pytest.raises(UnavailableError, match=r"others can write into this folder.* chmod go-w"):
        run(OPERATIONS[operation](driver))
    folder.chmod(0o755)
    run(OPERATIONS[operation](driver))


def test_folder_that_another_user_makes_meanwhile(driver, folder, monkeypatch):
    """If somebody else makes the folder at the moment of the very first write, it is refused as well."""
    makedirs = os.makedirs

    def beaten(*args, **options):
        makedirs(*args, **options)
        folder.chmod(0o777)

    monkeypatch.setattr(os, "makedirs", beaten)
    with pytest.raises(UnavailableError, match="others can write"):
        run(driver.write(ID, "mine", None))
    assert not list(folder.iterdir())


# -------------------------------------------------------------------- gc


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
        os.utime(folder / ID)
        return flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", use_and_lock)
    assert run(driver.gc(60_000)) == 0
    assert (folder / ID).exists()


# -------------------------------------------------------------------- beside the original


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


# -------------------------------------------------------------------- processes

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
    """Four processes that count up one record at once miss no count."""
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


# -------------------------------------------------------------------- listing


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
