"""The work after the response: renewals and sweeps."""

from __future__ import annotations

import asyncio
import math
import os
import time
from types import SimpleNamespace

import pytest
from stores import settle
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from visitors import store_record

from node_session import NodeSession, SessionMixin, background, serializer
from node_session.drivers import Entry, MemoryDriver
from node_session.errors import ConfigWarning
from web.handlers import Return, Unchanged, route

pytestmark = pytest.mark.gen_test


async def test_unchanged_session_is_touched_not_written(app, visitor, sessions, tmp_path):
    """A request that changes nothing writes nothing, but renews the last activity."""
    route(app, page=Return, unchanged=Unchanged)
    await visitor.get("/page")
    file = tmp_path / "sessions" / visitor.id
    os.utime(file, (1, file.stat().st_mtime - 100))
    before = file.stat()
    await visitor.get("/unchanged")
    await sessions.close()  # waits for the renewal
    after = file.stat()
    assert after.st_ino == before.st_ino
    assert after.st_mtime > before.st_mtime + 50


@pytest.mark.parametrize(
    ("options", "due"),
    [({"lifetime": 100_000}, 5), ({"lifetime": 600_000}, 15), ({"lifetime": 10_000_000}, 100)],
)
async def test_renewed_only_if_due(app, visitor, sessions, tmp_path, due):
    """A session is renewed after 15 seconds, but not before a hundredth nor after a twentieth of its lifetime."""
    route(app, page=Return, unchanged=Unchanged)
    await visitor.get("/page")
    file = tmp_path / "sessions" / visitor.id
    for idle, is_renewed in ((due / 2, False), (due * 1.5, True)):
        active = time.time() - idle
        os.utime(file, (active, active))
        await visitor.get("/unchanged")
        await settle(sessions)
        assert (file.stat().st_mtime > active + 0.001) == is_renewed


async def test_a_long_request_renews_at_its_end(app, visitor, config, tmp_path):
    """The time of the response counts, not the time at which the session was read."""

    class Long(Unchanged):
        async def get(self):
            await asyncio.sleep(0.25)
            super().get()

    options = {"lifetime": 4000, "expireOnClose": True}  # renewed after 200 ms; the visitor keeps its cookie
    app.settings["node_session"] = sessions = NodeSession({**config, **options})
    route(app, page=Return, long=Long)
    await visitor.get("/page")
    file = tmp_path / "sessions" / visitor.id
    active = time.time()
    os.utime(file, (active, active))
    await visitor.get("/long")
    await settle(sessions)
    assert file.stat().st_mtime > active + 0.2


@pytest.mark.parametrize("options", [{"lottery": [1, 1]}])
async def test_gc_after_the_response(app, visitor, tmp_path):
    """A request that wins the lottery has expired records removed, after its response."""
    await store_record(visitor, {"_token": "t"})
    old = tmp_path / "sessions" / visitor.id
    os.utime(old, (1, 1))
    visitor.cookie = None
    route(app, page=Return)
    await visitor.get("/page")
    for _ in range(100):
        if not old.exists():
            break
        await asyncio.sleep(0.02)
    assert not old.exists()


@pytest.mark.filterwarnings("ignore:lifetime")
@pytest.mark.parametrize("options", [{"lottery": [1, 1], "lifetime": 0}])
async def test_gc_without_a_lifetime(app, visitor, sessions, tmp_path):
    """If sessions never expire, gc removes temporary files of killed processes, and no session."""
    route(app, page=Return)
    await visitor.get("/page")
    await sessions.close()
    litter, record = tmp_path / "sessions" / f".tmp-{0:024x}", tmp_path / "sessions" / visitor.id
    litter.touch()
    for path in (litter, record):
        os.utime(path, (1, 1))
    await visitor.get("/page")
    await sessions.close()
    assert record.exists() and not litter.exists()


async def test_gc_is_one_at_a_time(app, visitor, config, io_loop):
    """However often the lottery is won, one sweep runs at a time, and rests in between."""
    sweeping, most = 0, []

    class Gc:
        read = write = destroy = lambda self, *args: None

        async def gc(self, lifetime):
            nonlocal sweeping
            sweeping += 1
            most.append(sweeping)
            await asyncio.sleep(0.1)
            sweeping -= 1

    NodeSession.register_handler("gc", lambda config: Gc())
    app.settings["node_session"] = sessions = NodeSession({**config, "driver": "gc", "lottery": [1, 1]})
    route(app, page=Return)
    await asyncio.gather(*(visitor.get("/page") for _ in range(20)))
    await sessions.close()
    assert most == [1]


class Steps(MemoryDriver):
    """A driver whose gc has steps without end, until it has done enough of them."""

    def __init__(self, enough: float, longest_rest: float) -> None:
        super().__init__(1000)
        self.enough, self.longest_rest = enough, longest_rest
        self.steps, self.is_closed, self.done = 0, False, asyncio.Event()

    async def gc_in_steps(self, lifetime):
        try:
            while self.steps < self.enough:
                self.steps += 1
                yield 2
        finally:
            self.is_closed = True
            self.done.set()


async def test_a_sweep_rests_after_each_step(app, visitor, config, monkeypatch):
    """After a step comes a rest of nine times its length, or of what the driver allows."""
    rests = []
    wait = asyncio.wait

    async def note(tasks, *, timeout=None, **options):
        if timeout is not None:
            rests.append(timeout)
        return await wait(tasks, timeout=0 if timeout is not None else None, **options)

    monkeypatch.setattr(asyncio, "wait", note)
    clock = iter(range(1000))
    monkeypatch.setattr(background, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    route(app, page=Return)
    for longest_rest, expected in ((math.inf, [9, 9, 9]), (0.5, [0.5, 0.5, 0.5])):
        rests.clear()
        driver = Steps(3, longest_rest)
        NodeSession.register_handler("steps", lambda config, driver=driver: driver)
        app.settings["node_session"] = sessions = NodeSession({**config, "driver": "steps", "lottery": [1, 1]})
        await visitor.get("/page")
        await driver.done.wait()
        await sessions.close()
        assert rests == expected and sessions.stats.removed == 6


async def test_close_ends_a_sweep_after_its_step(app, visitor, config):
    """close() does not wait for all the steps of a sweep, nor for a rest; what was removed is counted."""
    route(app, page=Return)
    for longest_rest in (0, math.inf):
        driver = Steps(math.inf, longest_rest)
        NodeSession.register_handler("steps", lambda config, driver=driver: driver)
        app.settings["node_session"] = sessions = NodeSession({**config, "driver": "steps", "lottery": [1, 1]})
        await visitor.get("/page")
        await sessions.close()
        assert driver.is_closed and sessions.stats.removed == 2 * driver.steps > 0


async def test_close_ends_the_search_for_orphans(app, visitor, config, monkeypatch):
    """Nor does close() wait until all records of a store have been looked at, and the listing is closed."""
    seen = []

    class Listed(MemoryDriver):
        async def scan(self):
            try:
                while True:
                    seen.append(1)
                    yield Entry("a" * 40, "{}", 0)
            finally:
                seen.append("closed")

    monkeypatch.setattr("node_session.sweeping._ORPHANED_AFTER", 0)
    NodeSession.register_handler("listed", lambda config: Listed(0))
    options = {**config, "driver": "listed", "lifetime": 0, "lottery": [1, 1]}
    with pytest.warns(ConfigWarning):
        app.settings["node_session"] = sessions = NodeSession(options)
    route(app, page=Return)
    await visitor.get("/page")
    while len(seen) < 2:
        await asyncio.sleep(0.001)
    await asyncio.wait_for(sessions.close(), 60)
    assert seen[-1] == "closed"


async def test_close_waits(app, visitor, sessions, pass_time):
    """close() waits for the work after responses, and leaves nothing running."""
    driver = await sessions.driver()
    confirm, calls = driver.confirm, []

    async def slow_confirm(*args, **options):
        calls.append("begun")
        await asyncio.sleep(0.05)
        is_renewed = await confirm(*args, **options)
        calls.append("done")
        return is_renewed

    driver.confirm = slow_confirm
    route(app, page=Return, unchanged=Unchanged)
    await visitor.get("/page")
    pass_time(16)  # a twentieth of the lifetime, and more
    await visitor.get("/unchanged")
    await sessions.close()
    assert calls == ["begun", "done"]


def test_close_in_another_loop(config):
    """What a loop that no longer runs has left behind holds up no close, and no sweep after it."""
    sweeps = []

    class Endless:
        read = write = destroy = lambda self, *args: None

        async def gc(self, lifetime):
            sweeps.append(asyncio.get_running_loop())
            await asyncio.sleep(60 if len(sweeps) == 1 else 0)

    NodeSession.register_handler("endless", lambda config: Endless())
    sessions = NodeSession({**config, "driver": "endless", "lottery": [1, 1]})

    async def request() -> None:
        server = HTTPServer(Application([("/", Return)], node_session=sessions))
        (socket,) = bind_sockets(0, "127.0.0.1")
        server.add_socket(socket)
        client = AsyncHTTPClient(force_instance=True)
        await client.fetch(f"http://127.0.0.1:{socket.getsockname()[1]}/")
        client.close()
        server.stop()
        await server.close_all_connections()

    async def close_and_go_on() -> None:
        await asyncio.wait_for(sessions.close(), 5)
        await request()
        await sessions.close()

    interrupted = asyncio.new_event_loop()
    interrupted.run_until_complete(request())
    while not sweeps:
        interrupted.run_until_complete(asyncio.sleep(0.001))
    asyncio.run(close_and_go_on())
    assert len(sweeps) == 2 and sweeps[0] is interrupted
    left = asyncio.all_tasks(interrupted)
    for task in left:
        task.cancel()
    interrupted.run_until_complete(asyncio.wait(left))
    interrupted.close()


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"encrypt": True}], ids=str)
async def test_what_a_request_costs(app, visitor, sessions, monkeypatch, pass_time):
    """A changing request is one read, one parse and one write; a reading one is a read, and rarely a renewal."""
    driver, calls = await sessions.driver(), []

    def count(owner, name):
        function = getattr(owner, name)

        def counting(*args, **options):
            calls.append(name)
            return function(*args, **options)

        monkeypatch.setattr(owner, name, counting)

    class Push(SessionMixin, RequestHandler):
        async def get(self):
            await asyncio.sleep(0.001)
            self.session.push("list", {"nested": [1]})

    class Look(SessionMixin, RequestHandler):
        async def get(self):
            await asyncio.sleep(0.001)
            self.session.get("list")

    route(app, push=Push, look=Look)
    await visitor.get("/push")
    for name in ("read", "write", "touch", "confirm", "destroy", "gc"):
        count(driver, name)
    count(serializer, "loads")
    count(serializer, "dumps_quickly")
    await visitor.get("/push")
    await settle(sessions)
    assert calls == ["read", "loads", "dumps_quickly", "write"]
    calls.clear()
    await visitor.get("/look")
    await settle(sessions)
    assert calls == ["read", "loads", "dumps_quickly"]
    calls.clear()
    pass_time(16)  # a twentieth of the lifetime, and more
    await visitor.get("/look")
    await settle(sessions)
    assert calls[:4] == ["read", "loads", "dumps_quickly", "confirm"]
    assert calls[4:] in ([], ["read", "touch"])  # that is how files are confirmed


def test_close_beside_a_sweep_of_another_loop():
    """A close() in one loop lets no second sweep begin while another loop's goes on, and that one can be ended."""
    begun = []

    async def sweep():
        begun.append(1)
        while True:
            yield 60

    async def main():
        unchanged = SimpleNamespace(is_left_alone=False, wants_touch=False)
        config = SimpleNamespace(lifetime=0, lottery=(1, 1), close_sockets_within=5000)
        work = background.Background(config, SimpleNamespace(request_ended=lambda *_: None), sweep)
        for _ in range(2):
            work.request_ended(SimpleNamespace(method="GET", path="/"), None, unchanged)
            while not begun:
                await asyncio.sleep(0)
            await asyncio.to_thread(lambda: asyncio.run(work.finish()))
        await asyncio.wait_for(work.finish(), 60)
        assert len(begun) == 1

    asyncio.run(main())
