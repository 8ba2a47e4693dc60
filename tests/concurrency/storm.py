"""Writers are killed at random moments, many times; after each kill every record is looked at.

What must hold, whatever the driver:

- A record is the one that was acknowledged last, or the one that was being written: whole, never half, never older.
- A session that was moved to a new id is there under the old id or the new one. Once the move was acknowledged, it is
  no longer there under the old one.
- Acknowledged pushes of several processes onto one session are there, each once and in order, even if a process was
  killed meanwhile; and no process has to wait for a dead one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from world import start_session_of

from node_session import NodeSession

from .writer import filler

# Seconds that a writer may be silent before it counts as hanging.
PATIENCE = 60

# A writer is killed after it has said so many things at most, and then after so many seconds at most.
MOST_WORDS = 50
LONGEST_DELAY = 0.005

# So many kills share one session, or its list would become long and the storm slow.
KILLS_A_SHARED_SESSION = 20


@dataclass
class Tally:
    """The results of a storm; as text, a line for the log."""

    kills: int = 0
    changes: int = 0
    old: int = 0
    new: int = 0
    pushes: int = 0

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: {self.changes} changes and {self.pushes} pushes that were acknowledged all there; of "
            f"what was being written {self.old} times the old record, {self.new} times the new one, whole"
        )


@dataclass
class Slot:
    """A session of one writer: what was acknowledged last, and what was being written when it was killed."""

    id: str | None = None
    n: int = 0
    tried: tuple[str, int] | None = None
    left: list[str] = field(default_factory=list)  # ids it had, acknowledged to be gone

    def hear(self, what: str, id: str, n: int) -> None:
        if what == "try":
            self.tried = (id, n)
            return
        if self.id not in (None, id):
            self.left.append(self.id)
        self.id, self.n, self.tried = id, n, None


@dataclass
class Shared:
    """A session onto which many writers push: what was tried, and what was acknowledged."""

    id: str
    tried: set[tuple[int, ...]] = field(default_factory=set)
    done: set[tuple[int, ...]] = field(default_factory=set)
    kills: int = 0
    users: int = 0

    def hear(self, what: str, tag: tuple[int, ...]) -> None:
        (self.tried if what == "try" else self.done).add(tag)


async def storm(config: Mapping[str, Any], kills: int, *, berths: int = 2, slots: int = 3, rest: float = 0) -> Tally:
    """Kill writers, and check after each kill.

    Args:
        config: For `NodeSession`; must be JSON. The store must be empty, and must not forget within the storm.
        kills: How many.
        berths: Writers at a time; while one is killed and looked at, the others go on.
        slots: Sessions of each writer, besides the shared one.
        rest: Seconds between a kill and the look at what is stored, for a server that still has in hand what the dead
            have sent; none for files.

    Raises:
        AssertionError: Something is lost, torn, old or back again.
    """
    # Without grace an old record is gone immediately, so that anything found there has come back.
    config = {"secret": "a-secret-for-the-storm-0123456789abcdefgh", "strict": True, "regenerateGrace": 0, **config}
    it = _Storm(config, kills, slots, rest)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(it.sessions.close)
        nurseries = [await stack.enter_async_context(_nursery()) for _ in range(berths)]
        tasks = [asyncio.ensure_future(it.berth(nursery)) for nursery in nurseries]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for shared in it.shared_ones:
            await it.look_at_shared(shared)
    return it.tally


class _Storm:
    def __init__(self, config: dict[str, Any], kills: int, slots: int, rest: float) -> None:
        self.config = config
        self.sessions = NodeSession(config)
        self.tally = Tally()
        self.left = kills
        self.slots = slots
        self.rest = rest
        self.jobs = 0
        self.shared_ones: list[Shared] = []

    async def berth(self, nursery: asyncio.subprocess.Process) -> None:
        """One writer after the other, each going on with the sessions of the one before."""
        slots = [Slot() for _ in range(self.slots)]
        while self.left > 0:
            self.left -= 1
            shared = await self.shared()
            shared.users += 1
            await self.kill_one(nursery, slots, shared)
            shared.kills += 1
            self.tally.kills += 1
            await asyncio.sleep(self.rest)
            for slot in slots:
                await self.look_at(slot)
            await self.look_at_shared(shared)
            shared.users -= 1

    async def kill_one(self, nursery: asyncio.subprocess.Process, slots: list[Slot], shared: Shared) -> None:
        """Have a writer work, listen to it, and kill it at some moment."""
        self.jobs += 1
        job = {
            "job": self.jobs,
            "config": self.config,
            "slots": [{"id": slot.id, "n": slot.n} for slot in slots],
            "shared": shared.id,
        }
        nursery.stdin.write(json.dumps(job).encode() + b"\n")
        pid, last_word = 0, random.randint(0, MOST_WORDS)
        for word in itertools.count():
            heard = json.loads(await asyncio.wait_for(nursery.stdout.readline(), PATIENCE))
            pid = heard.get("pid", pid)
            if word == last_word:
                delay = random.uniform(0, LONGEST_DELAY)
                asyncio.get_running_loop().call_later(delay, os.kill, pid, signal.SIGKILL)
            if heard["what"] == "ended":
                assert heard["status"] == signal.SIGKILL, "a writer has failed; what it says about it is above"
                return
            self.hear(heard, slots, shared)

    def hear(self, heard: dict[str, Any], slots: list[Slot], shared: Shared) -> None:
        """Note what a writer is about to do, or has done."""
        if "tag" in heard:
            shared.hear(heard["what"], tuple(heard["tag"]))
            self.tally.pushes += heard["what"] == "done"
        elif "slot" in heard:
            slots[heard["slot"]].hear(heard["what"], heard["id"], heard["n"])
            self.tally.changes += heard["what"] == "done"

    async def look_at(self, slot: Slot) -> None:
        """Is a dead writer's session the old or the new one, whole?"""
        was = None if slot.id is None else await self.whole(slot.id)
        if slot.tried is None:
            assert was == (None if slot.id is None else slot.n), f"{slot} was acknowledged, and {was} is there"
        else:
            id, n = slot.tried
            now = was if id == slot.id else await self.whole(id)
            if id == slot.id:
                assert now in (slot.n, n), f"{slot}, but {now} is there"
            else:
                assert now in (None, n), f"{slot}, but {now} is there"
                assert slot.id is None or was == slot.n or (was is None and now == n), f"{slot}: {was}, {now}"
            if now == n:
                self.tally.new += 1
                if slot.id not in (None, id):
                    await (await self.sessions.driver()).destroy(slot.id)  # it was to go next
                    slot.left.append(slot.id)
                slot.id, slot.n = id, n
            else:
                self.tally.old += 1
            slot.tried = None
        for id in slot.left[-5:]:
            assert await self.whole(id) is None, f"{slot}: it had left the id {id}, which is back"
        del slot.left[:-5]

    async def whole(self, id: str) -> int | None:
        """The number in a record, if that is whole; None if there is no record."""
        session = await start_session_of(self.sessions, id)
        if session.get_id() != id:
            return None
        n = session.get("n")
        assert session.get("filler") == filler(n), f"the record {n} of {id} is torn"
        return n

    async def shared(self) -> Shared:
        """The session that all push onto now."""
        if not self.shared_ones or self.shared_ones[-1].kills >= KILLS_A_SHARED_SESSION:
            driver = await self.sessions.driver()
            unused = [each for each in self.shared_ones if not each.users]
            self.shared_ones = [each for each in self.shared_ones if each.users]
            for old in unused:
                await self.look_at_shared(old)
                await driver.destroy(old.id)
            session = await start_session_of(self.sessions, None)
            await session.save()
            self.shared_ones.append(Shared(session.get_id()))
        return self.shared_ones[-1]

    async def look_at_shared(self, shared: Shared) -> None:
        """Is everything there that was acknowledged before this look, once and in order, and nothing untold?"""
        done = set(shared.done)
        session = await start_session_of(self.sessions, shared.id)
        assert session.get_id() == shared.id, f"the shared session {shared.id} is lost"
        found = [tuple(tag) for tag in session.get("list", [])]
        assert len(found) == len(set(found)), "a push is there twice"
        missing = done - set(found)
        assert not missing, f"acknowledged pushes are lost: {sorted(missing)[:10]}"
        by_writer: dict[tuple[int, ...], list[int]] = {}
        for *writer, number in found:
            by_writer.setdefault(tuple(writer), []).append(number)
        assert all(numbers == sorted(numbers) for numbers in by_writer.values()), "pushes are out of order"
        if not shared.users:
            assert set(found) <= shared.tried, "the list holds what nobody pushed"


@asynccontextmanager
async def _nursery() -> AsyncIterator[asyncio.subprocess.Process]:
    nursery = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "concurrency.writer",
        cwd=Path(__file__).parents[1],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield nursery
    finally:
        nursery.stdin.close()
        nursery.stdout._transport.close()  # a writer that is still alive ends when it cannot say what it does
        await nursery.wait()
