"""The memory and the open files of this process.

The environment `MALLOC` makes malloc know of all of Python's memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
from pathlib import Path

MALLOC = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}


def open_files() -> list[str]:
    """The open file descriptors, each as its number and what it is."""
    found = []
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.append(f"{file.name}: {file.readlink()}")
    return found


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def empty_caches() -> None:
    """Empty the caches that have a bound: they would take longer than the warm-up to reach it."""
    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper) and each.cache_parameters()["maxsize"] is not None:
            each.cache_clear()


class _Malloc(ctypes.Structure):
    _fields_ = [(f"_{each}", ctypes.c_size_t) for each in range(10)]  # struct mallinfo2 of glibc


def bytes_in_use() -> int:
    """The bytes that malloc has given away: where `MALLOC` is set, all of Python's; without glibc, the resident ones.

    The resident memory is a few percent more or less by chance, since what is free between things in use stays.
    """
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return resident_bytes()
    ask.restype = _Malloc
    told = ask()
    return told._4 + told._7  # hblkhd, in pieces of their own, and uordblks, of the heap


def give_memory_back() -> None:
    """Let malloc return what is free."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
