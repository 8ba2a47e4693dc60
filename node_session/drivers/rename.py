"""Renaming in one step: links, and renameat2, which Python's `os` does not offer."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2

# Answers of kernels and file systems that have no links, or no renameat2: FAT says EPERM, FUSE ENOSYS, a network file
# system EOPNOTSUPP, Android EACCES, and one where a file has but one name EMLINK.
_UNSUPPORTED = frozenset(
    {
        errno.ENOSYS,
        errno.EINVAL,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EACCES,
        errno.EMLINK,
        errno.EXDEV,
    }
)


def _find() -> Callable[..., int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system than Linux, or an old C library
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function


_renameat2 = _find()


def exchange(one: str, other: str) -> bool:
    """Give each of two files the other one's name.

    Returns:
        False if this system cannot do it; then nothing has changed.

    Raises:
        OSError: It failed; one of them is not there, for example.
    """
    return _rename(one, other, _RENAME_EXCHANGE)


def rename_if_free(one: str, other: str) -> bool:
    """Rename a file, if no file has the new name.

    Returns:
        False if this system cannot do it; then nothing has changed.

    Raises:
        FileExistsError: A file has the new name.
    """
    return _rename(one, other, _RENAME_NOREPLACE)


def link_if_free(path: str, name: str) -> bool:
    """Give a file another name as well, if no file has that name.

    Returns:
        False if this file system has no links; then nothing has changed.

    Raises:
        FileExistsError: A file has that name.
    """
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def _rename(one: str, other: str, flags: int) -> bool:
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number))
