"""The file driver: a file for each session, in one folder.

The name of a file is the id, its content the stored text. Any number of processes share the folder, the npm original
among them. `file_folder` says who may use a folder, `file_records` how a record is replaced, `file_walk` goes through
all of them, and `file_sweep` does so beside requests.

- *Reading* happens in the event loop; a small file takes a few microseconds there, and ten times that in a thread.
- *Writing* happens in a thread, together for all requests that wait for it.
- The original's gc looks at access times. So a touch sets both times of a file (see `FileRecords.times`).

Rejected: modification times as versions (they tick in steps of 4 ms on ext4, and a touch changes them); renaming over
the old file, for another reason than the original's writes as well: ext4 then waits for the disk, which takes more
than twice as long. The price is paid only in a power cut, which may leave the records of the last seconds empty, as
with the original. `durable` waits for the disk, for those who want to pay.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import NotTextError, UnavailableError, UnreadableError
from .base import Driver, Entry, Record
from .file_folder import Folder
from .file_layout import FileLayout
from .file_records import FileRecords
from .file_sweep import LONGEST_REST, sweep
from .file_turns import FileTurns
from .file_walk import FileWalk

T = TypeVar("T")

# A record of more bytes than this is read in a thread.
_LARGE = 128 * 1024


class FileDriver(Driver):
    """A driver that keeps records as files.

    Args:
        folder: Made, with its parents, when the first record is written; for its owner only.
        lifetime: Milliseconds a record may be idle; 0: for ever. The time of last activity is the file's mtime.
        durable: Let a write wait until the disk has it, so that it survives a power cut.
        clock: Gives seconds since 1970. Of a record that is written, the file system itself tells the time.
        layout: The kind of the folder's layout; see `file_layout`.
    """

    longest_rest = LONGEST_REST

    def __init__(
        self,
        folder: Path,
        lifetime: float,
        *,
        durable: bool = False,
        clock: Callable[[], float] = time.time,
        layout: type[FileLayout] = FileLayout,
    ) -> None:
        self._clock = clock
        self._layout = layout(lifetime / 1000)
        self.half_written_for = layout.half_written_for
        self._folder = Folder(str(folder), durable=durable, layout=self._layout)
        self._is_stamped = layout.keeps_time_inside
        self._records = FileRecords(self._folder, lifetime / 1000, clock)
        self._walk = FileWalk(self._folder, self._records, clock)
        self._turns = FileTurns()

    @property
    def any_owner(self) -> bool:
        """Whether the folder may be another user's.

        For root at the command line, who looks after the sessions of a program that runs as somebody else. A program
        itself never has a reason to set it.
        """
        return self._folder.any_owner

    @any_owner.setter
    def any_owner(self, allowed: bool) -> None:
        self._folder.any_owner = allowed

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        try:
            content, active = self._records.read(id, _LARGE)
            if not content:
                content, active = await asyncio.to_thread(self._records.read, id)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableError(self._folder.message("read", id, error)) from error
        try:
            payload = (self._layout.unstamp(content) if self._is_stamped else content).decode()
        except UnicodeDecodeError as error:
            raise NotTextError("it is not UTF-8 text", (self._clock() - active) * 1000) from error
        return Record(payload, payload, (self._clock() - active) * 1000)

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        await self._in_thread("write", id, self._records.write, payload.encode(), _bytes(version), idle / 1000)
        return payload

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        if self._is_stamped:
            await self._in_thread("renew", id, self._records.renew_stamped, None, idle / 1000)
            return
        path, times = self._folder.record(id), self._records.times(idle / 1000)
        try:
            self._folder.check()
            if not self._records.has_expired(os.lstat(path).st_mtime):
                os.utime(path, times, follow_symlinks=False)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UnavailableError(self._folder.message("renew", id, error)) from error

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        if self._is_stamped:
            return await self._in_thread("renew", id, self._records.renew_stamped, _bytes(version), idle / 1000)
        content, confirm = str(version).encode(), self._records.confirm
        try:
            if len(content) > _LARGE:
                return await asyncio.to_thread(confirm, id, content, idle / 1000)
            return confirm(id, content, idle / 1000)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UnavailableError(self._folder.message("renew", id, error)) from error

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        await self._in_thread("destroy", id, self._records.destroy, _bytes(version))

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """See `Driver.alive`."""
        try:
            return await asyncio.to_thread(self._records.alive, ids)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise UnreadableError(f"cannot look for sessions in {self._folder.path}: {why}") from error

    async def gc(self, lifetime: float) -> int:
        """See `Driver.gc`.

        Only files whose name is an id are records. It leaves others alone, except our own orphans.
        """
        try:
            return await asyncio.to_thread(self._walk.gc, lifetime / 1000)
        except OSError as error:
            raise UnavailableError(self._cannot_remove(error)) from error

    async def gc_in_steps(self, lifetime: float) -> AsyncGenerator[int, None]:
        """See `Driver.gc_in_steps`. One process does it for all; in the others, there is no step."""
        try:
            async with contextlib.aclosing(sweep(self._folder, self._walk, lifetime / 1000)) as steps:
                async for removed in steps:
                    yield removed
        except OSError as error:
            raise UnavailableError(self._cannot_remove(error)) from error

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        try:
            self._folder.check()
            files = await asyncio.to_thread(os.scandir, self._folder.path)
        except FileNotFoundError:  # no session was saved yet
            return
        except OSError as error:
            raise UnavailableError(f"cannot list the sessions in {self._folder.path}: {error.strerror}") from error
        with files:
            while (batch := await asyncio.to_thread(self._walk.next_entries, files)) is not None:
                for entry in batch:
                    yield entry

    async def set_aside(self, id: str, version: object) -> None:
        """See `Driver.set_aside`: the file becomes ``.damaged-…``, for a week."""
        await self._in_thread("set aside", id, self._records.set_aside, _bytes(version))

    def _cannot_remove(self, error: OSError) -> str:
        return f"cannot remove sessions from {self._folder.path}: {error.strerror}"

    async def _in_thread(self, doing: str, id: str, work: Callable[..., T], *args: object) -> T:
        self._folder.record(id)  # refuses an id that is none
        try:
            if self._folder.durable:  # each waits for the disk, and they had better do it concurrently
                return await asyncio.to_thread(work, id, *args)
            return await self._turns.run(work, id, *args)
        except OSError as error:
            raise UnavailableError(self._folder.message(doing, id, error)) from error


def _bytes(version: object) -> bytes | None:
    return None if version is None else str(version).encode()
