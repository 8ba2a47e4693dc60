"""Writes sessions for the storm until it is killed. It forks, so that thousands can be started in little time.

    python -m concurrency.writer        # a job a line on stdin, as JSON; one after the other

Each job is a process that uses sessions as fast as it can, and says on stdout, a JSON line each, what it is about to
do ("try") and what is done and acknowledged ("done"). When it has ended, "ended" is said; nothing of it comes later.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import traceback
from itertools import count

from world import start_session_of

from node_session import NodeSession

from .careless import register


def filler(n: int) -> str:
    """A record's filling besides its number: any length up to 20 KB, sometimes 200."""
    return f"{n}," * (n * 7919 % 4000 + (40_000 if n % 40 == 0 else 0))


class Job:
    """One process: uses `slots`, sessions of its own, and pushes onto a `shared` one."""

    def __init__(self, job, config, slots, shared):
        self.job = job
        self.slots = slots
        self.shared = shared
        self.sessions = NodeSession(config)

    async def run(self):
        await self.sessions.driver()
        self.say(what="ready", pid=os.getpid())
        uses = [self.use(slot, **state) for slot, state in enumerate(self.slots)]
        await asyncio.gather(*uses, *(self.push(number) for number in range(2)))

    async def use(self, slot, id, n):
        """Change a session again and again: create it, replace it, give it a new id."""
        while True:
            n += 1
            session = await self.session(id)
            if id is not None and session.get_id() != id:
                raise AssertionError(f"slot {slot}: the session {id} is lost")
            if random.random() < 0.1:
                random.choice([session.invalidate, lambda session=session: session.regenerate(True)])()
            session.put({"n": n, "filler": filler(n)})
            self.say(what="try", slot=slot, id=session.get_id(), n=n)
            await session.save()
            id = session.get_id()
            self.say(what="done", slot=slot, id=id, n=n)

    async def push(self, number):
        """Push onto the session that all jobs share."""
        for each in count():
            session = await self.session(self.shared)
            tag = [self.job, number, each]
            session.push("list", tag)
            self.say(what="try", tag=tag)
            await session.save()
            self.say(what="done", tag=tag)

    async def session(self, id):
        return await start_session_of(self.sessions, id)

    def say(self, **words):
        os.write(1, json.dumps({"job": self.job, **words}).encode() + b"\n")


def main():
    register()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            if "SEED" in os.environ:
                random.seed(f"{os.environ['SEED']} {job['job']}")
            try:
                asyncio.run(Job(**job).run())
            finally:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        os.write(1, json.dumps({"job": job["job"], "what": "ended", "status": status}).encode() + b"\n")


if __name__ == "__main__":
    main()
