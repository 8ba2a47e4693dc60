"""The folder of the file driver: its owner, its locks and its temporary files.

The folder is ours or root's, and nobody else can write into it, or it is not used at all: a user who can put a file
into it can give himself any session, and in the common temporary folder anybody may have made it before us. Each
operation checks, since another program may remove the folder and make it again. Nobody checks the folders above it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from .. import ids
from . import posix
from .file_layout import PLAIN, FileLayout

# The errors of flock on a file system without locks.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | posix.NOFOLLOW | posix.CLOEXEC


class Folder:
    """A folder of records.

    Args:
        path: Where it is. It need not be there yet.
        durable: Wait until the disk has each write.
        layout: Of its files.

    Attributes:
        path: As given.
        layout: As given.
        any_owner: Whether it may belong to another user.
        durable: As given.
    """

    def __init__(self, path: str, *, durable: bool = False, layout: FileLayout = PLAIN) -> None:
        self.path = path
        self.layout = layout
        self._is_id, self._suffix = layout.is_id, layout.suffix
        self.durable = durable
        self.any_owner = False

    def check(self) -> None:
        """Refuse a folder into which others can put sessions.

        Raises:
            PermissionError: It is one.
        """
        problem = folder_problem(self.path, self.any_owner)
        if problem is not None:
            raise PermissionError(errno.EPERM, problem)

    def record(self, id: str) -> str:
        """Make the path of a record."""
        if not self._is_id(id):
            raise self.layout.refusal(id)
        return f"{self.path}/{id}{self._suffix}"

    @contextlib.contextmanager
    def lock(self, id: str) -> Iterator[None]:
        """Hold the lock of a record against other threads and processes.

        All records of the same shard share it.
        """
        file = self._open_lock(f"{zlib.crc32(id.encode()) & 0xFF:02x}")
        try:
            _flock(file)
            yield
        finally:
            os.close(file)  # releases the lock as well

    @contextlib.contextmanager
    def lock_for_sweep(self) -> Iterator[bool]:
        """Hold the lock of the process that sweeps this folder; give False if another process holds it."""
        file = self._open_lock("sweep")
        try:
            try:
                _flock(file, wait=False)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                # A child that was forked meanwhile has this file as well: closing it here would leave it locked.
                posix.unlock(file)
        finally:
            os.close(file)

    def write_temporary(self, content: bytes, times: tuple[float, float] | None = None) -> str:
        """Write a new file, and make the folder if need be; gives the path of the file.

        Args:
            content: Of the file.
            times: Its access and modification times; None: now.
        """
        path = f"{self.path}/.tmp-{token_hex(12)}"
        try:
            file = os.open(path, _CREATE, 0o600)
        except FileNotFoundError:
            self._make()
            file = os.open(path, _CREATE, 0o600)
        try:
            self._give_to_owner(file)
            _write_all(file, content)
            if times is not None:
                os.utime(file, times)
            if self.durable:
                os.fsync(file)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(file)
        return path

    def sync(self) -> None:
        """Wait until the disk knows the files of the folder, if writes are durable."""
        if self.durable:
            _sync(self.path)

    def message(self, doing: str, id: str, error: OSError) -> str:
        """Describe a failure, without ``str(error)``, which quotes the path and so the id."""
        return f"cannot {doing} session {ids.shorten(id)} in {self.path}: {error.strerror or type(error).__name__}"

    def _open_lock(self, name: str) -> int:
        path, flags = f"{self.path}/.lock-{name}", os.O_RDWR | posix.NOFOLLOW | posix.CLOEXEC
        while True:
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, flags)
            with contextlib.suppress(FileExistsError):  # somebody else has just made it
                file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                self._give_to_owner(file)
                return file

    def _give_to_owner(self, file: int) -> None:
        """Let the program of the folder's owner use a file that root has made in it."""
        if self.any_owner:
            owner = os.stat(self.path)
            with contextlib.suppress(PermissionError):  # root of a container may lack the right
                os.fchown(file, owner.st_uid, owner.st_gid)

    def _make(self) -> None:
        os.makedirs(self.path, 0o700, exist_ok=True)
        self.check()  # somebody else may have been first
        if self.durable:
            for parent in Path(self.path).absolute().parents:  # any of them may be new
                with contextlib.suppress(PermissionError):  # then that one is not ours, and not new
                    _sync(str(parent))


def folder_problem(folder: str, any_owner: bool = False) -> str | None:
    """Say why a folder cannot keep sessions; None if it can or is not there yet."""
    try:
        status = os.stat(folder)
    except OSError:  # opening a file in it will tell what else is wrong
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


def _flock(file: int, *, wait: bool = True) -> None:
    try:
        posix.lock(file, wait=wait)
    except OSError as error:
        # Without a lock one of two saves would be lost. fcntl's locks are no way out: they belong to the process, and
        # file systems without flock, such as Lustre's and NFS without its lock service, mostly lack them as well.
        if error.errno not in _NO_LOCKS:
            raise
        raise OSError(
            error.errno,
            f"its file system has no flock ({error.strerror}), so concurrent saves could overwrite each other. "
            "Put the option 'files' on a local disk, or mount that file system with flock",
        ) from error


def _sync(folder: str) -> None:
    file = os.open(folder, os.O_RDONLY | posix.DIRECTORY | posix.CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
