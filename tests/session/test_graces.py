"""The end of graces: the old record of a regenerated session is gone when its grace is over."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import weakref

import pytest
from stores import STORES, settle
from tornado.web import RequestHandler
from visitors import stored_record
from world import start_session, start_session_of

from node_session import SessionMixin, UnavailableError
from node_session.drivers import MemoryDriver
from node_session.farewell import compose
from node_session.formats import NODE_SESSION
from node_session.graces import Graces
from node_session.policy import Policy
from node_session.records import Records

GRACE = 1_000_000
"""In milliseconds: so long that no machine is too slow for it; see `Clock`."""


class Clock:
    """Lets seconds pass for the timers of the running loop."""

    def __init__(self) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        there = loop.time
        loop.time = lambda: there() + self.ahead

    async def __call__(self, seconds: float) -> None:
        self.ahead += seconds
        for _ in range(20):
            await asyncio.sleep(0)


async def regenerate(driver, id: str | None = None, **terms) -> tuple[str, str]:
    """Regenerate a session with data; return its old and its new id."""
    session = await start_session(driver, id, **terms)
    session.put("cart", ["book"])
    await session.save()
    old = session.get_id()
    session.regenerate(True)
    await session.save()
    return old, session.get_id()


async def stored_ids(driver) -> set[str]:
    return {entry.id async for entry in driver.scan()}


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.session.put("cart", ["book"])


class Login(SessionMixin, RequestHandler):
    def post(self):
        self.session.regenerate(True)
        self.session.put("user", "Ann")


@pytest.mark.gen_test(timeout=60)
@pytest.mark.filterwarnings("ignore::node_session.errors.ConfigWarning")  # such options are doubtful
@pytest.mark.parametrize(
    "options",
    [{**store, "lifetime": each, "regenerateGrace": 20} for store in STORES for each in (300_000, 0)],
    ids=str,
)
async def test_gone_when_the_grace_is_over(app, visitor):
    """After several log-ins only the session's last record is left, although nobody brings an old cookie again."""
    app.add_handlers(".*", [("/page", Page), ("/login", Login)])
    await visitor.get("/page")
    old = [visitor.id]
    for _ in range(2):
        await visitor.post("/login", csrf=False)
        old.append(visitor.id)
    old.pop()
    while any([await stored_record(visitor, id) for id in old]):
        await asyncio.sleep(0.005)
    stored = await visitor.stored()
    assert (stored["cart"], stored["user"]) == (["book"], "Ann")


@pytest.mark.parametrize("grace", [GRACE, 0])
def test_not_before_the_end_of_the_grace(grace):
    """A late request can read the old record until the grace is over; with a grace of 0 it is a trail for 10 s."""

    async def main():
        driver, pass_time = MemoryDriver(0), Clock()
        old, new = await regenerate(driver, regenerate_grace=grace)
        await pass_time((grace or 10_000) / 1000 - 5)
        assert await stored_ids(driver) == {old, new}
        late = await start_session(driver, old, regenerate_grace=grace)
        assert late.get("cart") == (["book"] if grace else None)
        await pass_time(6.1)
        assert await stored_ids(driver) == {new}

    asyncio.run(main())


def test_one_timer_for_all(monkeypatch):
    """However many sessions are regenerated, there is one timer for all of them, and one task at a time."""
    timers, at_work, most = [], 0, 0

    async def destroy(id, at):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        destroyed.append(id)

    destroyed: list[str] = []

    async def main():
        pass_time, loop, graces = Clock(), asyncio.get_running_loop(), Graces(10, destroy)
        call_at = loop.call_at

        def count(*args, **rest):
            timers.append(call_at(*args, **rest))
            return timers[-1]

        monkeypatch.setattr(loop, "call_at", count)
        for number in range(10_000):
            graces.begin(str(number), number)
        assert len(timers) == 1
        await pass_time(11.1)
        while len(destroyed) < 10_000:
            await asyncio.sleep(0)
        assert len(timers) == 1

    asyncio.run(main())
    assert destroyed == [str(number) for number in range(10_000)]
    assert 1 < most < 17


def test_each_has_its_own_time():
    """One that is regenerated later stays for longer, and the timer runs as long as there is any."""

    async def main():
        driver, pass_time = MemoryDriver(0), Clock()
        records = Records(driver, Policy(regenerate_grace=GRACE))
        expected = set()
        for number in range(3):
            old, new = f"{number}" * 40, f"{number + 3}" * 40
            await driver.write(old, await compose(old, new, {}, number, NODE_SESSION), None)
            records.graces.begin(old, number)
            expected.add(old)
            await pass_time(100)
        for number in range(3):
            await pass_time(701.1 if number == 0 else 100)
            expected.remove(f"{number}" * 40)
            assert await stored_ids(driver) == expected

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["session", "farewell", "no session"])
def test_another_record_stays(kind, caplog):
    """What somebody else has stored under the old id meanwhile is not destroyed."""

    async def main():
        driver, pass_time = MemoryDriver(0), Clock()
        old, new = await regenerate(driver, regenerate_grace=GRACE)
        other = (
            await compose(old, new, {}, 1, NODE_SESSION)
            if kind == "farewell"
            else '{"user":"Eve"}'
            if kind == "session"
            else "?"
        )
        await driver.destroy(old)
        await driver.write(old, other, None)
        await pass_time(GRACE)
        assert (await driver.read(old)).payload == other

    asyncio.run(main())
    assert not caplog.records


def test_changed_at_the_last_moment(caplog):
    """One that is replaced between the look at it and its end stays, too."""

    async def main():
        driver, pass_time = MemoryDriver(0), Clock()
        old, _ = await regenerate(driver, regenerate_grace=GRACE)
        read = driver.read

        async def replace(id):
            record = await read(id)
            await driver.destroy(id)
            await driver.write(id, '{"user":"Eve"}', None)
            return record

        driver.read = replace
        await pass_time(GRACE)
        assert (await read(old)).payload == '{"user":"Eve"}'

    asyncio.run(main())
    assert not caplog.records


def test_a_store_that_is_down(caplog):
    """If the store is down at the end of the grace, it is asked again, and one warning tells of all."""

    async def main():
        driver, pass_time = MemoryDriver(0), Clock()
        records = Records(driver, Policy(regenerate_grace=GRACE))
        for number in range(3):
            await driver.write(f"{number}" * 40, await compose(f"{number}" * 40, "A" * 40, {}, 1, NODE_SESSION), None)
            records.graces.begin(f"{number}" * 40, 1)
        read = driver.read

        async def fail(id):
            raise UnavailableError("it is down")

        driver.read = fail
        await pass_time(GRACE / 1000 + 1.1)
        assert len(await stored_ids(driver)) == 3
        driver.read = read
        await pass_time(GRACE / 1000 + 1.1)
        assert await stored_ids(driver) == set()

    with caplog.at_level(logging.WARNING, "node_session"):
        asyncio.run(main())
    assert [each.message for each in caplog.records] == [
        "could not remove 3 old records of regenerated sessions: UnavailableError: it is down"
    ]


def test_an_error_that_stays(caplog):
    """Another error is told of once, and not repeated for ever."""
    tries = 0

    async def fail(id, at):
        nonlocal tries
        tries += 1
        raise ValueError("wrong key")

    async def main():
        pass_time = Clock()
        Graces(10, fail).begin("A" * 40, 1)
        for _ in range(3):
            await pass_time(20)

    asyncio.run(main())
    assert tries == len(caplog.records) == 1


def test_an_answer_that_is_lost():
    """If the old record was replaced, but the answer to that was lost, it is gone after the grace as well."""

    async def main():
        driver, pass_time = MemoryDriver(0), Clock()
        first = await start_session(driver, regenerate_grace=GRACE)
        await first.save()
        old, write = first.get_id(), driver.write

        async def lose_answer(id, payload, version):
            await write(id, payload, version)
            if id == old:
                raise UnavailableError("the connection was lost")

        driver.write = lose_answer
        first.regenerate(True)
        with pytest.raises(UnavailableError):
            await first.save()
        assert old in await stored_ids(driver)
        await pass_time(GRACE / 1000 + 1.1)
        assert await stored_ids(driver) == {first.get_id()}

    asyncio.run(main())


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("options", [{"driver": "memory", "regenerateGrace": GRACE}])
async def test_close_leaves_those_in_their_grace(sessions):
    """close() does not wait for graces: another process may be asked for the old records; and nobody does any more."""
    driver = await sessions.driver()
    session = await start_session_of(sessions, None)
    await session.save()
    session.regenerate(True)
    await session.save()
    await settle(sessions)
    assert len(await stored_ids(driver)) == 2
    loop = asyncio.get_running_loop()
    timers = [each for each in loop._scheduled if getattr(each._callback, "__self__", None).__class__ is Graces]
    assert all(each.cancelled() for each in timers)


def test_close_waits_for_those_under_way():
    """close() lets a destroying end that has begun, and begins no other."""
    destroyed, go_on = [], asyncio.Event()

    async def destroy(id, at):
        await go_on.wait()
        destroyed.append(id)

    async def main():
        pass_time, graces = Clock(), Graces(10, destroy)
        for number in range(10):
            graces.begin(str(number), number)
        await pass_time(11.1)
        closing = asyncio.ensure_future(graces.finish())
        await pass_time(0)
        assert destroyed == [] and not closing.done()
        go_on.set()
        await closing

    asyncio.run(main())
    assert destroyed == ["0", "1", "2", "3"]


def test_close_while_the_store_is_down():
    """After close() nothing is tried again."""
    tries, go_on = [], asyncio.Event()

    async def fail(id, at):
        tries.append(id)
        await go_on.wait()
        raise UnavailableError("it is down")

    async def main():
        pass_time, graces = Clock(), Graces(10, fail)
        graces.begin("A" * 40, 1)
        await pass_time(11.1)
        closing = asyncio.ensure_future(graces.finish())
        await pass_time(0)
        go_on.set()
        await closing
        await pass_time(30)

    asyncio.run(main())
    assert len(tries) == 1


def test_several_loops():
    """Sessions of one program in several event loops: each loop has its own timer."""
    driver = MemoryDriver(0)
    records = Records(driver, Policy(regenerate_grace=GRACE))

    async def main(id):
        pass_time = Clock()
        await driver.write(id, await compose(id, "A" * 40, {}, 1, NODE_SESSION), None)
        records.graces.begin(id, 1)
        await pass_time(GRACE / 1000 + 1.1 if id[0] == "2" else 0)
        return await stored_ids(driver)

    assert [asyncio.run(main(id * 40)) for id in "12"] == [{"1" * 40}, {"1" * 40}]
    assert len(records.graces._loops) == 1


def test_the_timer_keeps_no_request():
    """What a request's context holds can be collected when it is over; the timer does not hold it for the grace."""

    class Request:
        pass

    async def main():
        current = contextvars.ContextVar("current")

        async def request():
            here = Request()
            current.set(here)
            Graces(10, None).begin("A" * 40, 1)
            return weakref.ref(here)

        kept = await asyncio.create_task(request())
        await asyncio.sleep(0)  # the loop itself lets go of it a moment later
        gc.collect()
        assert kept() is None

    asyncio.run(main())
