"""The files of an SQLite database, and whether they are still the same.

A program may run for months, and meanwhile somebody deletes its database or moves a backup into its place. SQLite would
go on with the deleted file: each write would be acknowledged, and gone with the process.

Beside the database ``x`` are its log, ``x-wal``, and the index of the log, ``x-shm``. SQLite finds them by name and
cannot see that they belong to another database: it would copy an old log into the backup. So those that are left over
from the database before are removed before the new one is opened, and never those of anybody else. All processes do so
under one lock, on the folder.

Not noticed: a file that is overwritten (``cp``) instead of replaced, since it is still the same file.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

from ..errors import UnavailableError
from . import posix

MEMORY = ":memory:"

# Seconds between two looks by operations that only read: a look takes a fifth of the time that reading a record does.
_SECONDS = 0.01

_Identity = tuple[int, int]


class SqliteFiles:
    """The files of one connection to a database, which may be in memory and have none.

    Args:
        path: Of the database.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = Path(path)  # where links lead to; there SQLite makes the log
        self._opened: dict[str, _Identity] = {}
        self._next_look = 0.0

    def prepare(self) -> None:
        """Make the database's file and folder, unless they are there.

        Call it before SQLite opens the file.

        Raises:
            UnavailableError: Another connection of this process holds this database and a log that was deleted.
                SQLite would use the index of that log for a new one.
        """
        if self.path == MEMORY:
            return
        self._file = Path(self.path).resolve()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            # One that is there is not opened: to close it again would take away the locks that SQLite has on it here.
            with contextlib.suppress(FileExistsError):
                # SQLite's own file would be open to all.
                os.close(os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_RDWR | posix.CLOEXEC, 0o600))
                for path in self._log():
                    Path(path).unlink(missing_ok=True)
            identity = _identify(self.path)
            others = [reference() for reference in _OPEN.valuerefs()]
            if any(each and identity in each._opened.values() and each.have_moved() for each in others):
                raise UnavailableError(
                    f"sqlite at {self.path}: its -wal or -shm was deleted, and another event loop of this process "
                    "still uses it. Restart the program"
                )
            # Now and not when it is open: the next look then notices a file that has taken its place meanwhile.
            self._remember(self.path)

    def opened(self) -> None:
        """Remember the log as well, after SQLite has made it."""
        if self.path != MEMORY:
            for path in self._log():
                self._remember(path)
            _OPEN[id(self)] = self

    def closed(self) -> None:
        """Note that none of the files is open any more."""
        _OPEN.pop(id(self), None)

    def is_replaced(self) -> bool:
        """Whether the database was deleted or replaced."""
        return self._is_another(self.path)

    def have_moved(self) -> bool:
        """Whether any of the files was deleted or replaced."""
        return any(self._is_another(path) for path in self._opened)

    def have_moved_lately(self) -> bool:
        """Ask `have_moved`, unless the last look was a few milliseconds ago."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _SECONDS
        return self.have_moved()

    def remove_log(self) -> None:
        """Remove the log of this database, unless another one is at its path."""
        with self._lock():
            log, index = self._log()
            if _identify(index) not in (None, self._opened.get(index)):  # somebody has opened a new one
                return
            for path in (log, index):
                if _identify(path) == self._opened.get(path):
                    Path(path).unlink(missing_ok=True)

    def _log(self) -> tuple[str, str]:
        return f"{self._file}-wal", f"{self._file}-shm"

    def _remember(self, path: str) -> None:
        identity = _identify(path)
        if identity is not None:  # there is no log if the file system cannot have one
            self._opened[path] = identity

    def _is_another(self, path: str) -> bool:
        try:
            return path in self._opened and _identify(path) != self._opened[path]
        except OSError:  # it cannot be told
            return False

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep out other processes that are about to make or remove these files."""
        folder = None
        with contextlib.suppress(OSError):  # one that may not be read, or without flock: SQLite has locks of its own
            folder = os.open(self._file.parent, os.O_RDONLY | posix.DIRECTORY | posix.CLOEXEC)
            posix.lock(folder)
        try:
            yield
        finally:
            if folder is not None:
                os.close(folder)


# The files that any loop of this process has open.
_OPEN: WeakValueDictionary[int, SqliteFiles] = WeakValueDictionary()


def _identify(path: str) -> _Identity | None:
    """Identify the file of this name; None for none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs as much as the look
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino
