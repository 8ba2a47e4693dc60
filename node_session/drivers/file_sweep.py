"""The file driver's sweep beside requests: in steps, by one process at a time.

It works in a thread, since a disk may be slow. Each of the seven system calls that remove a file lets go of the GIL,
and the thread and the event loop then wait for each other; so requests have the time between two steps to themselves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TypeVar

from .file_folder import Folder
from .file_walk import FileWalk

T = TypeVar("T")

STEP = 1000
"""How much work a step is (see `FileWalk.remove_some`): to look at 1,000 files, or to remove 100."""

LONGEST_REST = 0.02
"""Seconds to rest after a step at most. If requests keep the process busy, a step takes ten times as long; with this
limit, a sweep still removes more files than the process makes new ones."""


async def sweep(folder: Folder, walk: FileWalk, seconds: float) -> AsyncGenerator[int, None]:
    """Remove the records that are idle for too long; yield the number of each step.

    If another process is sweeping the folder, there is no step.
    """
    folder.check()
    with suppress(FileNotFoundError), folder.lock_for_sweep() as is_ours:
        if not is_ours:
            return
        with os.scandir(folder.path) as files:
            while (removed := await _in_thread(lambda: walk.remove_some(files, seconds, STEP))) is not None:
                yield removed


async def _in_thread(work: Callable[[], T]) -> T:
    """Run in a thread, until its end even if cancelled: the thread uses the files."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    finally:
        if not working.done():
            await asyncio.wait([working])
