"""Users at random over the npm original and ours, on one store, each with a model of what the session should hold.

python tests/interop/soak.py [minutes] [store]       or: make soak-node MINUTES=60 STORE=file

The requests of one user come one after the other: the original loses concurrent ones by itself. Those of different
users come concurrently. The servers of databases are started for it, see `servers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import servers
from doors import SECRET, Door, open_side
from model import Model
from tornado.httpclient import AsyncHTTPClient

from node_session import cookies

STORES = ["file", "file-encrypted", "postgresql", "mysql"]
USERS = 50

_MOST_TOLD = 10  # of the differences

_NAMES = ["a", "b", "name", "ünï", "cart.tea", "cart.cup"]
_TOP = ["a", "b", "name", "ünï", "cart", "list", "status"]
_FLASHED = ["status", "errors"]
_TRUTHY: list[Any] = [True, 1, -7, 2**53 - 1, 0.5, "text", "Jörg 😀", '"\\\n\u2028', [1, [2]], {"k": None}, "x" * 300]
_VALUES = [*_TRUTHY, None, False, 0, "", []]


@contextlib.contextmanager
def open_doors(store: str) -> Iterator[list[Door]]:
    """Both programs on one store."""
    with contextlib.ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory())
        config = {"files": folder + "/sessions", "lifetime": 3_600_000, "lottery": [2, 100]}
        if store == "file-encrypted":
            config["encrypt"] = True
        elif store != "file":
            server = servers.start(store)
            closing.callback(server.stop)
            connection = {**server.connection, "adapter": f"sails-{store}", "charset": "utf8mb4"}
            config |= {"driver": "database", "connection": connection}
            asyncio.run(servers.make_table({"secret": SECRET, **config}))
        doors = []
        for side in ("original", "ours"):
            doors.append(open_side(side, config))
            closing.callback(doors[-1].close)
            doors[-1].ask([], None)  # alone: the original makes its model again for each of several first requests
        yield doors


class Soak:
    """A run.

    Attributes:
        requests: How many there were.
        differences: What was not as its model has it, each as a sentence; the first of them.
    """

    def __init__(self, doors: list[Door], seed: int) -> None:
        self.requests = 0
        self.differences: list[str] = []
        self._doors = doors
        self._seed = seed

    async def run(self, go_on: Callable[[Soak], bool]) -> None:
        """Let the users come for as long as `go_on` says, and until there are too many differences."""
        self._go_on = lambda: go_on(self) and len(self.differences) < _MOST_TOLD
        self._client = AsyncHTTPClient(force_instance=True, max_clients=USERS)
        try:
            await asyncio.gather(*(self._use(user) for user in range(USERS)))
        finally:
            self._client.close()

    async def _use(self, user: int) -> None:
        """All that one user does; in the end, both programs are asked for everything."""
        chance = random.Random(f"{self._seed} {user}")
        visitor = Visitor()
        while self._go_on():
            if chance.random() < 0.01:
                visitor = Visitor()  # another device
            await self._request(user, visitor, chance.choice(self._doors), _calls(chance))
        for each in self._doors:
            await self._request(user, visitor, each, [])

    async def _request(self, user: int, visitor: Visitor, to: Door, calls: list[list[Any]]) -> None:
        calls = [*calls, ["all"]]
        response = await self._client.fetch(
            f"http://127.0.0.1:{to.port}/",
            method="POST",
            body=json.dumps(calls),
            headers={"Cookie": visitor.cookie} if visitor.cookie else {},
            raise_error=False,
            request_timeout=60,
        )
        self.requests += 1
        if response.code != 200:
            self.differences.append(f"user {user}, {to.side}: {response.code} for {calls}")
            return
        for problem in visitor.compare(calls, json.loads(response.body), response.headers.get_list("Set-Cookie")):
            self.differences.append(f"user {user} of seed {self._seed}, request {self.requests}, {to.side}: {problem}")


class Visitor:
    """A cookie, and the model of its session."""

    def __init__(self) -> None:
        self.cookie: str | None = None
        self._model = Model()

    def compare(self, calls: list[list[Any]], results: list[Any], lines: list[str]) -> list[str]:
        """What of a response is not as it should be; keeps the cookie."""
        problems = []
        self._model.start()
        for call, found in zip(calls, results, strict=True):
            expected = self._model.recognise(self._model.call(*call), found)
            if expected != found:
                problems.append(f"{call} gave {found!r}, and not {expected!r}")
        self._model.save()
        before = self._id()
        if len(lines) == 1:
            self.cookie = lines[0].partition(";")[0]
        if len(lines) != 1 or self._id() is None:
            problems.append(f"there is no good cookie in {lines}")
        is_new = before is None or any(method in ("regenerate", "migrate") for method, *_ in calls)
        if (self._id() != before) is not is_new:
            problems.append(f"the id is {'not ' if is_new else ''}another one after {calls}")
        return problems

    def _id(self) -> str | None:
        return cookies.find(self.cookie, "node_session", [SECRET]).id


def _calls(chance: random.Random) -> list[list[Any]]:
    """The calls of a request, at random."""
    name, top, flashed = chance.choice(_NAMES), chance.choice(_TOP), chance.choice(_FLASHED)
    value = chance.choice(_VALUES)
    common = [
        ["put", name, value],
        ["get", name],
        ["get", top, "default"],
        ["has", chance.choice(_NAMES)],
        ["push", "list", value],
        ["put", "truthy", chance.choice(_TRUTHY)],
        ["pull", "truthy"],
        ["flash", flashed, value],
    ]
    rare = [
        ["forget", top],
        ["reflash"],
        ["keep", flashed],
        ["getToken"],
        ["regenerateToken"],
        ["regenerate"],
        ["regenerate", True],
        ["migrate"],
    ]
    if chance.random() < 0.02:
        return [["flush"], ["regenerate", True]]  # a logout
    if chance.random() < 0.05:
        return [["forget", "list"]]  # or it would grow for ever
    return [chance.choice(common if chance.random() < 0.8 else rare) for _ in range(chance.randrange(5))]


# ------------------------------------------------------------ make soak-node


def soak(name: str, minutes: float, seed: int) -> Soak:
    """Soak one store, with a line that says how far it is."""
    with open_doors(name) as doors:
        run = Soak(doors, seed)
        end = time.monotonic() + minutes * 60
        mark = "\r" if sys.stdout.isatty() else "\n"

        async def tell() -> None:
            for seconds in itertools.count():
                left = max(0, end - time.monotonic())
                if mark == "\r" or seconds % 60 == 0:
                    line = f"{name}: {run.requests} requests, {len(run.differences)} differences, {left:.0f} s to go"
                    print(f"{line:78}", end=mark, flush=True)
                await asyncio.sleep(1)

        async def main() -> None:
            telling = asyncio.create_task(tell())
            await run.run(lambda _: time.monotonic() < end)
            telling.cancel()

        asyncio.run(main())
    print(
        f"{name}: {run.requests} requests of {USERS} users, {len(run.differences)} differences, seed {seed}".ljust(78)
    )
    print(*run.differences, sep="\n", end="")
    return run


def main(minutes: str = "1", *names: str) -> int:
    """Soak each store for so long; the exit code is 1 where anything differed."""
    runs = [
        soak(name, float(minutes), random.randrange(1_000_000))
        for name in (filter(None, names) if any(names) else STORES)
    ]
    return int(any(run.differences for run in runs))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
