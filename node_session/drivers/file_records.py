"""The records of the file driver: read, compare and replace files. It blocks.

- *Reading* takes no lock: a record is only ever replaced as a whole.
- *Writing* puts a temporary file beside the record. Then, under a lock, it compares the record with the one that was
  read, and replaces it. The lock is held for some microseconds; it is `flock`, which the system takes away from a
  process that is killed.
- *The original* knows no lock, and writes into the file itself. So the two files are exchanged instead of one renamed
  over the other, and the file that comes back is compared: if the original wrote in the moment since the comparison,
  the files are exchanged back, and its text is merged like anybody's.
- The original's gc removes, by access time, every file whose name has no leading dot. So temporary files and locks
  begin with a dot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Sequence
from secrets import token_hex

from ..errors import ConflictError
from . import posix
from .file_folder import Folder
from .rename import exchange, link_if_free, rename_if_free

_READ = os.O_RDONLY | posix.NOFOLLOW | posix.CLOEXEC | posix.NONBLOCK

_LATER = 1  # seconds; some file systems keep no parts of one


class FileRecords:
    """Records as files of a folder. Versions are the bytes of a file.

    Args:
        folder: Where they are.
        seconds: How long a record may be idle; 0: for ever.
        clock: Gives seconds since 1970.
    """

    def __init__(self, folder: Folder, seconds: float, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._layout = folder.layout
        self._is_stamped = folder.layout.keeps_time_inside
        self._is_same = folder.layout.is_same
        self._seconds = seconds
        self._clock = clock

    def read(self, id: str, most: float = float("inf"), *, even_expired: bool = False) -> tuple[bytes, float]:
        """Read a record.

        Returns:
            Its bytes, none if it has more than `most`, and the time of its last activity.

        Raises:
            FileNotFoundError: There is none, or an expired one that was not asked for.
        """
        self._folder.check()
        file = os.open(self._folder.record(id), _READ)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if not even_expired and not self._is_stamped and self.has_expired(status.st_mtime):
                raise FileNotFoundError(errno.ENOENT, "it has expired")
            if status.st_size > most:
                return b"", status.st_mtime
            content, active = _read_all(file, status.st_size), status.st_mtime
        finally:
            os.close(file)
        if self._is_stamped:
            active = self._layout.active(content, active)
            if not even_expired and self.has_expired(active):
                raise FileNotFoundError(errno.ENOENT, "it has expired")
        return content, active

    def active(self, path: str, status: os.stat_result) -> float:
        """The time of last activity of the record in a file of this status."""
        return self._layout.active(_content(path), status.st_mtime) if self._is_stamped else status.st_mtime

    def confirm(self, id: str, expected: bytes, idle: float) -> bool:
        """Renew a record if it is the expected version; return whether it is. `idle` in seconds.

        The times are set on the file that was read: another one, which a write puts in its place meanwhile, may be of a
        session with another lifetime.

        Raises:
            FileNotFoundError: There is none, or an expired one.
        """
        self._folder.check()
        file = os.open(self._folder.record(id), _READ)
        try:
            status = os.fstat(file)
            if self.has_expired(status.st_mtime):
                raise FileNotFoundError(errno.ENOENT, "it has expired")
            if status.st_size != len(expected) or _read_all(file, status.st_size) != expected:
                return False
            os.utime(file, self.times(idle))
            return True
        finally:
            os.close(file)

    def renew_stamped(self, id: str, expected: bytes | None, idle: float) -> bool:
        """Do the same for a record whose time is inside it; without `expected` whatever its version is."""
        with contextlib.suppress(FileNotFoundError, ConflictError):  # who replaces it in this moment renews it
            current, _ = self.read(id)
            if expected is None or self._is_same(current, expected):
                self.write(id, self._layout.unstamp(current), current, idle)
                return True
        return False

    def has_expired(self, active: float) -> bool:
        """Whether a record that was last active then has expired."""
        return bool(self._seconds) and self._clock() - active > self._seconds

    def times(self, idle: float) -> tuple[float, float]:
        """Make the times of access and modification of a record that has been idle for so many seconds.

        A system with the mount option relatime sets an access time that is not later than the other one whenever
        somebody reads. It would take a time in the future away, and the original's gc would remove the record.
        """
        active = self._clock() - idle
        return active + (_LATER if idle < 0 else 0), active

    def alive(self, ids: Sequence[str]) -> set[str]:
        """Find out which of some ids have a file that has not expired."""
        self._folder.check()
        found = set()
        for id in ids:
            with contextlib.suppress(FileNotFoundError):
                path = self._folder.record(id)
                if not self.has_expired(self.active(path, os.lstat(path))):
                    found.add(id)
        return found

    def write(self, id: str, content: bytes, expected: bytes | None, idle: float = 0) -> None:
        """Write a record, if the expected version is there; see `Driver.write`. `idle` in seconds."""
        path = self._folder.record(id)
        self._folder.check()
        if self._is_stamped:
            content = self._layout.stamp(content, self._clock() - idle)
        temporary = self._folder.write_temporary(content, self.times(idle) if idle else None)
        try:
            with self._folder.lock(id):
                current = self._current(id, even_expired=expected is not None)
                if current is None or expected is None:
                    if current is not expected:
                        raise _conflict()
                    self._create(temporary, path, id)
                elif self._is_same(current, expected):
                    _replace(temporary, path, current, content)
                else:
                    raise _conflict()
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        self._folder.sync()

    def destroy(self, id: str, expected: bytes | None) -> None:
        """Remove a record, if it is the expected version; see `Driver.destroy`."""
        self._folder.check()
        with contextlib.suppress(FileNotFoundError), self._folder.lock(id):
            current = None if expected is None else self._current(id, even_expired=True)
            if current is not None and not self._is_same(current, expected):
                raise _conflict()
            os.unlink(self._folder.record(id))
            self._folder.sync()  # or a power cut would bring the session back

    def set_aside(self, id: str, expected: bytes | None) -> None:
        """Rename a damaged record: the expected version, or one that is not text."""
        self._folder.check()
        with contextlib.suppress(FileNotFoundError), self._folder.lock(id):
            content = _content(self._folder.record(id))
            if self._is_same(content, expected) or (expected is None and not is_text(content)):
                start = re.sub("[^A-Za-z0-9_-]", "_", id[:6].ljust(6, "_"))
                os.rename(self._folder.record(id), f"{self._folder.path}/.damaged-{start}-{token_hex(12)}")

    def _create(self, temporary: str, path: str, id: str) -> None:
        try:
            if not link_if_free(temporary, path) and not rename_if_free(temporary, path):
                # Nothing here makes a file only if there is none. The look under the lock is enough for all but the
                # original, and that one makes no record of this id in just this moment.
                os.replace(temporary, path)
        except FileExistsError:
            # An expired record; or the original has made one in this moment, which then counts.
            if self._current(id) is not None:
                raise _conflict() from None
            os.replace(temporary, path)

    def _current(self, id: str, *, even_expired: bool = False) -> bytes | None:
        """Read the record that is there now; None if there is none, or an expired one."""
        try:
            return self.read(id, even_expired=even_expired)[0]
        except FileNotFoundError:
            return None


def is_text(content: bytes) -> bool:
    """Whether a record is text, as all are that are not damaged."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _replace(temporary: str, path: str, expected: bytes, content: bytes) -> None:
    there, back = content, expected  # what must be in the record's place, and in the file that comes back
    try:
        if not exchange(temporary, path):
            os.replace(temporary, path)
            return
        while (found := _content(temporary)) != back:  # the original wrote into it: its text goes back
            exchange(temporary, path)
            there, back = found, there
    except FileNotFoundError:  # the original has destroyed it in this moment
        raise _conflict() from None
    if there is not content:
        raise _conflict()


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
    parts = [content]  # it has grown meanwhile, since the original was writing
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _conflict() -> ConflictError:
    return ConflictError("the record is no longer the one that was read")
