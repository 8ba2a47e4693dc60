"""Every change is noticed, and reading costs no comparison."""

from __future__ import annotations

import pytest
from visitors import ID

from node_session.csrf_token import CsrfToken
from node_session.serializer import dumps
from node_session.session import work_of

pytestmark = pytest.mark.gen_test


# A change by every method there is, or in what it returns.
CHANGES = {
    "age_flash_data": lambda session: session.age_flash_data(),
    "all": lambda session: session.all().update(n=2),
    "clear": lambda session: session.clear(),
    "decrement": lambda session: session.decrement("n"),
    "flash": lambda session: session.flash("status", "Saved."),
    "flash_input": lambda session: session.flash_input({"name": "Ann"}),
    "flush": lambda session: session.flush(),
    "forget": lambda session: session.forget("n"),
    "get": lambda session: session.get("user").update(name="Bea"),
    "get_old_input": lambda session: session.get_old_input("tags").append("new"),
    "get_token": lambda session: session.get_token(),
    "increment": lambda session: session.increment("n"),
    "items": lambda session: dict(session.items())["list"].append(2),
    "get_flashed": lambda session: session.get_flashed("shown"),
    "keep": lambda session: session.keep("shown"),
    "now": lambda session: session.now("status", "Saved."),
    "only": lambda session: session.only("list")["list"].append(2),
    "pop": lambda session: session.pop("n"),
    "popitem": lambda session: session.popitem(),
    "pull": lambda session: session.pull("n"),
    "push": lambda session: session.push("list", 2),
    "put": lambda session: session.put("user.name", "Bea"),
    "reflash": lambda session: session.reflash(),
    "regenerate_token": lambda session: session.regenerate_token(),
    "remember": lambda session: session.remember("user", dict).update(name="Bea"),
    "set": lambda session: session.set("n", 2),
    "setdefault": lambda session: session.setdefault("list", []).append(2),
    "update": lambda session: session.update(n=2),
    "values": lambda session: [value.append(2) for value in session.values() if value == [1]],
    "session[key]": lambda session: session["user"].update(name="Bea"),
    "session[key] = value": lambda session: session.__setitem__("n", 2),
    "del session[key]": lambda session: session.__delitem__("n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_every_change_is_seen(world, change):
    """Whichever way something is changed, it is saved, although nothing is compared where nothing can have changed."""
    stored = {"_token": ["odd"], "n": 1, "list": [1], "user": {"name": "Ann"}, "_old_input": [{"tags": []}]}
    world.id = ID
    await world.driver.write(ID, dumps({**stored, "flash": {"old": ["shown"], "new": []}, "shown": True}), None)
    session = await world.start()
    work_of(session).content.ages_flash = False  # or that would be a change as well
    change(session)
    await session.save()
    assert await world.text() == dumps(dict(session))


def test_changes_are_all_there_are():
    """The list above names every method that could change something."""
    public = {name for name in dir(CsrfToken) if not name.startswith("_")}
    reading = {"exists", "has", "keys", "missing", "verify_token"}
    assert public - reading == {name for name in CHANGES if name.isidentifier()}


async def test_reading_compares_nothing(world, monkeypatch):
    """Plain values that were read cannot have changed, so the session is not written out to see."""
    await world.request(lambda session: session.put("user", {"name": "Ann", "age": 30}))
    session = await world.start()
    monkeypatch.setattr("node_session.serializer.dumps_quickly", lambda *args, **options: pytest.fail("compared"))
    assert (session.get("user.name"), session["user.age"], session.has("user.name")) == ("Ann", 30, True)
    assert (next(iter(session)), len(session), "user.name" in session) == ("_token", 3, True)
    assert session.only("user.age", "none") == {"user.age": 30}
    assert session.verify_token(session.get_token())

    async def write(*args):
        pytest.fail("written")

    world.driver.write = write
    await session.save()
