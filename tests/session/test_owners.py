"""Owners by hand: which text can be one, and what a session without requests, or on a driver of three methods, does."""

from __future__ import annotations

import contextlib

import pytest
from world import is_gone, make_session, start_session_of

from node_session import ConfigWarning, Device, GoneError, NodeSession, SerializationError, UnavailableError
from node_session.drivers import Driver, MemoryDriver
from node_session.loading import touch
from node_session.owners import DEVICE, Owners, make_device, owned
from node_session.rosters import Rosters
from node_session.session import work_of

STRANGE = [
    "a" * 1000,
    " ",
    "a:b|c/d\\e.f[0]",
    "owner:ann",
    "\0",
    "\n\u202e",
    "Jörg \U0001f600",
    "'; DROP TABLE sessions",
    "_left",
]


def sessions_on(driver, **options) -> NodeSession:
    NodeSession.register_handler("own", lambda config: driver)
    return NodeSession({"secret": "only-for-tests-3f1c0f5e9a7b4d2e8c6a", "driver": "own", **options})


class Plain:
    """The smallest driver: three methods."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def read(self, id):
        return self.texts.get(id)

    async def write(self, id, text):
        self.texts[id] = text

    async def destroy(self, id):
        self.texts.pop(id, None)


class Old(Driver):
    """A driver of an earlier version, whose methods take no `idle`."""

    def __init__(self) -> None:
        self.memory = MemoryDriver(300_000)

    async def read(self, id):
        return await self.memory.read(id)

    async def write(self, id, payload, version):
        return await self.memory.write(id, payload, version)

    async def touch(self, id):
        await self.memory.touch(id)

    async def destroy(self, id, version=None):
        await self.memory.destroy(id, version)

    async def gc(self, lifetime):
        return await self.memory.gc(lifetime)


DRIVERS = pytest.mark.parametrize("make", [Plain, Old, lambda: MemoryDriver(300_000)], ids=["plain", "old", "memory"])


@pytest.mark.parametrize("owner", ["", 7, True, b"ann", ["ann"], "x" * 10_240, "a\ud800", "\udc00"])
@pytest.mark.gen_test
async def test_no_owner(owner):
    """What cannot be an owner is an error that quotes it, cut, and says what can; the session stays as it was."""
    sessions = sessions_on(MemoryDriver(0))
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    device = session.get(DEVICE)
    for refuse in (sessions.devices, sessions.log_out):
        with pytest.raises(ValueError, match="an owner is text"):
            await refuse(owner)
    with pytest.raises(ValueError, match="an owner is text") as caught:
        session.set_owner(owner)
    assert len(str(caught.value)) < 250
    assert (session.owner, session.get(DEVICE)) == ("ann", device)


@pytest.mark.parametrize("owner", STRANGE, ids=ascii)
@pytest.mark.parametrize("options", [{}, {"encrypt": True, "hashIds": True}], ids=str)
@pytest.mark.gen_test
async def test_strange_owners(owner, options):
    """Any text is an owner of its own."""
    sessions = sessions_on(MemoryDriver(300_000), **options)
    for each in (owner, "ann"):
        session = await start_session_of(sessions, None)
        session.set_owner(each)
        await session.save()
    assert [each.owner for each in await sessions.devices(owner)] == [owner]
    assert await sessions.log_out(owner) == 1
    assert len(await sessions.devices("ann")) == 1


def test_ids_of_lists():
    """A list's id follows from secret and owner, and is different for any other of either."""
    ids = {id for secret in ("a", "b") for owner in ("ann", "ann ", "bob") for id in Owners([secret]).ids(owner)}
    assert len(ids) == 6 and all(len(id) == 40 for id in ids)
    assert Owners(["a", "b", "a"]).ids("ann") == [*Owners(["a"]).ids("ann"), *Owners(["b"]).ids("ann")]
    assert Owners(["a"]).ids("ann") == ["AcyXxzv227MJjfnP8ItosA8uljnHwMga85ER2b7G"]


@pytest.mark.parametrize(
    "attributes", [{}, {"_owner": "ann"}, {"_owner": "ann", "_device": "x"}, {"_device": make_device()}]
)
def test_no_devices(attributes):
    """Keys that something else has set make no owner."""
    assert owned(attributes) is None
    assert owned({**attributes, "_owner": 7, "_device": make_device()}) is None


@DRIVERS
@pytest.mark.gen_test
async def test_drivers(make):
    """Every driver lists devices, and logs them out, also against a request under way."""
    sessions = sessions_on(make())
    one, other, slow = [await start_session_of(sessions, None) for _ in range(3)]
    for session in (one, other, slow):
        session.set_owner("ann")
        await session.save()
    again = await start_session_of(sessions, one.get_id())
    again.regenerate(True)
    await again.save()
    devices = await sessions.devices("ann", again)
    assert {each.id: each.is_this for each in devices} == {
        again.get(DEVICE): True,
        other.get(DEVICE): False,
        slow.get(DEVICE): False,
    }
    under_way = await start_session_of(sessions, slow.get_id())
    assert await sessions.log_out("ann", except_=again) == 2
    under_way.put("n", 1)
    await under_way.save()
    assert is_gone(under_way)
    assert (await start_session_of(sessions, slow.get_id())).owner is None
    assert (await start_session_of(sessions, again.get_id())).owner == "ann"
    assert [each.is_this for each in await sessions.devices("ann", again)] == [True]
    await sessions.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("how", ["take", "transaction", "reload"])
@pytest.mark.parametrize("make", [Plain, lambda: MemoryDriver(300_000)], ids=["plain", "memory"])
async def test_log_out_right_before_a_write(make, how):
    """On a driver without versions, too, no write that was on its way brings back a session that was logged out."""
    driver = make()
    sessions = sessions_on(driver)
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    session["code"] = 7
    await session.save()
    under_way, write = await start_session_of(sessions, session.get_id()), driver.write

    async def late(*args, **more):
        driver.write = write
        await sessions.log_out("ann")
        return await write(*args, **more)

    driver.write = late
    with contextlib.suppress(GoneError):
        if how == "take":
            await under_way.take("code")
        elif how == "transaction":
            async with under_way.transaction():
                under_way["n"] = 1
        else:
            await under_way.reload()
            under_way["n"] = 1
            await under_way.save()
    assert (await start_session_of(sessions, session.get_id())).owner is None
    assert is_gone(under_way)
    await sessions.close()


@DRIVERS
@pytest.mark.gen_test
async def test_most_devices(make):
    """Every driver keeps to `maxDevices`."""
    sessions = sessions_on(make(), maxDevices=2)
    for _ in range(5):
        session = await start_session_of(sessions, None)
        session.set_owner("ann")
        await session.save()
    devices = await sessions.devices("ann", session)
    assert len(devices) == 2 and any(each.is_this for each in devices)


@pytest.mark.gen_test
async def test_this_session():
    """The session of the request itself can be ended like any other; its later changes are not saved."""
    sessions = sessions_on(MemoryDriver(0), lifetime=300_000)
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    await session.save()
    (device,) = await sessions.devices("ann", session)
    assert device.is_this
    assert await sessions.end(device)
    session.put("n", 1)
    await session.save()
    assert is_gone(session)
    session.regenerate(True)
    session.set_owner("ann")
    await session.save()
    assert [each.id == device.id for each in await sessions.devices("ann")] == [False]


@pytest.mark.gen_test
async def test_no_device():
    """`end` takes a device, and both others a session."""
    sessions = sessions_on(MemoryDriver(0))
    fields = dict.fromkeys(Device.__dataclass_fields__)
    for wrong in (None, "id", Device(**fields), Device(**{**fields, "id": "x", "owner": "ann"})):
        with pytest.raises(TypeError, match="takes a device"):
            await sessions.end(wrong)
    with pytest.raises(TypeError, match="takes a session"):
        await sessions.devices("ann", "session")
    with pytest.raises(TypeError, match="takes a session"):
        await sessions.log_out("ann", except_={})


@pytest.mark.gen_test
async def test_owner_set_twice():
    """Within a request the last owner counts, and the same one again changes nothing."""
    sessions = sessions_on(MemoryDriver(300_000))
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    session.set_owner("bob")
    device = session.get(DEVICE)
    session.set_owner("bob")
    await session.save()
    assert (session.owner, session.get(DEVICE)) == ("bob", device)
    assert [len(await sessions.devices(each)) for each in ("ann", "bob")] == [0, 1]
    session.set_owner(None)
    session.set_owner(None)
    await session.save()
    assert session.owner is None
    assert "_owner" not in session and "_device" not in session
    assert await sessions.devices("bob") == []


@pytest.mark.parametrize("options", [{}, {"encrypt": True, "hashIds": True}], ids=str)
@pytest.mark.gen_test
async def test_another_owner_under_the_same_id(options):
    """A log-out of the owner before leaves a session that has another one by now, also if nobody can read it."""
    sessions = sessions_on(MemoryDriver(300_000), **options)
    session = await start_session_of(sessions, None)
    for owner in ("ann", "bob"):
        session.set_owner(owner)
        await session.save()
    assert await sessions.log_out("ann") == 0
    assert (await start_session_of(sessions, session.get_id())).owner == "bob"
    assert len(await sessions.devices("bob")) == 1


@pytest.mark.gen_test
async def test_list_where_nothing_expires():
    """With lifetime 0, the list of a user in daily use is no old record."""
    now = 0.0
    driver = MemoryDriver(0, clock=lambda: now)
    with pytest.warns(ConfigWarning, match="for ever"):
        sessions = sessions_on(driver, lifetime=0)
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    await session.save()
    now += 100 * 24 * 60 * 60
    sessions._records.made.owners.recent.clear()  # 15 seconds later
    again = work_of(await start_session_of(sessions, session.get_id()))
    assert again.wants_touch
    await touch(again)
    assert [(await driver.read(id)).idle for id in driver._records] == [0, 0]
    assert len(driver) == 2


@pytest.mark.gen_test
async def test_an_undone_change():
    """A transaction that is undone takes no device out of the list, and enters none."""
    sessions = sessions_on(MemoryDriver(300_000))
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    await session.save()
    with pytest.raises(ZeroDivisionError):
        async with session.transaction():
            session.set_owner("bob")
            raise ZeroDivisionError
    session.put("n", 1)
    await session.save()
    assert [len(await sessions.devices(each)) for each in ("ann", "bob")] == [1, 0]
    await sessions.log_out("ann")
    assert (await start_session_of(sessions, session.get_id())).owner is None


@pytest.mark.gen_test
async def test_reserved_key():
    """A session of the form of a list cannot be stored."""
    session = make_session(MemoryDriver(0), save_uninitialized=False)
    await session.start()
    work_of(session).content.ages_flash = False  # as in a WebSocket; otherwise it has lists of flash data as well
    session.put("_devices", {"list": {}})
    with pytest.raises(SerializationError, match="'_devices' is reserved"):
        await session.save()


@pytest.mark.gen_test
async def test_many_ids_and_devices():
    """Old ids and dead devices do not pile up in the list."""
    sessions = sessions_on(MemoryDriver(300_000))
    for _ in range(20):
        session = await start_session_of(sessions, None)
        session.set_owner("ann")
        await session.save()
        await (await sessions.driver()).destroy(session.get_id())
    records = await sessions._records.get()
    rosters = Rosters(records)
    (roster,) = await rosters.read("ann")
    assert len(roster.entries) == 20  # younger than a minute: their logins may be under way
    for entry in roster.entries.values():
        entry.at -= 100_000
    await rosters._write(roster)
    for _ in range(4):
        session = await start_session_of(sessions, None)
        session.set_owner("ann")
        await session.save()
    (roster,) = await rosters.read("ann")
    assert len(roster.entries) <= 4
    for _ in range(100):
        session.regenerate(True)
        await session.save()
        for id in list(records.driver._records):
            if id != session.get_id() and id != roster.id:
                records.driver._records.pop(id)  # as the end of the grace does
    (roster,) = await rosters.read("ann")
    assert len(roster.entries[session.get(DEVICE)].ids) <= 8


class Counting(MemoryDriver):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__(300_000)
        self.asked: list[str] = []

    async def read(self, id):
        self.asked.append("read")
        return await super().read(id)

    async def write(self, id, payload, version, *, idle=0):
        self.asked.append("write")
        return await super().write(id, payload, version, idle=idle)

    async def touch(self, id, *, idle=0):
        self.asked.append("touch")
        await super().touch(id, idle=idle)

    async def confirm(self, id, version, *, idle=0):
        self.asked.append("confirm")
        return await super().confirm(id, version, idle=idle)

    async def destroy(self, id, version=None):
        self.asked.append("destroy")
        await super().destroy(id, version)

    def taken(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


@pytest.mark.gen_test
async def test_costs():
    """What owners ask of the store, beyond what the sessions do without; a save asks nothing more."""
    driver = Counting()
    sessions = sessions_on(driver)
    session = await start_session_of(sessions, None)
    session.set_owner("ann")
    await session.save()
    assert driver.taken() == ["read", "write", "write", "read"]  # without an owner: write
    session.put("n", 1)
    await session.save()
    assert driver.taken() == ["write"]
    session.regenerate(True)
    await session.save()
    assert driver.taken() == ["read", "read", "write", "write", "read", "write"]  # without: read, write, write
    await sessions.devices("ann")
    assert driver.taken() == ["read", "read", "read"]  # the list, and two ids, one of which is in its grace
    work = work_of(session)
    work.active_at -= 100
    await touch(work)
    assert driver.taken() == ["confirm"]
    sessions._records.made.owners.recent.clear()  # 15 seconds later
    await touch(work)
    assert driver.taken() == ["confirm", "read"]
    assert await sessions.log_out("ann") == 1
    assert sorted(driver.taken()) == ["destroy"] * 2 + ["read"] * 5 + ["write"] * 2


@pytest.mark.gen_test
async def test_unverified(monkeypatch):
    """If a login cannot be verified, its old record is left as it was, and the next save verifies it."""
    driver = Counting()
    sessions = sessions_on(driver)
    first = await start_session_of(sessions, None)
    first.put("cart", [1])
    await first.save()
    session = await start_session_of(sessions, first.get_id())
    session.regenerate(True)
    session.set_owner("ann")
    read, reads = driver.read, 0

    async def fail_at_last(id):
        nonlocal reads
        reads += 1
        if reads == 3:  # the old record, the list, and the list again
            raise UnavailableError("the store is down")
        return await read(id)

    monkeypatch.setattr(driver, "read", fail_at_last)
    with pytest.raises(UnavailableError):
        await session.save()
    assert (await start_session_of(sessions, first.get_id())).get("cart") == [1]
    await sessions.log_out("ann")
    await session.save()
    assert is_gone(session)
    assert (await start_session_of(sessions, first.get_id())).get("cart") == [1]
