"""The devices of a user: listed, logged out one by one or all, and at most so many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from stores import STORES, another_program, settle
from tornado.web import RequestHandler
from visitors import OLD_SECRET, SECRET
from world import start_session_of

from node_session import SessionMixin, UnavailableError


@pytest.fixture(params=STORES, ids=lambda store: store["driver"])
def config(config, request):
    """Each test runs on three stores."""
    return {**config, **request.param}


@pytest.fixture
def options(request):
    return getattr(request, "param", {})


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Login(SessionMixin, RequestHandler):
    """Logs in as the owner in the query; `destroy` says how the session is regenerated, if at all."""

    def get(self):
        destroy = self.get_argument("destroy", "1")
        if destroy != "no":
            self.session.regenerate(destroy == "1")
        self.session.set_owner(self.get_argument("owner", "ann"))


class Page(SessionMixin, RequestHandler):
    def get(self):
        self.write(json.dumps([self.session.owner, self.session.get("seen", 0)]))
        if self.get_argument("change", ""):
            self.session.increment("seen")


class Regenerate(SessionMixin, RequestHandler):
    def get(self):
        self.session.regenerate(self.get_argument("destroy") == "1")


class Logout(SessionMixin, RequestHandler):
    def get(self):
        if self.get_argument("owner", ""):
            self.session.set_owner(None)
        else:
            self.session.invalidate()


class Everywhere(SessionMixin, RequestHandler):
    async def get(self):
        kept = self.session if self.get_argument("others", "") else None
        self.write(str(await self.node_session.log_out("ann", except_=kept)))


@pytest.fixture
def app(app):
    app.add_handlers(
        ".*",
        [
            ("/login", Login),
            ("/page", Page),
            ("/regenerate", Regenerate),
            ("/logout", Logout),
            ("/everywhere", Everywhere),
        ],
    )
    return app


async def owner_of(visitor):
    """The owner that the next page of a visitor shows."""
    return json.loads((await visitor.get("/page")).body)[0]


@pytest.mark.gen_test
async def test_devices(new_visitor, sessions):
    """Each login is a device, with its browser and address, and one of them is this."""
    one, other = new_visitor(), new_visitor()
    await one.get("/login", headers={"User-Agent": FIREFOX})
    await other.get("/login", headers={"User-Agent": "curl/8"})
    async with one.session() as session:
        devices = await sessions.devices("ann", session)
    assert {(each.user_agent, each.is_this) for each in devices} == {(FIREFOX, True), ("curl/8", False)}
    assert {each.address for each in devices} == {"127.0.0.1"}
    assert all(each.began <= each.used and each.owner == "ann" for each in devices)
    assert await sessions.devices("bob") == []


@pytest.mark.gen_test
async def test_log_out_everywhere(new_visitor, sessions):
    """After `log_out` no request has one of the sessions."""
    visitors = [new_visitor() for _ in range(3)]
    for visitor in visitors:
        await visitor.get("/login")
    assert await sessions.log_out("ann") == 3
    assert await sessions.devices("ann") == []
    assert [await owner_of(visitor) for visitor in visitors] == [None] * 3
    assert await sessions.log_out("ann") == 0


@pytest.mark.gen_test
async def test_log_out_others(new_visitor, sessions):
    """With `except_`, this session stays logged in, also under its next id."""
    one, other = new_visitor(), new_visitor()
    await one.get("/login")
    await other.get("/login")
    assert (await one.get("/everywhere?others=1")).body == b"1"
    assert [await owner_of(one), await owner_of(other)] == ["ann", None]
    await one.get("/regenerate?destroy=1")
    assert await owner_of(one) == "ann"
    assert len(await sessions.devices("ann")) == 1


@pytest.mark.gen_test
async def test_end(new_visitor, sessions):
    """One device is logged out, and the others stay."""
    one, other = new_visitor(), new_visitor()
    await one.get("/login", headers={"User-Agent": "one"})
    await other.get("/login", headers={"User-Agent": "other"})
    (device,) = [each for each in await sessions.devices("ann") if each.user_agent == "other"]
    assert await sessions.end(device)
    assert [await owner_of(one), await owner_of(other)] == ["ann", None]
    assert not await sessions.end(device)
    assert [each.user_agent for each in await sessions.devices("ann")] == ["one"]


@pytest.mark.gen_test
@pytest.mark.parametrize("destroy", ["0", "1"])
async def test_regenerate_keeps_the_device(new_visitor, sessions, destroy):
    """A session with a new id is the same device; a log-out ends it, and what it has left under old ids."""
    visitor, old = new_visitor(), new_visitor()
    await visitor.get("/login")
    (before,) = await sessions.devices("ann")
    old.cookie = visitor.cookie
    for _ in range(20):
        await visitor.get(f"/regenerate?destroy={destroy}")
    (after,) = await sessions.devices("ann")
    assert (after.id, after.began) == (before.id, before.began)
    assert await owner_of(old) == "ann"  # the old record, or what the grace lets it read
    assert await sessions.log_out("ann") == 1
    assert [await owner_of(visitor), await owner_of(old)] == [None, None]


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["", "?owner=none"])
async def test_log_out_of_this_device(new_visitor, sessions, how):
    """`invalidate` and `set_owner(None)` take the device out of the list."""
    visitor, other = new_visitor(), new_visitor()
    await visitor.get("/login")
    await other.get("/login")
    await visitor.get(f"/logout{how}")
    assert await owner_of(visitor) is None
    assert len(await sessions.devices("ann")) == 1
    assert await owner_of(other) == "ann"


@pytest.mark.gen_test
@pytest.mark.parametrize("destroy", ["no", "0", "1"])
async def test_another_owner(new_visitor, sessions, destroy):
    """A session that gets another owner is a device of that one only."""
    visitor = new_visitor()
    await visitor.get("/login")
    await visitor.get(f"/login?owner=bob&destroy={destroy}")
    assert await owner_of(visitor) == "bob"
    assert await sessions.devices("ann") == []
    assert len(await sessions.devices("bob")) == 1
    await sessions.log_out("ann")
    assert await owner_of(visitor) == "bob"


@pytest.mark.gen_test
async def test_dead_devices_disappear(new_visitor, sessions, pass_time, monkeypatch):
    """A device whose session has expired is no longer listed, nor kept in the list."""
    monkeypatch.setattr("node_session.devices._YOUNG", 0)
    one, other = new_visitor(), new_visitor()
    await one.get("/login")
    pass_time(200)
    await other.get("/login")
    await settle(sessions)
    pass_time(200)
    await asyncio.sleep(0.002)
    assert len(await sessions.devices("ann")) == 1
    record = await (await sessions.driver()).read(list_id(sessions, "ann"))
    assert len(json.loads(record.payload)["_devices"]["list"]) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"lifetime": 60_000}], indirect=True)
async def test_the_list_lives_as_long_as_its_sessions(new_visitor, sessions, pass_time):
    """A list does not expire before a session that is in use, be it read or changed."""
    reader, writer = new_visitor(), new_visitor()
    await reader.get("/login")
    await writer.get("/login")
    for _ in range(6):
        pass_time(40)
        assert await (await sessions.driver()).read(list_id(sessions, "ann")) is not None
        sessions._records.made.owners.recent.clear()  # which is by a clock that does not pass
        await reader.get("/page")
        await writer.get("/page?change=1")
        await settle(sessions)
    assert len(await sessions.devices("ann")) == 2
    assert await sessions.log_out("ann") == 2


@pytest.mark.gen_test
async def test_the_list_is_no_session(visitor, sessions, caplog):
    """A cookie of the list's own id shows nothing of it, and begins a fresh session."""
    await visitor.get("/login")
    one = list_id(sessions, "ann")
    visitor.use_id(one)
    assert await owner_of(visitor) is None
    assert visitor.id != one
    assert len(await sessions.devices("ann")) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", None),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("x" * 10_000, "x" * 300),
        ("J\xf6rg\t\x85\xa0\u200e".encode().decode("latin-1"), None),
    ],
)
async def test_forged_browsers(visitor, sessions, said, told):
    """What a client says about itself is cut, and its control characters are replaced; nothing else is done to it."""
    await visitor.get(
        "/login", headers={} if said is None else {"User-Agent": said}, user_agent="" if not said else None
    )
    (device,) = await sessions.devices("ann")
    if "rg" in said:
        assert device.user_agent.isprintable() and device.user_agent.startswith("J")
    else:
        assert device.user_agent == told


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"deviceDetails": []}, {"deviceDetails": ["address"]}], indirect=True)
async def test_no_details(visitor, sessions, options):
    """The address and the browser can be switched off."""
    await visitor.get("/login", headers={"User-Agent": FIREFOX})
    (device,) = await sessions.devices("ann")
    assert device.user_agent is None
    assert device.address == ("127.0.0.1" if options["deviceDetails"] else None)


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"maxDevices": 2}], indirect=True)
async def test_most_devices(new_visitor, sessions, pass_time):
    """A login above `maxDevices` ends the longest unused device, whichever began first."""
    first, second, third = new_visitor(), new_visitor(), new_visitor()
    await first.get("/login")
    pass_time(2)
    await second.get("/login")
    pass_time(40)
    await first.get("/page?change=1")
    await third.get("/login")
    assert [await owner_of(each) for each in (first, second, third)] == ["ann", None, "ann"]
    assert len(await sessions.devices("ann")) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("options", [{"maxDevices": 3}], indirect=True)
async def test_most_devices_with_concurrent_logins(new_visitor, sessions):
    """Of concurrent logins, no more than `maxDevices` stay."""
    visitors = [new_visitor() for _ in range(8)]
    await asyncio.gather(*(visitor.get("/login") for visitor in visitors))
    owners = [await owner_of(visitor) for visitor in visitors]
    assert 1 <= owners.count("ann") <= 3
    assert len(await sessions.devices("ann")) == owners.count("ann")


@pytest.mark.gen_test
async def test_two_logins_at_the_same_moment(new_visitor, sessions):
    """A second click on the login button leaves one device, whose cookie is the browser's last one."""
    visitor = new_visitor()
    await visitor.get("/page?change=1")
    await asyncio.gather(visitor.get("/login"), visitor.get("/login"))
    assert await owner_of(visitor) == "ann"
    assert len(await sessions.devices("ann")) == 1


@pytest.mark.gen_test
async def test_a_slow_request(new_visitor, sessions, app):
    """A request under way during a log-out brings nothing back, and gets no cookie."""
    reached, opened = asyncio.Event(), asyncio.Event()

    class Slow(SessionMixin, RequestHandler):
        async def get(self):
            reached.set()
            await opened.wait()
            self.session.put("slow", True)
            if self.get_argument("regenerate", ""):
                self.session.regenerate(True)

    app.add_handlers(".*", [("/slow", Slow)])
    for path in ("/slow", "/slow?regenerate=1"):
        visitor = new_visitor()
        await visitor.get("/login")
        slow = asyncio.ensure_future(visitor.get(path))
        await reached.wait()
        assert await sessions.log_out("ann") == 1
        opened.set()
        assert "Set-Cookie" not in (await slow).headers
        assert await owner_of(visitor) is None
        assert await sessions.devices("ann") == []
        reached.clear()
        opened.clear()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "options", [{"hashIds": True}, {"encrypt": True}, {"hashIds": True, "encrypt": True}], indirect=True
)
async def test_options_of_the_store(new_visitor, sessions):
    """Encrypted records and hashed ids change nothing, and with `hashIds` the list has hashes only."""
    one, other = new_visitor(), new_visitor()
    await one.get("/login")
    await one.get("/regenerate?destroy=1")
    await other.get("/login")
    texts = await texts_of(sessions)
    assert not sessions.config.hash_ids or not any(one.id in text or other.id in text for text in texts)
    assert not sessions.config.encrypt or not any("ann" in text for text in texts)
    assert len(await sessions.devices("ann")) == 2
    await one.get("/logout")
    assert len(await sessions.devices("ann")) == 1
    assert await sessions.log_out("ann") == 1
    assert [await owner_of(one), await owner_of(other)] == [None, None]


@pytest.mark.gen_test
async def test_a_new_secret(new_visitor, sessions, config):
    """A program with a new secret finds the devices of the old one, and that one finds those of the new."""
    visitor = new_visitor()
    await visitor.get("/login")
    new = await another_program(sessions, config, secret=[OLD_SECRET, SECRET])
    old = await another_program(sessions, config, secret=[SECRET, OLD_SECRET])
    by_new = await start_session_of(new, None)
    by_new.set_owner("ann")
    await by_new.save()
    assert len(await new.devices("ann")) == len(await old.devices("ann")) == 2
    moved = await start_session_of(new, visitor.id)
    moved.regenerate(True)
    await moved.save()
    assert len(await new.devices("ann")) == len(await old.devices("ann")) == 2
    assert await old.log_out("ann") == 2
    assert await new.devices("ann") == []


@pytest.mark.gen_test
async def test_the_original_changes_ids(new_visitor, sessions, monkeypatch):
    """A session whose id the npm original has changed is the same device when it is renewed; a log-out ends it."""
    monkeypatch.setattr("node_session.devices._YOUNG", 0)
    visitor = new_visitor()
    await visitor.get("/login")
    driver, id = await sessions.driver(), "N" * 40
    (before,) = await sessions.devices("ann")
    await driver.write(id, (await driver.read(visitor.id)).payload, None)
    await driver.destroy(visitor.id)
    visitor.use_id(id)
    await visitor.get("/page?change=1")  # this process has not yet seen this id
    (after,) = await sessions.devices("ann")
    assert after.id == before.id
    await sessions.log_out("ann")
    assert await owner_of(visitor) is None


@pytest.mark.gen_test
async def test_the_original_destroys(visitor, sessions, monkeypatch):
    """A device whose session the npm original has destroyed disappears."""
    monkeypatch.setattr("node_session.devices._YOUNG", 0)
    await visitor.get("/login")
    await (await sessions.driver()).destroy(visitor.id)
    await asyncio.sleep(0.002)
    assert await sessions.devices("ann") == []


@pytest.mark.gen_test
async def test_a_lost_list(new_visitor, sessions):
    """If the list is lost, sessions enter themselves again when they are used; but not those that a log-out meant."""
    visitor = new_visitor()
    await visitor.get("/login")
    driver, one = await sessions.driver(), list_id(sessions, "ann")
    await driver.destroy(one)
    sessions._records.made.owners.recent.clear()  # as in another process
    await visitor.get("/page?change=1")
    assert len(await sessions.devices("ann")) == 1
    await driver.destroy(one)
    async with visitor.session() as session:
        assert await sessions.log_out("ann", except_=session) == 0
    sessions._records.made.owners.recent.clear()
    await visitor.get("/page?change=1")
    assert await owner_of(visitor) == "ann"
    await driver.destroy(one)
    assert await sessions.log_out("ann") == 0
    sessions._records.made.owners.recent.clear()
    await visitor.get("/page?change=1")
    assert await owner_of(visitor) is None
    assert await sessions.devices("ann") == []


@pytest.mark.gen_test
@pytest.mark.parametrize("text", ["{", '{"_devices":7}', '{"_devices":{"list":{"x":1}}}', '{"_token":"x"}', "[]"])
async def test_a_damaged_list(new_visitor, sessions, text):
    """A list that is damaged, or something else, is replaced at the next login."""
    first, second = new_visitor(), new_visitor()
    await first.get("/login")
    driver, one = await sessions.driver(), list_id(sessions, "ann")
    await driver.write(one, text, (await driver.read(one)).version)
    assert await sessions.devices("ann") == []
    await second.get("/login")
    assert len(await sessions.devices("ann")) == 1
    assert [await owner_of(first), await owner_of(second)] == ["ann", "ann"]


@pytest.mark.gen_test
async def test_a_list_that_is_no_text(new_visitor, sessions, config):
    """So is one of bytes that are no text."""
    first, second = new_visitor(), new_visitor()
    await first.get("/login")
    one = list_id(sessions, "ann")
    if config["driver"] == "file":
        (Path(config["files"]) / one).write_bytes(b"\xff\xfe")
    elif config["driver"] == "database":
        with contextlib.closing(sqlite3.connect(f"{config['files']}.sqlite")) as connection, connection:
            connection.execute("UPDATE sessions SET payload = x'fffe' WHERE id = ?", (one,))
    await second.get("/login")
    assert any(device.owner == "ann" for device in await sessions.devices("ann"))
    assert await owner_of(second) == "ann"


@pytest.mark.gen_test
async def test_a_login_that_cannot_be_verified(visitor, sessions, monkeypatch, caplog):
    """If the store fails after the write of a login, the browser keeps its old cookie, and its old session."""
    await visitor.get("/page?change=1")
    driver, before = await sessions.driver(), visitor.cookie
    await driver.read(visitor.id)
    read, written = driver.read, []
    write = driver.write

    async def note(*args, **options):
        written.append(args[0])
        return await write(*args, **options)

    async def fail(id):
        if len(written) == 2:  # the list and the session
            raise UnavailableError("the store is down")
        return await read(id)

    with monkeypatch.context() as patches:
        patches.setattr(driver, "write", note)
        patches.setattr(driver, "read", fail)
        answer = await visitor.get("/login")
    assert (answer.code, visitor.cookie) == (503, before)
    assert json.loads((await visitor.get("/page")).body) == [None, 1]
    await visitor.get("/login")
    assert len(await sessions.devices("ann")) == 2  # one of which no cookie leads to
    assert await sessions.log_out("ann") == 2


@pytest.mark.gen_test
async def test_a_store_that_is_down(new_visitor, sessions, monkeypatch, caplog):
    """If the store is down during a log-out or a login, the answer is a 503, and a second try succeeds."""
    one, other = new_visitor(), new_visitor()
    await one.get("/login")
    driver = await sessions.driver()

    async def fail(*args, **options):
        raise UnavailableError("the store is down")

    with monkeypatch.context() as patches:
        patches.setattr(driver, "destroy", fail)
        assert (await other.get("/everywhere")).code == 503
    with monkeypatch.context() as patches:
        patches.setattr(driver, "write", fail)
        assert (await other.get("/login")).code == 503
    assert await owner_of(other) is None
    assert (await other.get("/everywhere")).body == b"1"
    assert await owner_of(one) is None


async def texts_of(sessions):
    driver = await sessions.driver()
    return [entry.id + entry.payload async for entry in driver.scan()]


def list_id(sessions, owner):
    return sessions._records.made.owners.ids(owner)[0]
