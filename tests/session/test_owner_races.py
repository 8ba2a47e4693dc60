"""Log-outs against logins, regenerations and saves under way, killed processes and lost answers.

Each process of these tests has a driver of its own on one store, which can do something before and after each of its
operations. What must hold in the end: a device that was logged out has no session left, and each session of an owner is
in the list, so that the next log-out ends it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import random
from collections.abc import Awaitable, Callable

import pytest
from visitors import OLD_SECRET, SECRET
from world import is_gone, start_session_of

from node_session import NodeSession, UnavailableError, ids
from node_session.drivers import Driver, MemoryDriver
from node_session.farewell import Farewell
from node_session.formats.node_session import NodeSessionFormat
from node_session.owners import DEVICE, OWNER
from node_session.records import Loaded

pytestmark = [pytest.mark.gen_test, pytest.mark.filterwarnings("ignore::node_session.errors.ConfigWarning")]

OPTIONS = [
    {},
    {"hashIds": True},
    {"encrypt": True},
    {"hashIds": True, "encrypt": True},
    {"regenerateGrace": 0},
    {"secret": [SECRET, OLD_SECRET]},
]


IDS: list[str] = []


class Meddled(Driver):
    """A process's way to the store; something may happen before and after each operation."""

    def __init__(self, memory: MemoryDriver) -> None:
        self.memory, self.count = memory, 0
        self.meddle: Callable[[int, bool], Awaitable[None]] | None = None

    async def _ask(self, operation, *args, **options):
        number, self.count = self.count, self.count + 1
        if self.meddle is not None:
            await self.meddle(number, False)
        result = await operation(*args, **options)
        if self.meddle is not None:
            await self.meddle(number, True)
        return result

    async def read(self, id):
        return await self._ask(self.memory.read, id)

    async def write(self, id, payload, version, *, idle=0):
        return await self._ask(self.memory.write, id, payload, version, idle=idle)

    async def touch(self, id, *, idle=0):
        await self._ask(self.memory.touch, id, idle=idle)

    async def destroy(self, id, version=None):
        await self._ask(self.memory.destroy, id, version)

    async def gc(self, lifetime):
        return await self.memory.gc(lifetime)


class Store:
    """A store, the processes on it, and what is in it."""

    def __init__(self, **options) -> None:
        self.memory, self.options, self.numbers = (
            MemoryDriver(300_000),
            {"secret": SECRET, **options},
            itertools.count(),
        )

    def process(self, **options) -> NodeSession:
        driver = Meddled(self.memory)
        name = f"process {next(self.numbers)}"
        NodeSession.register_handler(name, lambda config: driver)
        process = NodeSession({**self.options, **options, "driver": name})
        process.meddled = driver
        return process

    def newer_process(self) -> NodeSession:
        """One whose secrets are in another order, if there are several."""
        secret = self.options["secret"]
        return self.process(secret=secret[::-1] if isinstance(secret, list) else secret)

    async def check(self, *, ended: set[str] = frozenset()) -> None:
        """After all: the ended devices have no session, and a log-out ends all others."""
        process = self.process()
        listed = {device.id for device in await process.devices("ann")}
        assert not ended & listed
        assert {each[DEVICE] for each in await self.left(graces=False)} <= listed, "a session is in no list"
        count = await process.log_out("ann")
        is_exact = not self.options.keys() >= {"hashIds", "encrypt"}  # then an old id's record may be a session
        assert count == len(listed) or not is_exact
        assert await self.left() == []
        assert await process.devices("ann") == []

    async def left(self, *, graces: bool = True) -> list[dict]:
        """What cookies with any of the ids made so far show of the owner; also in the grace of an old id, or not."""
        records = await self.process()._records.get()
        found = [await records.load(id) for id in IDS]
        contents = [
            each.attributes
            for each in found
            if isinstance(each, (Loaded, Farewell) if graces else Loaded) and each.attributes
        ]
        return [each for each in contents if each.get(OWNER) == "ann"]


@pytest.fixture(autouse=True)
def known_ids(monkeypatch):
    """Note each id that a session gets."""
    IDS.clear()
    rule = dataclasses.replace(ids.OWN, generate=lambda: IDS.append(ids.generate()) or IDS[-1])
    monkeypatch.setattr(NodeSessionFormat, "ids", rule)


async def log_in(sessions: NodeSession, id=None, *, destroy: bool | None = True, owner: str = "ann"):
    session = await start_session_of(sessions, id)
    if destroy is not None:
        session.regenerate(destroy)
    session.set_owner(owner)
    await session.save()
    return session


def change(how: str):
    """What a request under way does to its session."""

    async def work(sessions: NodeSession, id: str):
        session = await start_session_of(sessions, id)
        session.put("n", 1)
        if how.startswith("regenerate"):
            session.regenerate(how == "regenerate, destroy")
        if how == "log in again":
            session.regenerate(True)
            session.set_owner("bob")
            session.set_owner("ann")
        await session.save()
        return session

    return work


HOWS = ["save", "regenerate, destroy", "regenerate", "log in again"]


async def log_out(sessions: NodeSession, how: str) -> None:
    if how == "all":
        await sessions.log_out("ann")
    else:
        for device in await sessions.devices("ann"):
            await sessions.end(device)


async def steps_of(store: Store, work) -> int:
    """The number of operations of a request, counted in a store of its own."""
    process = store.process()
    await work(process)
    return process.meddled.count


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("ending", ["all", "one"])
@pytest.mark.parametrize("how", HOWS)
async def test_log_out_during_a_request(how, ending, options):
    """A log-out that is done between any two steps of a request under way ends its session."""
    number = 0
    while True:
        store = Store(**options)
        first = await log_in(store.process())
        device, id = first.get(DEVICE), first.get_id()
        other, request, was_reached = store.process(), store.newer_process(), False

        async def meddle(step, is_done, number=number, other=other, request=request):
            nonlocal was_reached
            if step == number and not is_done:
                was_reached, request.meddled.meddle = True, None
                await log_out(other, ending)

        request.meddled.meddle = meddle
        session = await change(how)(request, id)
        if not was_reached:
            break
        if number and how != "log in again":  # the log-out was before its last step, and it had loaded the session
            assert is_gone(session) or "secret" in options  # then it enters itself in another list after its write
            assert await store.left() == []
        await store.check(ended={device})
        number += 1
    assert number > 2


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("ending", ["all", "one"])
@pytest.mark.parametrize("how", HOWS)
async def test_a_request_during_a_log_out(how, ending, options):
    """A request that is done between any two steps of a log-out does not bring its session back."""
    number = 0
    while True:
        store = Store(**options)
        first = await log_in(store.process())
        device, id = first.get(DEVICE), first.get_id()
        other, request, was_reached = store.process(), store.newer_process(), False

        async def meddle(step, is_done, number=number, other=other, request=request, id=id):
            nonlocal was_reached
            if step == number and not is_done:
                was_reached, other.meddled.meddle = True, None
                await change(how)(request, id)

        other.meddled.meddle = meddle
        await log_out(other, ending)
        if not was_reached:
            break
        await store.check(ended={device})
        number += 1
    assert number > 3


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_a_list_during_a_move(options):
    """A session that leaves its old id between two reads of a look at the list is listed."""
    store = Store(**options)
    first = await log_in(store.process())
    request, other = store.process(), store.process()
    entered, may_go_on = asyncio.Event(), asyncio.Event()

    async def pause(step, is_done):
        if step == 4 and not is_done:  # it has read its session, followed its old id, and read and written the list
            entered.set()
            await may_go_on.wait()

    request.meddled.meddle = pause
    moving = asyncio.ensure_future(change("regenerate, destroy")(request, first.get_id()))
    await entered.wait()

    async def meddle(step, is_done):
        if step == 2 and not is_done:  # the list and the new id were read, and not the old one
            may_go_on.set()
            await moving

    other.meddled.meddle = meddle
    assert [each.id for each in await other.devices("ann")] == [first.get(DEVICE)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("destroy", [True, False, None])
async def test_log_out_during_a_login(destroy, options):
    """A log-out between any two steps of a login comes before it or after it, and nothing between the two is left."""
    number, refused = 0, 0
    while True:
        store = Store(**options)
        anonymous = await start_session_of(store.process(), None)
        anonymous.put("cart", [1])
        await anonymous.save()
        other, request, was_reached = store.process(), store.newer_process(), False

        async def meddle(step, is_done, number=number, other=other, request=request):
            nonlocal was_reached
            if step == number and not is_done:
                was_reached, request.meddled.meddle = True, None
                await other.log_out("ann")

        request.meddled.meddle = meddle
        session = await log_in(request, anonymous.get_id(), destroy=destroy)
        if not was_reached:
            break
        refused += is_gone(session)
        assert not is_gone(session) or await store.left() == []
        await store.check()
        number += 1
    assert 0 < refused < number


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("error", [Killed, UnavailableError])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("how", ["log in", *HOWS])
async def test_interrupted_requests(how, is_done, error, options):
    """A request that ends at any step, its last one done or not, leaves no session that a log-out does not find."""
    number, was_reached = 0, True
    while was_reached:
        store = Store(**options)
        first = await log_in(store.process())
        request, was_reached = store.process(), False

        async def meddle(step, done, number=number):
            nonlocal was_reached
            if step == number and done == is_done:
                was_reached = True
                raise error("interrupted")

        request.meddled.meddle = meddle
        try:
            if how == "log in":
                await log_in(request)
            else:
                await change(how)(request, first.get_id())
        except (Killed, UnavailableError):
            assert was_reached
        await store.check()
        number += 1
    assert number > 2


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("error", [Killed, UnavailableError])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("then", ["log_out", "devices", "end"])
async def test_interrupted_log_outs(then, is_done, error, options):
    """A log-out that ends at any step is taken up by the next one, or by a look at the list."""
    number, was_reached = 0, True
    while was_reached:
        store = Store(**options)
        for _ in range(2):
            await log_in(store.process())
        (one, _), other, was_reached = await store.process().devices("ann"), store.process(), False

        async def meddle(step, done, number=number):
            nonlocal was_reached
            if step == number and done == is_done:
                was_reached = True
                raise error("interrupted")

        other.meddled.meddle = meddle
        try:
            await other.log_out("ann")
        except (Killed, UnavailableError):
            assert was_reached
        again = store.process()
        if then == "log_out":
            await again.log_out("ann")
        elif then == "end":
            await again.end(one)
        is_marked = await again.devices("ann") == []
        assert (await store.left() == []) == is_marked
        assert is_marked or (then != "log_out")
        await store.check()
        number += 1
    assert number > 4


@pytest.mark.parametrize("options", [{}, {"maxDevices": 2}, {"secret": [SECRET, OLD_SECRET]}], ids=["", "most", "two"])
@pytest.mark.parametrize("seed", range(30))
async def test_everything_at_the_same_moment(seed, options):
    """Logins, regenerations, saves and log-outs of one owner, in any order, leave no session that is in no list."""
    choose = random.Random(seed).randrange
    store = Store(**options)

    async def pause(step, is_done):
        for _ in range(choose(4)):
            await asyncio.sleep(0)

    firsts = [await log_in(store.process()) for _ in range(2)]
    works = [lambda process: log_in(process, destroy=[True, False, None][choose(3)]) for _ in range(2)]
    for each in firsts * 2:
        works.append(functools.partial(change(HOWS[choose(4)]), id=each.get_id()))
    works.append(lambda process: process.log_out("ann"))
    works.append(lambda process: log_out(process, "one"))
    processes = [store.process() for _ in works]
    for process in processes:
        process.meddled.meddle = pause
    await asyncio.gather(*(work(process) for work, process in zip(works, processes, strict=True)))
    process = store.process()
    listed = {device.id for device in await process.devices("ann")}
    assert {each[DEVICE] for each in await store.left(graces=False)} == listed
    assert not {each.get(DEVICE) for each in firsts} & listed
    assert len(listed) <= 2 or "maxDevices" not in options
    await store.check()
