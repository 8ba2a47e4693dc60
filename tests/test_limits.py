"""The size and depth of a session, and that a large one does not hold up other requests."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import threading
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from test_merge import sessions as any_session
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import ID
from world import start_session

from node_session import PathError, SessionMixin, TooLargeError, aside, encryption, javascript, serializer, writing
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.changes import Changes
from node_session.depth import MAX_DEPTH, WRITABLE_DEPTH
from node_session.drivers import MemoryDriver
from node_session.json_writer import JsonWriter
from node_session.merge import merge
from node_session.records import Records
from node_session.serializer import LARGE

pytestmark = pytest.mark.gen_test(timeout=60)

DRIVERS = [{"driver": "memory"}, {"driver": "file"}, {"driver": "database"}]
MOST = 3000


@pytest.fixture(params=[*DRIVERS, {"driver": "memory", "encrypt": True}], ids=str)
def options(request):
    return {"maxSize": MOST, **request.param}


@pytest.fixture
def page(app):
    """Makes a handler, at /page, of what it does with its session."""

    def page(does, path: str = "/page") -> None:
        class Page(SessionMixin, RequestHandler):
            async def get(self):
                result = does(self.session)
                if asyncio.iscoroutine(result):
                    result = await result
                self.write(json.dumps(result))

        app.add_handlers(".*", [(path, Page)])

    return page


async def records_of(visitor) -> Records:
    config = visitor.sessions.config
    return Records(await visitor.sessions.driver(), encrypter=encryption.choose(config.encrypt, config.secret))


async def stored(visitor, id: str | None = None) -> Any:
    """The stored content, also decrypted."""
    records, id = await records_of(visitor), id or visitor.id
    record = await records.driver.read(id)
    return None if record is None else (await records.parse(record, id)).attributes


async def store(visitor, attributes: dict, id: str = ID) -> None:
    """Put a record into the store without any limit, and take its cookie."""
    await (await records_of(visitor)).write(id, json.dumps(attributes, separators=(",", ":")), None)
    visitor.use_id(id)


def nested(depth: int, bottom: Any = 1) -> Any:
    for _ in range(depth):
        bottom = [bottom]
    return bottom


# -------------------------------------------------------------------- maxSize


async def test_a_session_too_large(visitor, page, caplog):
    """A session larger than `maxSize` is a 500 and not written; the log names its largest key, sizes and the cure."""
    page(lambda session: session.put({"small": "x", "notes": "é" * 1500}))
    page(lambda session: session.put("count", 1), "/other")
    await visitor.get("/other")
    before = await stored(visitor)
    assert (await visitor.get("/page")).code == 500
    assert await stored(visitor) == before
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(error) for error in told] == [TooLargeError]
    for part in ("maxSize allows 3000", "most is in notes, with 3012 bytes", "keep less in it"):
        assert part in str(told[0])
    assert (await visitor.get("/other")).code == 200


async def test_just_as_large_as_may_be(visitor, page):
    """`maxSize` counts the bytes of the JSON text, before it is encrypted; so many are stored."""

    def fill(session):
        session.flush()
        session.put("x", "")
        session.put("flash", {"old": [], "new": []})
        session.put("x", "é" * ((MOST - len(serializer.dumps(session.all())) - more) // 2) + "y" * more)

    more = 0
    page(fill)
    assert (await visitor.get("/page")).code == 200
    assert serializer.size_of(serializer.dumps(await stored(visitor))) in (MOST, MOST - 1)


async def test_a_merge_that_is_too_large(visitor, page):
    """Of two requests whose changes are too large together, one is a 500, and the other one's stays as it is."""
    here, everybody = [], asyncio.Event()

    async def add(session):
        here.append(session)
        session.put(f"part{len(here)}", "x" * (MOST // 2))
        if len(here) == 2:
            everybody.set()
        await everybody.wait()

    page(lambda session: None, "/begin")
    page(add)
    await visitor.get("/begin")
    answers = await asyncio.gather(visitor.get("/page"), visitor.get("/page"))
    assert sorted(answer.code for answer in answers) == [200, 500]
    assert len([key for key in await stored(visitor) if key.startswith("part")]) == 1


async def test_a_regenerated_session_too_large(visitor, page):
    """A login that makes the session too large is a 500; the old record stays, and its cookie."""

    def log_in(session):
        session.regenerate(True)
        session.put("x", "x" * MOST)

    page(lambda session: session.put("n", 1), "/begin")
    page(log_in)
    await visitor.get("/begin")
    id, before = visitor.id, await stored(visitor)
    assert (await visitor.get("/page")).code == 500
    assert visitor.id == id
    assert await stored(visitor) == before


async def test_the_record_left_behind_is_no_larger_session(visitor, new_visitor, page):
    """What a full session leaves under its old id is whole, for requests under way, though it takes some bytes more."""
    page(lambda session: session.put("x", "x" * (MOST - 130)), "/begin")
    page(lambda session: session.regenerate(True))
    page(lambda session: len(session.get("x")), "/length")
    await visitor.get("/begin")
    late = new_visitor()
    late.cookie = visitor.cookie
    assert (await visitor.get("/page")).code == 200
    left = serializer.dumps(await stored(visitor, late.id))
    assert left.startswith('{"_left"')
    assert len(left) > MOST
    assert (await late.get("/length")).body == str(MOST - 130).encode()


async def test_what_is_stored_already(visitor, page):
    """A record that is larger than `maxSize` is read, and may change as long as it gets no larger."""
    page(lambda session: len(session.get("x")), "/length")
    page(lambda session: session.put("n", 2), "/same")
    page(lambda session: session.put("n", 22), "/larger")
    page(lambda session: session.put("x", "x" * MOST), "/smaller")
    await store(visitor, {"_token": "t", "x": "x" * 2 * MOST, "n": 1, "flash": {"old": [], "new": []}})
    assert (await visitor.get("/length")).body == str(2 * MOST).encode()
    assert (await visitor.get("/same")).code == 200
    assert (await stored(visitor))["n"] == 2
    assert (await visitor.get("/larger")).code == 500
    assert (await stored(visitor))["n"] == 2
    assert (await visitor.get("/smaller")).code == 200
    assert (await visitor.get("/larger")).code == 500


async def test_in_a_transaction(visitor, page):
    """A transaction and a `save` of one's own raise, with nothing written."""

    async def work(session):
        with pytest.raises(TooLargeError):
            async with session.transaction():
                session.put("x", "x" * MOST)
        with pytest.raises(TooLargeError):
            await session.save()
        session.forget("x")
        return await session.take("token")

    page(lambda session: session.put("token", 1), "/begin")
    page(work)
    await visitor.get("/begin")
    assert (await visitor.get("/page")).body == b"1"
    assert "x" not in await stored(visitor)


async def test_in_a_websocket(app, visitor, page):
    """The same holds in a WebSocket; the stored record stays."""

    class Socket(SessionMixin, WebSocketHandler):
        async def on_message(self, message):
            try:
                async with self.session.transaction():
                    self.session.put("x", message * MOST)
            except TooLargeError as error:
                await self.write_message(str(error))

    app.add_handlers(".*", [("/socket", Socket)])
    page(lambda session: session.put("n", 1))
    await visitor.get("/page")
    before = await stored(visitor)
    socket = await visitor.websocket("/socket")
    await socket.write_message("x")
    assert "most is in x" in await socket.read_message()
    socket.close()
    assert {**await stored(visitor), "flash": None} == {**before, "flash": None}


# -------------------------------------------------------------------- indices and depth


async def test_keys_from_a_form(visitor, page):
    """8 KB of keys with high indices add a hundred times their length at most, and none past the limit."""
    keys = [f"list[{index}]" for index in [*range(90, 110), *range(9000, 9700)]]

    def put(session):
        session.put("list", [])
        for key in keys:
            with contextlib.suppress(PathError):
                session.put(key, 1)
        return len(session.get("list"))

    page(put)
    assert int((await visitor.get("/page")).body) == 110
    page(lambda session: session.put("list[10000]", 1), "/far")
    before = await stored(visitor)
    assert (await visitor.get("/far")).code == 500
    assert await stored(visitor) == before


async def test_deeper_than_may_be(visitor, page, caplog):
    """A value may be nested 64 deep; a deeper one is a 500, and the log says what to do."""
    page(lambda session: session.put("a", nested(WRITABLE_DEPTH)))
    page(lambda session: session.put("a", nested(WRITABLE_DEPTH + 1)), "/deeper")
    assert (await visitor.get("/page")).code == 200
    assert (await visitor.get("/deeper")).code == 500
    assert (await stored(visitor))["a"] == nested(WRITABLE_DEPTH)
    assert any("nested more than 64 deep" in str(record.exc_info) for record in caplog.records if record.exc_info)


async def test_what_is_stored_deeper(visitor, page):
    """What a Node program has stored deeper is read, kept while the session changes, and can be taken out."""
    page(lambda session: session.put("n", session.get("n", 0) + 1))
    page(lambda session: session.put("deep", nested(101)), "/deeper")
    page(lambda session: session.regenerate(True), "/login")
    page(lambda session: session.forget("deep"), "/out")
    page(lambda session: session.put("deep", nested(100)), "/again")
    await store(visitor, {"_token": "t", "deep": nested(100), "flash": {"old": [], "new": []}})
    for _ in range(2):
        assert (await visitor.get("/page")).code == 200
        assert (await visitor.get("/login")).code == 200
    assert (await stored(visitor))["deep"] == nested(100)
    assert (await stored(visitor))["n"] == 2
    assert (await visitor.get("/deeper")).code == 500
    assert (await visitor.get("/again")).code == 200
    assert (await visitor.get("/out")).code == 200
    assert (await visitor.get("/again")).code == 500


async def test_others_changes_to_what_is_stored_deeper(visitor, page):
    """Two requests change such a session concurrently, and nothing is lost."""
    here, everybody = [], asyncio.Event()

    async def add(session):
        here.append(session)
        session.put(f"part{len(here)}", 1)
        if len(here) == 2:
            everybody.set()
        await everybody.wait()

    page(add)
    await store(visitor, {"_token": "t", "deep": nested(100), "flash": {"old": [], "new": []}})
    answers = await asyncio.gather(visitor.get("/page"), visitor.get("/page"))
    assert [answer.code for answer in answers] == [200, 200]
    assert {"part1", "part2", "deep"} < (await stored(visitor)).keys()


async def test_the_deepest_value_is_changed_and_deleted(visitor, page):
    """A request changes the deepest value that can be stored, while another one deletes it: the change stays."""
    loaded, changed = asyncio.Event(), asyncio.Event()

    def deep(**bottom):
        value = bottom
        for _ in range(MAX_DEPTH - 1):
            value = {"a": value}
        return value

    def change(session):
        value = session.get("deep")
        while "a" in value:
            value = value["a"]
        value["new"] = 1

    async def delete(session):
        loaded.set()
        await changed.wait()
        session.forget("deep")

    page(change, "/change")
    page(delete, "/delete")
    await store(visitor, {"_token": "t", "deep": deep(n=1), "flash": {"old": [], "new": []}})
    deleting = asyncio.ensure_future(visitor.get("/delete"))
    await loaded.wait()
    assert (await visitor.get("/change")).code == 200
    changed.set()
    assert (await deleting).code == 200
    assert (await stored(visitor))["deep"] == deep(new=1)


# -------------------------------------------------------------------- threads


@pytest.fixture
def threads(monkeypatch):
    """Which steps have run in the thread of the test, and which in another."""
    ran: dict[str, set[bool]] = {}
    here = threading.get_ident()

    def note(owner, name, as_name=None):
        function = getattr(owner, name)

        def noting(*args, **options):
            ran.setdefault(as_name or name, set()).add(threading.get_ident() == here)
            return function(*args, **options)

        monkeypatch.setattr(owner, name, noting)

    note(serializer, "loads")
    note(javascript, "respell", "numbers")
    note(JsonWriter, "text", "writer")
    note(AuthenticatedEncrypter, "encrypt")
    note(AuthenticatedEncrypter, "decrypt")
    note(aside, "merge")
    note(writing, "merge")
    return ran


SHAPES = {
    "rows": lambda size: [{"id": number, "name": "x" * 20} for number in range(size // 40)],
    "numbers": lambda size: [1.5, 1.0] * (size // 7),
    "dates": lambda size: [date(2026, 11, 22)] * (size // 4 if size > 1000 else 30),  # as many as count as large
    "deep": lambda size: nested(60, [1] * (size // 2)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("size", [1000, 4 * LARGE], ids=["small", "large"])
@pytest.mark.parametrize("options", [{"encrypt": encrypt, "maxSize": 0} for encrypt in (False, True)], ids=str)
async def test_work_on_a_large_session_is_in_a_thread(visitor, page, threads, shape, size, options):
    """A small session is read, merged and written in the event loop, and a large one in a thread."""
    here, everybody = [], asyncio.Event()

    async def both(session):
        here.append(session)
        session.put(f"part{len(here)}", len(here))
        session.get("value")
        if len(here) == 2:
            everybody.set()
        await everybody.wait()

    page(lambda session: session.put("value", shape(size)), "/begin")
    page(both)
    assert (await visitor.get("/begin")).code == 200
    threads.pop("loads", None)
    answers = await asyncio.gather(visitor.get("/page"), visitor.get("/page"))
    assert [answer.code for answer in answers] == [200, 200]
    assert {"loads", "merge"} <= threads.keys()
    assert size > 1000 or "writer" not in threads or threads.pop("writer") == {True}
    if "writer" in threads:  # it begins in the loop, and gives up after so many values
        assert False in threads.pop("writer")
    assert {where for each in threads.values() for where in each} == {size == 1000}
    assert {"part1", "part2", "value"} < (await stored(visitor)).keys()


async def test_a_save_meanwhile(monkeypatch):
    """The older text that a thread writes of a large session does not undo another task's save."""
    driver = MemoryDriver(300_000)
    session = await start_session(driver)
    session.put("numbers", [1.0] * LARGE)
    await session.save()
    written, go_on, original = asyncio.Event(), asyncio.Event(), aside.run

    async def slow(*args):
        monkeypatch.setattr(aside, "run", original)
        text = await original(*args)
        written.set()
        await go_on.wait()
        return text

    monkeypatch.setattr(aside, "run", slow)
    session.put("first", 1)
    first = asyncio.ensure_future(session.save())
    await written.wait()
    session.put("second", 2)
    await session.save()
    go_on.set()
    await first
    stored = json.loads((await driver.read(session.get_id())).payload)
    assert (stored["first"], stored["second"]) == (1, 2)


async def test_the_session_changes_while_it_is_merged(monkeypatch):
    """A task's changes while a thread merges are in the result."""
    driver = MemoryDriver(300_000)
    mine = await start_session(driver)
    mine.put("list", list(range(LARGE)))
    await mine.save()
    other = await start_session(driver, mine.get_id())
    other.put("theirs", 1)
    await other.save()
    loop, original = asyncio.get_running_loop(), aside._merge_copy

    def meanwhile(*args):
        result = original(*args)
        asyncio.run_coroutine_threadsafe(change(), loop).result()
        return result

    async def change():
        mine.put("meanwhile", 1)

    monkeypatch.setattr(aside, "_merge_copy", meanwhile)
    mine.put("mine", 1)
    await mine.save()
    stored = json.loads((await driver.read(mine.get_id())).payload)
    assert (stored["theirs"], stored["mine"], stored["meanwhile"]) == (1, 1, 1)


async def test_a_programs_own_encrypter_stays_in_the_loop():
    """An encrypter that a program brings need not be fit for threads."""
    ran = set()

    class Own:
        def encrypt(self, text):
            ran.add(threading.get_ident())
            return text

        decrypt = encrypt

    from node_session.encryption import CustomEncrypter

    driver = MemoryDriver(300_000)
    session = await start_session(driver, encrypter=CustomEncrypter(Own()))
    session.put("x", "x" * LARGE)
    await session.save()
    again = await start_session(driver, session.get_id(), encrypter=CustomEncrypter(Own()))
    assert ran == {threading.get_ident()}
    assert again.get("x") == "x" * LARGE


def _containers(value: Any) -> list[Any]:
    found, pending = [], [value]
    while pending:
        each = pending.pop()
        if isinstance(each, (dict, list)):
            found.append(each)
            pending += each.values() if isinstance(each, dict) else each
    return found


@pytest.mark.gen_test(timeout=300)
@given(any_session, any_session, any_session)
def test_merged_in_a_thread(base, mine, theirs):
    """Merging in a thread gives what merging gives, in the same objects of the session."""
    copies = [copy.deepcopy(each) for each in (base, mine, theirs)]
    changes = Changes()
    changes.aged = True
    live = {id(each): number for number, each in enumerate(_containers(mine))}
    expected_live = {id(each): number for number, each in enumerate(_containers(copies[1]))}
    merge(*copies, **changes.as_arguments())
    kept = [each for each in _containers(mine)]  # noqa: C416 - so that no id is used again
    done = asyncio.run(aside.merged(serializer.dumps(base), mine, theirs, LARGE, changes))
    assert done
    assert repr(mine) == repr(copies[1])
    assert [live.get(id(each)) for each in _containers(mine)] == [
        expected_live.get(id(each)) for each in _containers(copies[1])
    ]
    assert kept


@pytest.mark.parametrize("options", [{"driver": "memory"}, {"driver": "file"}, {"driver": "slow"}], ids=str)
async def test_a_stream_of_a_large_session(app, visitor):
    """A stream with a new id is stored before its first flush, also where its text takes long to write."""

    class Stream(SessionMixin, RequestHandler):
        async def get(self):
            self.session.put("numbers", [1e-6] * 30_000)  # which JavaScript spells otherwise than orjson
            self.session.regenerate(True)
            self.write("begin, ")
            await self.flush()
            self.write("end")

    app.add_handlers(".*", [("/stream", Stream)])
    for _ in range(2):
        answer = await visitor.get("/stream")
        assert (answer.code, answer.body) == (200, b"begin, end")
        assert len((await stored(visitor))["numbers"]) == 30_000
