"""A blocking walk through all files of the file driver's folder: gc and listings."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from itertools import islice

from .base import Entry
from .file_folder import Folder
from .file_records import FileRecords, is_text

logger = logging.getLogger("node_session")

# Seconds until gc takes a temporary file for an orphan, whose process was killed, and until it removes a damaged record
# that was set aside.
_ORPHANED = 60 * 60
_FORGOTTEN = 7 * 24 * 60 * 60

REMOVAL = 9
"""How many times as long it takes to remove a file as to look at it."""

# How many files a listing reads in one go.
_BATCH = 200

# Our own files that are no records, by their whole names: a shared folder may have others that begin so.
_is_temporary = re.compile(r"\.tmp-[0-9a-f]{24}").fullmatch
_is_damaged = re.compile(r"\.damaged-[A-Za-z0-9_-]{6}-[0-9a-f]{24}").fullmatch


class FileWalk:
    """Iterator over the files of a folder.

    Args:
        folder: Which one.
        records: The records in it.
        clock: Gives seconds since 1970.
    """

    def __init__(self, folder: Folder, records: FileRecords, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._id_of = folder.layout.id_of
        self._records = records
        self._clock = clock

    def gc(self, seconds: float) -> int:
        """Remove the records that have been idle for so long, and our own orphans.

        If another process sweeps the folder, this one does so as well: somebody has asked for it.

        Returns:
            The number of records.
        """
        self._folder.check()
        with (
            contextlib.suppress(FileNotFoundError),
            self._folder.lock_for_sweep(),
            os.scandir(self._folder.path) as files,
        ):
            return self.remove_some(files, seconds) or 0
        return 0

    def remove_some(self, files: Iterator[os.DirEntry[str]], seconds: float, work: float = math.inf) -> int | None:
        """Remove more records that have been idle for so long, and our own orphans.

        Args:
            files: The files that are left to look at.
            seconds: How long a record has been idle.
            work: After how much work to stop. To look at a file counts 1, to remove it `REMOVAL` more.

        Returns:
            The number of records; None after the last file.
        """
        removed = None
        for file in files:
            removed = removed or 0
            work -= 1
            with contextlib.suppress(OSError):  # gone already, or not ours: that is no reason to stop
                id = self._id_of(file.name)
                if id is not None:
                    if self._remove_if_older(file, seconds, id):
                        removed += 1
                        work -= REMOVAL
                elif _is_temporary(file.name):
                    self._remove_if_older(file, _ORPHANED, None)
                elif _is_damaged(file.name):
                    self._remove_if_older(file, _FORGOTTEN, None)
            if work <= 0:
                break
        return removed

    def next_entries(self, files: Iterator[os.DirEntry[str]]) -> list[Entry] | None:
        """Read some more records; None after the last file."""
        batch = list(islice(files, _BATCH))
        entries = (self._entry(each, id) for each in batch if (id := self._id_of(each.name)) is not None)
        return [each for each in entries if each is not None] if batch else None

    def _entry(self, file: os.DirEntry[str], id: str) -> Entry | None:
        content = b""
        try:
            status = os.lstat(file.path)
            if not stat.S_ISREG(status.st_mode):
                return None
            active = status.st_mtime
            content, active = self._records.read(id)
        except FileNotFoundError:  # destroyed meanwhile, or expired
            return None
        except OSError as error:
            logger.warning("%s", self._folder.message("read", id, error))
        content = self._folder.layout.unstamp(content)
        return Entry(id, content.decode() if is_text(content) else "", active * 1000)

    def _remove_if_older(self, file: os.DirEntry[str], seconds: float, id: str | None) -> bool:
        latest = self._clock() - seconds

        def is_older() -> bool:
            status = os.lstat(file.path)
            is_old = stat.S_ISREG(status.st_mode) and status.st_mtime < latest
            return is_old and (id is None or self._records.active(file.path, status) < latest)

        if not is_older():
            return False
        with self._folder.lock(id) if id is not None else contextlib.nullcontext():
            if not is_older():  # somebody has just used it
                return False
            os.unlink(file.path)
        return True
