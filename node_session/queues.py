"""The queue of a session's writes, and what the latest of them has stored.

    queue = queue_of(driver, id)        # keep it as long as the write is under way

After a conflict, each write waits for its turn, and so do later ones: otherwise newcomers would starve a request that
has to read and merge again. No request holds a place while its handler works. The next in the queue merges with what
the one before it has stored, without reading it; if another process was first, that is a conflict, and it reads.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, NamedTuple

from .drivers.base import Driver


class Stored(NamedTuple):
    """A record that this process has written."""

    text: str
    version: object
    envelope: Any = None


class Queue:
    """The writes of one session that are under way in one event loop.

    Attributes:
        turn: Lock for one write at a time; None as long as none has conflicted.
        last: What the latest of these writes has stored; None if it must be read.
    """

    __slots__ = ("__weakref__", "last", "turn")

    def __init__(self) -> None:
        self.turn: asyncio.Lock | None = None
        self.last: Stored | None = None


# Per driver, loop and id. A queue that no write holds any more is forgotten, and its text with it.
_queues: weakref.WeakValueDictionary[tuple[int, int, str], Queue] = weakref.WeakValueDictionary()


def queue_of(driver: Driver, session_id: str) -> Queue:
    """Return the queue of a session in the running loop."""
    place = (id(driver), id(asyncio.get_running_loop()), session_id)
    queue = _queues.get(place)
    if queue is None:
        queue = _queues[place] = Queue()
    return queue
