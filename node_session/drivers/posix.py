"""What only POSIX systems have: a lock on a file, and flags of `os.open`.

On Windows this module and its users can be imported all the same. `missing` refuses the file driver there: without a
lock one of two saves would be lost. SQLite brings its own.
"""

from __future__ import annotations

import errno
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Flags that the system does not have change nothing.
NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


def missing() -> str | None:
    """Why the file driver cannot work on this system, and the cure; None if it can."""
    if fcntl is not None:
        return None
    return (
        "keeps sessions in files, and needs locks on them, which this system does not have (Python's module fcntl); "
        "use SQLite, which brings its own: driver: 'database', with connection: {'adapter': 'sqlite'}"
    )


def lock(file: int, *, wait: bool = True) -> None:
    """Take the lock of an open file or folder.

    Closing it, or the end of the process, releases the lock.

    Raises:
        BlockingIOError: Another process has it, and we do not wait.
        OSError: The system or the file system has no such locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock(file: int) -> None:
    """Release the lock of an open file, also for processes forked meanwhile."""
    fcntl.flock(file, fcntl.LOCK_UN)
