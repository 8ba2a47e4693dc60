"""The file driver: one file a session in one folder, its name the id, its content the stored text.

Any number of processes share the folder, the npm original among them.

- *Reading* takes no lock: a record is only ever replaced as a whole. It happens in the event loop; a small file takes
  a few microseconds there, and ten times that by way of a thread.
- *Writing* happens in a thread, for all requests at once that wait for it. A temporary file is written first. Then,
  under a lock, the record is compared with the one that was read, and replaced. The lock is held for some
  microseconds; it is `flock`, which the system takes away from a process that is killed.
- *The original* knows no lock, and writes into the file itself. So the two files are exchanged rather than one renamed
  over the other, and what comes back is looked at: if the original wrote in the moment since the comparison, the
  files are exchanged back, and its text is merged like anybody's.
- *The folder* is ours or root's, and nobody else can write into it, or it is not used at all: a user who can put a file
  into it can give himself any session, and in the common temporary folder anybody may have made it before us. Each
  operation looks, as the folder may be removed and made again by another. The folders above it are not looked at.
- The original's gc removes, by access time, every file whose name has no leading dot. So a touch sets both times, and
  temporary files and locks begin with a dot.

Rejected: modification times as versions (they tick in steps of 4 ms on ext4, and a touch changes them); renaming over
the old file, for another reason than the original's writes as well: ext4 then waits for the disk, which takes more
than twice as long. The price is paid only in a power cut, which may leave the records of the last seconds empty, as
with the original. `durable` waits for the disk, for those who want to pay.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from .. import ids
from ..errors import ConflictError, DamagedError, UnavailableError, UnreadableError
from ..immediate import never_waits
from .base import Driver, Entry, Record
from .batches import Batches
from .rename import UNSUPPORTED, exchange, rename_if_free

logger = logging.getLogger("node_session")

T = TypeVar("T")

# A record of more bytes than this is read in a thread.
_LARGE = 128 * 1024

# Seconds after which gc takes a temporary file for an orphan, whose process was killed, and a damaged record for one
# that nobody looks at any more.
_ORPHANED = 60 * 60
_FORGOTTEN = 7 * 24 * 60 * 60

# How many files a listing reads in one go.
_BATCH = 200

# What flock answers where the file system has no locks.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


# Our own files that are no records, by their whole names: a shared folder may have others that begin so.
_is_temporary = re.compile(r"\.tmp-[0-9a-f]{24}").fullmatch
_is_damaged = re.compile(r"\.damaged-[A-Za-z0-9_-]{6}-[0-9a-f]{24}").fullmatch


class FileDriver(Driver):
    """Keeps records as files.

    Args:
        folder: Made, with its parents, when the first record is written; for its owner only.
        lifetime: Milliseconds a record may be idle; 0: for ever. The time of last activity is the file's mtime.
        durable: Let a write wait until the disk has it, so that it survives a power cut.
        clock: Gives seconds since 1970.

    Attributes:
        any_owner: Whether the folder may be another user's. For root at the command line, who looks after the sessions
            of a program that runs as somebody else; a program itself never has a reason to.
    """

    # The original truncates a file and then fills it. That takes a millisecond; but its machine may be busy, and the
    # clock of a file server a little off.
    half_written_for = 10_000

    any_owner = False

    def __init__(
        self, folder: Path, lifetime: float, *, durable: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = str(folder)
        self._seconds = lifetime / 1000
        self._durable = durable
        self._clock = clock
        self._batches = Batches()

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        try:
            content, active = self._read(id, _LARGE)
            if not content:
                content, active = await asyncio.to_thread(self._read, id)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableError(self._message("read", id, error)) from error
        try:
            payload = content.decode()
        except UnicodeDecodeError as error:
            raise DamagedError("it is not UTF-8 text", (self._clock() - active) * 1000) from error
        return Record(payload, payload, (self._clock() - active) * 1000)

    async def write(self, id: str, payload: str, version: object) -> object:
        """See `Driver.write`."""
        expected = None if version is None else str(version).encode()
        await self._in_thread("write", id, self._write, payload.encode(), expected)
        return payload

    @never_waits
    async def touch(self, id: str) -> None:
        """See `Driver.touch`."""
        path, now = self._path(id), self._clock()
        try:
            self._check_folder()
            if not self._has_expired(os.lstat(path)):
                os.utime(path, (now, now), follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UnavailableError(self._message("renew", id, error)) from error

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        await self._in_thread("destroy", id, self._destroy, None if version is None else str(version).encode())

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`. Only files whose name is an id are records; others, but for our own, are left alone."""
        try:
            return await asyncio.to_thread(self._gc, lifetime / 1000)
        except OSError as error:
            raise UnavailableError(f"cannot remove sessions from {self._folder}: {error.strerror}") from error

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        try:
            self._check_folder()
            files = await asyncio.to_thread(os.scandir, self._folder)
        except FileNotFoundError:  # no session was saved yet
            return
        except OSError as error:
            raise UnavailableError(f"cannot list the sessions in {self._folder}: {error.strerror}") from error
        with files:
            while (batch := await asyncio.to_thread(self._next_entries, files)) is not None:
                for entry in batch:
                    yield entry

    async def set_aside(self, id: str, version: object) -> None:
        """See `Driver.set_aside`. The file is renamed to ``.damaged-…``, and removed after a week."""
        await self._in_thread("set aside", id, self._set_aside, None if version is None else str(version).encode())

    # ---------------------------------------------------------------- in a thread

    def _write(self, id: str, content: bytes, expected: bytes | None) -> None:
        path = self._path(id)
        self._check_folder()
        temporary = self._write_temporary(content)
        try:
            with self._lock(id):
                if self._current(id, even_expired=expected is not None) != expected:
                    raise _conflict()
                if expected is None:
                    self._create(temporary, path, id)
                else:
                    self._replace(temporary, path, expected, content)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        if self._durable:
            self._sync(self._folder)

    def _write_temporary(self, content: bytes) -> str:
        path = f"{self._folder}/.tmp-{token_hex(12)}"
        try:
            file = os.open(path, _CREATE, 0o600)
        except FileNotFoundError:
            self._make_folder()
            file = os.open(path, _CREATE, 0o600)
        try:
            _write_all(file, content)
            if self._durable:
                os.fsync(file)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(file)
        return path

    def _create(self, temporary: str, path: str, id: str) -> None:
        try:
            if not _link(temporary, path) and not rename_if_free(temporary, path):
                # Nothing here makes a file only if there is none. It was looked under the lock, which is enough for all
                # but the original, and that makes no record of this id in just this moment.
                os.replace(temporary, path)
        except FileExistsError:
            # An expired record; or, made in this moment, one by the original, which then counts.
            if self._current(id) is not None:
                raise _conflict() from None
            os.replace(temporary, path)

    def _replace(self, temporary: str, path: str, expected: bytes, content: bytes) -> None:
        there, back = content, expected  # what is to be in the record's place, and in the file that comes back
        try:
            if not exchange(temporary, path):
                os.replace(temporary, path)
                return
            while (found := _content(temporary)) != back:  # the original wrote into it: what it wrote goes back
                exchange(temporary, path)
                there, back = found, there
        except FileNotFoundError:  # the original has destroyed it in this moment
            raise _conflict() from None
        if there is not content:
            raise _conflict()

    def _destroy(self, id: str, expected: bytes | None) -> None:
        self._check_folder()
        with contextlib.suppress(FileNotFoundError), self._lock(id):
            if expected is not None and self._current(id, even_expired=True) not in (None, expected):
                raise _conflict()
            os.unlink(self._path(id))
            if self._durable:  # or a power cut would bring the session back
                self._sync(self._folder)

    def _set_aside(self, id: str, expected: bytes | None) -> None:
        self._check_folder()
        with contextlib.suppress(FileNotFoundError), self._lock(id):
            content = _content(self._path(id))
            if content == expected or (expected is None and not _is_text(content)):
                os.rename(self._path(id), f"{self._folder}/.damaged-{id[:6]}-{token_hex(12)}")

    def _gc(self, seconds: float) -> int:
        removed = 0
        self._check_folder()
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # gone already, or not ours: that is no reason to stop
                    if ids.is_valid(entry.name):
                        removed += self._remove_if_older(entry, seconds, entry.name)
                    elif _is_temporary(entry.name):
                        self._remove_if_older(entry, _ORPHANED, None)
                    elif _is_damaged(entry.name):
                        self._remove_if_older(entry, _FORGOTTEN, None)
        return removed

    def _next_entries(self, files: Iterator[os.DirEntry[str]]) -> list[Entry] | None:
        """Some more records; None when all files were seen."""
        batch = list(islice(files, _BATCH))
        entries = (self._entry(each) for each in batch if ids.is_valid(each.name))
        return [each for each in entries if each is not None] if batch else None

    def _entry(self, file: os.DirEntry[str]) -> Entry | None:
        content = b""
        try:
            status = os.lstat(file.path)
            if not stat.S_ISREG(status.st_mode):
                return None
            content, _ = self._read(file.name)
        except FileNotFoundError:  # destroyed meanwhile, or expired
            return None
        except OSError as error:
            logger.warning("%s", self._message("read", file.name, error))
        return Entry(file.name, content.decode() if _is_text(content) else "", status.st_mtime * 1000)

    def _remove_if_older(self, entry: os.DirEntry[str], seconds: float, id: str | None) -> bool:
        latest = self._clock() - seconds

        def is_older() -> bool:
            status = os.lstat(entry.path)
            return stat.S_ISREG(status.st_mode) and status.st_mtime < latest

        if not is_older():
            return False
        with self._lock(id) if id is not None else contextlib.nullcontext():
            if not is_older():  # somebody has just used it
                return False
            os.unlink(entry.path)
        return True

    # ---------------------------------------------------------------- files

    def _path(self, id: str) -> str:
        if not ids.is_valid(id):
            raise ValueError("not a session id, so it is not made a path")
        return f"{self._folder}/{id}"

    def _read(self, id: str, most: float = float("inf"), *, even_expired: bool = False) -> tuple[bytes, float]:
        """A record's bytes, none where it has more than `most`, and the time of its last activity.

        Raises:
            FileNotFoundError: There is none, or an expired one unless that is asked for.
        """
        self._check_folder()
        file = os.open(self._path(id), _READ)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if not even_expired and self._has_expired(status):
                raise FileNotFoundError(errno.ENOENT, "it has expired")
            if status.st_size > most:
                return b"", status.st_mtime
            return _read_all(file, status.st_size), status.st_mtime
        finally:
            os.close(file)

    def _has_expired(self, status: os.stat_result) -> bool:
        return bool(self._seconds) and self._clock() - status.st_mtime > self._seconds

    def _current(self, id: str, *, even_expired: bool = False) -> bytes | None:
        """The content of the record that is there now; None if there is none, or an expired one."""
        try:
            return self._read(id, even_expired=even_expired)[0]
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _lock(self, id: str) -> Iterator[None]:
        """Hold the lock that all records of the same shard share, against other threads and processes."""
        path = f"{self._folder}/.lock-{zlib.crc32(id.encode()) & 0xFF:02x}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._flock(file)
            yield
        finally:
            os.close(file)  # gives the lock back, too

    @staticmethod
    def _flock(file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            # Without a lock one of two saves would be lost. fcntl's locks are no way out: they are the process's, and
            # file systems without flock, such as Lustre's and NFS without its lock service, mostly lack them as well.
            if error.errno not in _NO_LOCKS:
                raise
            raise OSError(
                error.errno,
                f"its file system has no flock ({error.strerror}), so concurrent saves could overwrite each other. "
                "Put the option 'files' on a local disk, or mount that file system with flock",
            ) from error

    def _check_folder(self) -> None:
        """Refuse a folder into which others can put sessions; see the module."""
        problem = folder_problem(self._folder, self.any_owner)
        if problem is not None:
            raise PermissionError(errno.EPERM, problem)

    def _make_folder(self) -> None:
        os.makedirs(self._folder, 0o700, exist_ok=True)
        self._check_folder()  # somebody else may have been first
        if self._durable:
            for parent in Path(self._folder).absolute().parents:  # any of them may have been made just now
                with contextlib.suppress(PermissionError):  # not that one, then
                    self._sync(str(parent))

    @staticmethod
    def _sync(folder: str) -> None:
        """Wait until the disk knows which files are in a folder."""
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    async def _in_thread(self, doing: str, id: str, work: Callable[..., T], *args: object) -> T:
        self._path(id)
        try:
            if self._durable:  # each waits for the disk, so they had better do it at the same time
                return await asyncio.to_thread(work, id, *args)
            return await self._batches.run(work, id, *args)
        except OSError as error:
            raise UnavailableError(self._message(doing, id, error)) from error

    def _message(self, doing: str, id: str, error: OSError) -> str:
        # Not str(error): it quotes the path, and with it the id.
        return f"cannot {doing} session {ids.shorten(id)} in {self._folder}: {error.strerror or type(error).__name__}"


def _link(path: str, name: str) -> bool:
    """Give a file another name, if no file has that; False where the file system has no links."""
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


def folder_problem(folder: str, any_owner: bool = False) -> str | None:
    """Why sessions cannot be kept in a folder; None where they can, or it is not there yet."""
    try:
        status = os.stat(folder)
    except OSError:  # whatever else is wrong with it, opening a file in it will tell
        return None
    owner, mode = status.st_uid, status.st_mode
    if owner != 0 and not any_owner and owner != os.geteuid():
        return (
            f"this folder belongs to another user (uid {owner}, this program runs as {os.geteuid()}), who can "
            "give himself any session: choose one that is not there yet, chown it, or run as its owner"
        )
    if mode & _WRITABLE_BY_OTHERS:  # a sticky bit keeps nobody from adding files
        return (
            "others can write into this folder, and so give themselves any session: chmod go-w it, or choose one that "
            "is not there yet, which is made for its owner only"
        )
    return None


def _content(path: str) -> bytes:
    file = os.open(path, _READ)
    try:
        return _read_all(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def _read_all(file: int, size: int) -> bytes:
    content = os.read(file, size + 1)
    if len(content) == size:
        return content
    parts = [content]  # it has grown meanwhile, by the original's writing
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _conflict() -> ConflictError:
    return ConflictError("the record is no longer the one that was read")
