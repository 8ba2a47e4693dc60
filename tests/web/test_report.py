"""A session's report, the counters, and the events for listeners."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tornado.web import RequestHandler
from visitors import SECRET, store_record

from node_session import NodeSession, SessionMixin, UnavailableError, cookies, serializer
from node_session.events import Stats
from node_session.report import Report, changed_keys

pytestmark = pytest.mark.gen_test


class Page(SessionMixin, RequestHandler):
    """Does to the session what the query says."""

    async def get(self):
        for key in self.get_query_arguments("put"):
            self.session.put(key, 1)
        if self.get_query_argument("wait", ""):
            self.settings["waiting"].set()
            await self.settings["going_on"].wait()
        if self.get_query_argument("invalidate", ""):
            self.session.invalidate()
        self.write("ok")


@pytest.fixture
def app(app):
    app.add_handlers(".*", [("/", Page)])
    return app


async def meanwhile(app, visitor, slow: str, fast: str) -> None:
    """A request that is answered while another one, whose session is loaded already, is still at work."""
    app.settings |= {"waiting": asyncio.Event(), "going_on": asyncio.Event()}
    under_way = asyncio.ensure_future(visitor.get(slow + "&wait=yes"))
    await app.settings["waiting"].wait()
    await visitor.get(fast)
    app.settings["going_on"].set()
    await under_way


@pytest.fixture
def events(sessions):
    """The events that the listener got so far."""
    told = []
    sessions.on_event = lambda name, attributes: told.append((name.removeprefix("node_session."), attributes))
    return told


async def last_report(events, count=1) -> dict:
    """The attributes of the last of so many requests' reports; a touch comes after its response."""
    while sum(name == "request" for name, _ in events) < count:  # or pytest-tornado ends the test
        await asyncio.sleep(0.01)
    return [attributes for name, attributes in events if name == "request"][-1]


@pytest.mark.parametrize(("idle", "told"), [(16, "touched"), (0, "left alone")])
async def test_new_then_read_then_saved(visitor, events, sessions, pass_time, idle, told):
    """A first request's session is new; a reader's is touched if that is due; a writer's is saved, with its keys."""
    await visitor.get("/?put=cart.mug")
    report = await last_report(events, 1)
    assert report["node_session.found"] == "new" and report["node_session.saved"] == "saved"
    assert report["node_session.changed"] == ("_token", "cart", "flash")
    assert (report["http.request.method"], report["url.path"]) == ("GET", "/")
    pass_time(idle)  # a session is renewed after 15 s
    await visitor.get("/")
    report = await last_report(events, 2)
    assert (report["node_session.found"], report["node_session.saved"]) == ("found", told)
    assert report["node_session.changed"] == () and report["node_session.load_microseconds"] > 0
    assert report["node_session.save_microseconds"] == 0 and report["node_session.cookie"] == "sent"
    await visitor.get("/?put=cart.pot&put=name")
    report = await last_report(events, 3)
    assert report["node_session.saved"] == "saved" and report["node_session.save_microseconds"] > 0
    assert report["node_session.changed"] == ("cart.pot", "name")
    record = await (await sessions.driver()).read(visitor.id)
    assert report["node_session.size"] == len(record.payload.encode())
    assert sessions.stats == Stats(created=1, loaded=2, saved=2, touched=idle > 0)


async def test_conflict_and_merge(app, visitor, events, sessions):
    """The later of two concurrent requests reports the conflict, the merge, and its own changes only."""
    await visitor.get("/")
    await meanwhile(app, visitor, "/?put=slow", "/?put=fast")
    report = await last_report(events, 3)
    assert report["node_session.changed"] == ("slow",)
    assert (report["node_session.conflicts"], report["node_session.merged"]) == (1, 1)
    assert (sessions.stats.conflicted, sessions.stats.merged) == (1, 1)
    assert set(await visitor.stored()) >= {"slow", "fast"}


async def test_prevented_resurrection(app, visitor, events, sessions):
    """A request whose session was destroyed meanwhile reports it as gone, and why there is no cookie."""
    await visitor.get("/")
    await meanwhile(app, visitor, "/?put=slow", "/?invalidate=yes")
    report = await last_report(events, 3)
    assert report["node_session.saved"] == "gone"
    assert report["node_session.cookie"] == "not sent: the session is gone"
    assert sessions.stats.not_resurrected == 1


@pytest.mark.parametrize(
    ("cookie", "found"),
    [(cookies.sign("B" * 40, SECRET), "expired"), (cookies.sign("B" * 40, "another secret"), "forged"), ("x", "new")],
    ids=["expired", "forged", "new"],
)
async def test_why_not_found(visitor, events, sessions, cookie, found):
    """A report tells an expired session from a forged cookie and from none, and the first two are counted."""
    visitor.cookie = cookie
    await visitor.get("/")
    assert (await last_report(events))["node_session.found"] == found
    assert (sessions.stats.expired, sessions.stats.forged) == (found == "expired", found == "forged")


@pytest.mark.parametrize("options", [{"absoluteLifetime": 60_000}])
async def test_past_its_absolute_lifetime(visitor, events, sessions):
    """A session past its absolute lifetime counts as expired, not as loaded."""
    await store_record(visitor, {"_token": "t", "_created": 0})
    await visitor.get("/")
    assert (await last_report(events))["node_session.found"] == "expired"
    assert (sessions.stats.expired, sessions.stats.loaded) == (1, 0)


async def test_damaged(visitor, events, sessions, caplog):
    """A damaged record is counted and reported as such, not as expired."""
    driver = await sessions.driver()
    await driver.write("D" * 40, "[1, 2", None)
    visitor.use_id("D" * 40)
    await visitor.get("/")
    assert (await last_report(events))["node_session.found"] == "damaged"
    assert (sessions.stats.damaged, sessions.stats.expired) == (1, 0)


@pytest.mark.parametrize("options", [{"secure": True}])
async def test_why_no_cookie(visitor, events):
    """Over http, a session for https only reports why no cookie was sent."""
    await visitor.get("/")
    assert (await last_report(events))["node_session.cookie"] == "not sent: it is for https only"


@pytest.mark.parametrize("options", [{"saveUninitialized": False}])
async def test_nothing_in_it(visitor, events, sessions):
    """A session nothing was put into reports that it was left alone, and counts as nothing."""
    await visitor.get("/")
    report = await last_report(events)
    assert (report["node_session.saved"], report["node_session.size"]) == ("left alone", 0)
    assert report["node_session.cookie"] == "not sent: nothing is in the session"
    assert sessions.stats == Stats()


async def test_failed_save(app, visitor, events, sessions, monkeypatch, caplog):
    """A save that fails is reported as failed."""

    async def write(*args):
        raise UnavailableError("down")

    monkeypatch.setattr(await sessions.driver(), "write", write)
    assert (await visitor.get("/?put=x")).code == 503
    assert (await last_report(events))["node_session.saved"] == "failed"
    assert sessions.stats.saved == 0


async def test_gc_is_counted(sessions, events, monkeypatch):
    """Records that gc removed are counted, and reported with their number."""

    async def gc(lifetime):
        return 7

    monkeypatch.setattr(await sessions.driver(), "gc", gc)
    await sessions.sweep()
    assert sessions.stats.removed == 7
    assert events == [("removed", {"node_session.driver": "file", "node_session.count": 7})]


async def test_take_counts_as_saved(visitor, app, sessions, events):
    """take() writes immediately, and reports it."""

    class Take(SessionMixin, RequestHandler):
        async def get(self):
            self.write(await self.session.take("code"))

    app.add_handlers(".*", [("/take", Take)])
    await store_record(visitor, {"_token": "t", "flash": {"old": [], "new": []}, "code": "one"})
    assert (await visitor.get("/take")).body == b"one"
    assert (await last_report(events))["node_session.saved"] == "saved"
    assert sessions.stats.saved == 1


async def test_events_are_what_opentelemetry_takes(visitor, events):
    """Names are dotted, values are text, numbers or sequences of text; no id is told as a whole."""
    await visitor.get("/?put=x")
    await last_report(events)
    assert {name for name, _ in events} == {"created", "saved", "request"}
    for _, attributes in events:
        for name, value in attributes.items():
            assert name.startswith(("node_session.", "http.", "url."))
            assert isinstance(value, (str, int, float)) or all(isinstance(each, str) for each in value)
            assert visitor.id not in str(value)


async def test_a_listener_that_fails(config, app, visitor, caplog):
    """An on_event that raises is logged, and no request suffers."""

    def on_event(name, attributes):
        raise ValueError("a broken listener")

    app.settings["node_session"] = NodeSession(config, on_event=on_event)
    assert (await visitor.get("/?put=x")).body == b"ok"
    assert "on_event failed at 'saved'" in caplog.text


async def test_debug_line(visitor, caplog):
    """At DEBUG the logger has one line a request: found or not, changes, outcome, cookie; no whole id."""
    with caplog.at_level(logging.DEBUG, "node_session"):
        await visitor.get("/?put=cart")
    (line,) = [each for each in caplog.messages if each.startswith("GET /: ")]
    assert f"session {visitor.id[:6]}… new" in line and "changed _token, cart, flash; saved in " in line
    assert "cookie sent" in line and visitor.id not in line


async def test_a_key_cannot_forge_a_line(visitor, caplog):
    """A key with a line break is quoted, so that no visitor writes log lines."""
    with caplog.at_level(logging.DEBUG, "node_session"):
        await visitor.get("/?put=x%0AGET%20/admin:%20forged")
    (line,) = [each for each in caplog.messages if "forged" in each]
    assert "\n" not in line and "'x\\nGET /admin: forged'" in line


async def test_nothing_is_made_unless_somebody_asks(visitor, caplog, monkeypatch):
    """Without listener and DEBUG no report is made."""
    monkeypatch.setattr(Report, "__init__", lambda self, *args, **values: pytest.fail("a report was made"))
    with caplog.at_level(logging.INFO, "node_session"):
        assert (await visitor.get("/?put=x")).code == 200
        assert (await visitor.get("/")).code == 200
    assert "NoneType" not in caplog.text


async def test_report_of_values_json_writes_otherwise(sessions, app, visitor):
    """A value stored in another form than it was put is no change; one that cannot be stored is reported."""
    reports: list[Report] = []

    class Odd(SessionMixin, RequestHandler):
        def get(self):
            self.session.put("pair", (1, 2))
            reports.append(self.session.report)
            self.session.put("set", {1})
            reports.append(self.session.report)
            self.session.forget("set")

    app.add_handlers(".*", [("/odd", Odd)])
    await store_record(visitor, {"pair": [1, 2], "_token": "t", "flash": {"old": [], "new": []}})
    await visitor.get("/odd")
    assert reports[0].changed == ()
    assert "set" in reports[1].changed


async def test_report_after_reload(app, sessions, visitor):
    """After reload() another request's changes do not count as this one's."""
    reports: list[Report] = []

    class Reloading(SessionMixin, RequestHandler):
        async def get(self):
            await visitor.get("/?put=theirs")
            await self.session.reload()
            self.session.put("mine", 1)
            reports.append(self.session.report)

    app.add_handlers(".*", [("/reloading", Reloading)])
    await visitor.get("/")
    await visitor.get("/reloading")
    assert reports[0].changed == ("mine",)


async def test_long_and_deep_keys_are_told_short():
    """What a report says of changed keys is no longer than a few times the session, however long and deep its keys."""
    values = {"x" * 10_000: {f"k{number}": number for number in range(1000)}}
    changed = changed_keys(None, {**values, "deep": {}})
    assert sum(map(len, changed)) < 1000
    before = '{"%s":{}}' % ("x" * 10_000)
    changed = changed_keys(before, values)
    assert changed[:2] == ("x" * 79 + "….k0", "x" * 79 + "….k1")
    assert len(changed) == 1000 and sum(map(len, changed)) < 100_000
    deep = before_deep = {"n": 1}
    for _ in range(50):
        deep, before_deep = {"a": deep, "b": 1}, {"a": before_deep}
    assert changed_keys("{}", {"deep": deep}) == ("deep",)
    assert max(key.count(".") for key in changed_keys(serializer.dumps(before_deep), deep)) == 19
