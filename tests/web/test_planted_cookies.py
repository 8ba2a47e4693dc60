"""Cookies that somebody else has planted, from a sister domain for example, against the visitor's own."""

from __future__ import annotations

import asyncio
import json

import pytest
from stores import STORES, another_program
from tornado.iostream import IOStream
from tornado.tcpclient import TCPClient
from tornado.web import RequestHandler
from visitors import OLD_SECRET, SECRET
from world import is_gone, start_session, start_session_of

from node_session import NodeSession, Session, SessionMixin, UnreadableError, cookies, ids
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.drivers import MemoryDriver

pytestmark = pytest.mark.gen_test

HOST = "__Host-node_session"
TOGETHER = 16  # cookies whose sessions are looked up concurrently
BEHIND_A_PROXY = {"secure": True, "trustProxy": "loopback"}


class Whose(SessionMixin, RequestHandler):
    """Says whose session it is."""

    def get(self):
        self.write(self.session.get("name", "nobody"))


@pytest.fixture
def options(driver, more):
    return {**driver, **more}


@pytest.fixture
def more():
    return {}


@pytest.fixture
def driver():
    return {}


def sign(sessions: NodeSession, id: str) -> str:
    """The value of a cookie that leads to the session with this id."""
    config = sessions.config
    return cookies.sign(id, config.secret[0], config.cookie if config.bind_name else "")


async def store(sessions: NodeSession, name: str) -> str:
    """Store a session; gives its cookie's value."""
    id = ids.generate()
    await (await sessions.driver()).write(id, json.dumps({"_token": "t", "name": name}), None)
    return sign(sessions, id)


async def dead(sessions: NodeSession, count: int) -> list[str]:
    """The cookies of sessions that are gone."""
    return [sign(sessions, ids.generate()) for _ in range(count)]


async def ask(port: int, *headers: bytes) -> tuple[int, str, str | None]:
    """Send a request with these Cookie headers, byte for byte; gives status, body and the cookie of the response."""
    stream: IOStream = await TCPClient().connect("127.0.0.1", port)
    lines = [b"GET / HTTP/1.1", b"Host: x", b"X-Forwarded-Proto: https", b"Connection: close"]
    await stream.write(b"\r\n".join([*lines, *(b"Cookie: " + header for header in headers), b"", b""]))
    head, _, body = (await stream.read_until_close()).decode("latin1").partition("\r\n\r\n")
    set_cookie = [line.partition("=")[2] for line in head.split("\r\n") if line.startswith("Set-Cookie: ")]
    return int(head.split()[1]), body, set_cookie[0].partition(";")[0] if set_cookie else None


@pytest.fixture
def port(app, http_server, http_port):
    app.add_handlers(".*", [("/", Whose)])
    return http_port


# -------------------------------------------------------------------- names that only look like ours

AROUND = [b"\xa0", b"\x85", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\xa0 \xa0", b"\t\x85"]
UTF_8 = ["\xa0".encode(), "\x85".encode(), "\u2003".encode(), "\u2028".encode(), "\u3000".encode(), "\ufeff".encode()]


@pytest.mark.parametrize("driver", STORES, ids=str)
@pytest.mark.parametrize("more", [{"cookie": HOST, **BEHIND_A_PROXY}], ids=[""])
@pytest.mark.parametrize("around", [*AROUND, *UTF_8], ids=repr)
async def test_other_names(sessions, port, around):
    """A name with anything but space and tab around it is another cookie's: it neither hides nor replaces ours."""
    mine, planted = [(await store(sessions, name)).encode() for name in ("victim", "attacker")]
    name = HOST.encode()
    for other in (around + name, name + around, around + name + around, b" " + around + b"\t" + name):
        pairs = other + b"=" + planted, name + b"=" + mine
        for headers in (
            [b"; ".join(pairs)],
            [b";".join(reversed(pairs))],
            [b"a=1; " + pairs[0] + b"; b=2; " + pairs[1]],
            pairs,  # a header each: Tornado joins them by a comma
            [pairs[0] + b"," + pairs[0], pairs[1]],
        ):
            status, body, cookie = await ask(port, *headers)
            assert status == 400 or (status, body, cookie) == (200, "victim", mine.decode())  # 400: Tornado's own
        for headers in ([pairs[0]], [b"a=1; " + pairs[0]], [pairs[0] + b"; a=1"], [b"a=1", pairs[0]]):
            status, body, cookie = await ask(port, *headers)
            assert status == 400 or (status, body) == (200, "nobody")
            assert cookie is None or cookie.encode() not in (mine, planted)


@pytest.mark.parametrize("more", [{"cookie": HOST, **BEHIND_A_PROXY}], ids=[""])
async def test_our_name_in_other_places(sessions, port):
    """Our name within another cookie's value, in another case, quoted or percent-encoded is not ours."""
    planted = (await store(sessions, "attacker")).encode()
    name = HOST.encode()
    for header in (
        b"x=1," + name + b"=" + planted,
        b"=" + name + b"=" + planted,
        b'x="; ' + name.lower() + b"=" + planted + b'"',
        name.upper() + b"=" + planted,
        b'"' + name + b'"=' + planted,
        name.replace(b"_", b"%5F") + b"=" + planted,
        name + b"=\xa0" + planted,
        name + b"=" + planted + b"\x85",
        name + b"=%20" + planted,
        name + b'="' + planted + b'%0b"',
    ):
        assert (await ask(port, header))[1] == "nobody", header


@pytest.mark.parametrize("more", [{"cookie": HOST, **BEHIND_A_PROXY}], ids=[""])
async def test_our_name_with_blanks(sessions, port):
    """Space and tab around name and value are no part of them, in one header or in several."""
    mine = (await store(sessions, "victim")).encode()
    name = HOST.encode()
    for headers in (
        [b"a=1;" + name + b"=" + mine],
        [b"a=1; \t" + name + b" = \t" + mine + b"\t ;b=2"],
        [b"a=1", name + b"=" + mine, b"b=2"],
        [b"a=1,2", b" \t" + name + b'="' + mine + b'"'],
    ):
        assert (await ask(port, *headers))[1] == "victim"


# -------------------------------------------------------------------- cookies of dead sessions


@pytest.mark.parametrize("driver", STORES, ids=str)
@pytest.mark.parametrize("count", [1, 4, 170, 600])
async def test_dead_sessions_hide_no_live_one(sessions, port, count):
    """However many cookies of dead sessions come before, between or behind, the visitor's own counts and is kept."""
    mine, planted = await store(sessions, "victim"), await dead(sessions, count)
    for place in {0, count // 2, count}:
        values = [*planted[:place], mine, *planted[place:]]
        status, body, cookie = await ask(port, "; ".join(f"node_session={value}" for value in values).encode())
        assert (status, body, cookie) == (200, "victim", mine)


@pytest.mark.parametrize("driver", STORES, ids=str)
async def test_sessions_that_have_moved_on_hide_no_live_one(sessions, port):
    """Neither do those of sessions that were regenerated, within their grace and after it."""

    async def moved_on(driver, sessions, late: bool) -> str:
        session = await start_session(driver, regenerate_grace=10_000)
        session.put("name", "attacker")
        await session.save()
        id = session.get_id()
        session.regenerate(True)
        await session.save()
        if late:
            record = await driver.read(id)
            farewell = json.loads(record.payload)
            farewell["_left"]["at"] -= 60_000
            await driver.write(id, json.dumps(farewell), record.version)
        return sign(sessions, id)

    driver = await sessions.driver()
    mine = await store(sessions, "victim")
    planted = [await moved_on(driver, sessions, late) for late in (True, False, True)]
    header = "; ".join(f"node_session={value}" for value in [*planted, mine])
    assert await ask(port, header.encode()) == (200, "victim", mine)
    # A request under way while its session moves on sends no cookie over the new one, whatever is planted before.
    mine = await moved_on(driver, sessions, late=False)
    header = "; ".join(f"node_session={value}" for value in [planted[0], planted[2], *await dead(sessions, 5), mine])
    assert await ask(port, header.encode()) == (200, "attacker", None)


@pytest.mark.parametrize("is_readable", [True, False])
async def test_which_of_several_that_have_moved_on_counts(is_readable):
    """Without a live one, the first that may be read; without such a one, a log-out ends the first within its time."""
    driver, grace = MemoryDriver(0), 10_000 if is_readable else 0
    first, then = [], []
    for number in range(3):
        session = await start_session(driver, regenerate_grace=grace)
        session.put("number", number)
        await session.save()
        first.append(session.get_id())
        session.regenerate(True)
        await session.save()
        then.append(session.get_id())
    record = await driver.read(first[0])
    over = json.loads(record.payload)
    over["_left"]["at"] -= 60_000
    await driver.write(first[0], json.dumps(over), record.version)

    session = await start_session(driver, first[0], others=first[1:], regenerate_grace=grace)
    assert await driver.read(first[0]) is None
    assert is_gone(session) is is_readable
    if is_readable:
        assert (session.get_id(), session.get("number")) == (first[1], 1)
    else:
        assert session.get_id() not in first + then and "number" not in session
    session.invalidate()
    await session.save()
    assert [await driver.read(id) is not None for id in then] == [True, False, True]


@pytest.mark.parametrize("driver", [{"driver": "memory"}], ids=str)
async def test_forged_cookies_are_not_looked_up(sessions, port, monkeypatch):
    """Of signed and forged cookies in any order only the signed ones cost a look at the store, each once."""
    mine, gone = await store(sessions, "victim"), await dead(sessions, 1)
    forged = [cookies.sign(ids.generate(), "another secret") for _ in range(300)]
    read, asked = MemoryDriver.read, []

    async def counted(self, id):
        asked.append(id)
        return await read(self, id)

    monkeypatch.setattr(MemoryDriver, "read", counted)
    values = [*forged[:150], *gone, *forged[150:], *gone, mine]
    assert (await ask(port, "; ".join(f"node_session={value}" for value in values).encode()))[1:] == ("victim", mine)
    assert len(asked) == 2
    asked.clear()
    assert (await ask(port, f"node_session={mine}".encode()))[1] == "victim"
    assert len(asked) == 1


class Busy(MemoryDriver):
    """Counts how many reads are under way; of some ids it cannot tell."""

    def __init__(self, broken=()) -> None:
        super().__init__(0)
        self.broken = broken
        self.under_way = self.most = 0
        self.asked: list[str] = []

    async def read(self, id):
        self.asked.append(id)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if id in self.broken:
            raise UnreadableError("cannot tell")
        return await super().read(id)


IDS = [f"{number:040}" for number in range(100)]


async def started(driver: Busy) -> Session:
    return await start_session(driver, IDS[0], others=IDS[1:], strict=True)


async def test_looked_up_together_and_in_order():
    """The first whose session is there counts; some are read concurrently, never all, and none long behind it."""
    driver = Busy()
    for live in (70, 40, 41):
        await driver.write(IDS[live], f'{{"_token":"t","n":{live}}}', None)
    session = await started(driver)
    assert (session.get_id(), session.get("n")) == (IDS[40], 40)
    assert driver.most == TOGETHER
    assert len(driver.asked) <= 41 + TOGETHER
    driver.asked.clear()
    await driver.write(IDS[0], '{"_token":"t","n":0}', None)
    assert (await started(driver)).get_id() == IDS[0] and driver.asked == IDS[:1]


async def test_where_the_store_cannot_tell():
    """If a session before the first live one cannot be read, it may be the visitor's; one behind it does not matter."""
    driver = Busy(broken=IDS[20:22])
    await driver.write(IDS[19], '{"_token":"t"}', None)
    assert (await started(driver)).get_id() == IDS[19]
    await driver.destroy(IDS[19])
    await driver.write(IDS[22], '{"_token":"t"}', None)
    with pytest.raises(UnreadableError):
        await started(driver)


@pytest.mark.parametrize("driver", STORES, ids=str)
@pytest.mark.parametrize("more", [{"encrypt": True, "secret": [SECRET, OLD_SECRET]}], ids=[""])
async def test_found_among_others_encrypted_under_an_old_secret(sessions, config, port):
    """A session found among others is encrypted under the first secret again; the others' records do not matter."""
    new_secret, old_secret = config["secret"]
    old = await another_program(sessions, config, secret=old_secret)
    new = await another_program(sessions, config, secret=new_secret)

    async def stored(by, name):
        session = await start_session_of(by, None)
        session.put("name", name)
        await session.save()
        return session.get_id()

    mine, other = await stored(old, "victim"), await stored(new, "other")
    values = [*await dead(sessions, 1), sign(sessions, mine), sign(sessions, other)]
    assert (await ask(port, "; ".join(f"node_session={value}" for value in values).encode()))[1] == "victim"
    record = await (await sessions.driver()).read(mine)
    assert AuthenticatedEncrypter([new_secret]).is_current(record.payload)


# -------------------------------------------------------------------- bindName


@pytest.mark.parametrize("driver", STORES, ids=str)
@pytest.mark.parametrize("bound", [True, False])
async def test_cookies_of_another_application(sessions, config, port, app, bound):
    """With one secret and one store, another application's cookie is taken under our name; with bindName it is not."""
    other = await another_program(sessions, config, cookie="admin", bindName=bound)
    ours = app.settings["node_session"] = await another_program(sessions, config, bindName=bound)
    value = await store(other, "admin")
    assert (await ask(port, f"node_session={value}".encode()))[1] == ("nobody" if bound else "admin")
    own = await store(ours, "Ann")
    assert await ask(port, f"node_session={value}; node_session={own}".encode()) == (
        200,
        "Ann" if bound else "admin",
        own if bound else value,
    )
    unbound = await store(sessions, "Bob")
    assert (await ask(port, f"node_session={unbound}".encode()))[1] == ("nobody" if bound else "Bob")
