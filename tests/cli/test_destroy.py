"""`destroy` and `gc`: which sessions are removed, and which are left."""

from __future__ import annotations

import pytest

from cli.shop import ANN, BOB, EVE, old_record
from node_session import ConflictError
from node_session.cli import ATTENTION, WRONG, main
from node_session.drivers import FileDriver


def test_gc(shop):
    """Gc removes what is expired, and nothing else."""
    shop.put("X" * 40, "{}", idle=3601)
    assert shop.run("gc", shop.config).strip() == "removed 1 expired record"
    assert sorted(shop.stored()) == [ANN, BOB, EVE]
    assert shop.json("gc", shop.write("sessions.json", lifetime=0)) == {"removed": 0}


def test_gc_where_no_session_expires(shop):
    """With lifetime 0, gc removes the old records of regenerated sessions that killed processes have left."""
    config = shop.write("sessions.json", lifetime=0)
    shop.put("X" * 40, old_record(seconds=3600), idle=3600)
    shop.put("Y" * 40, old_record(seconds=0))
    assert shop.run("gc", config).startswith("removed 1 old record of regenerated sessions")
    assert sorted(shop.stored()) == [ANN, BOB, EVE, "Y" * 40]


def test_destroy_one(shop):
    """Destroy removes the session whose id begins so, and says which without its whole id."""
    assert shop.run("destroy", shop.config, "Bob").strip() == "destroyed Bobbbb…"
    assert shop.json("destroy", shop.config, EVE) == {"destroyed": 1}
    assert list(shop.stored()) == [ANN]


def test_destroy_older(shop):
    """--older-than removes the sessions that were not used for so long."""
    assert shop.json("destroy", shop.config, "--older-than", "1m") == {"destroyed": 2}
    assert list(shop.stored()) == [ANN]


def test_destroy_older_where_the_store_expires_by_itself(shop, monkeypatch):
    """--older-than removes them from a store as well whose gc has nothing to do."""

    async def nothing(self, lifetime):
        return 0

    monkeypatch.setattr(FileDriver, "gc", nothing)
    assert shop.json("destroy", shop.config, "--older-than", "1m") == {"destroyed": 2}
    assert list(shop.stored()) == [ANN]


def test_destroy_all(shop):
    """--all does nothing without --yes, and everything with it."""
    shop.run("destroy", shop.config, "--all", code=WRONG)
    assert "--yes" in shop.errors and len(shop.stored()) == 3
    assert shop.run("destroy", shop.config, "--all", "--yes").strip() == "destroyed 3 sessions"
    assert shop.stored() == {}


def test_what_to_destroy_has_to_be_said(shop):
    """Destroy without an id or an option, or with two of them, is an error of the arguments."""
    for arguments in ([], ["Ann", "--all", "--yes"]):
        with pytest.raises(SystemExit) as error:
            main(["destroy", shop.config, *arguments])
        assert error.value.code == WRONG
    assert len(shop.stored()) == 3


def test_destroy_user(shop):
    """--user removes the sessions that hold all these values, says how many, and leaves the others."""
    shop.put("Ann" + "b" * 37, '{"user":{"name":"Ann","age":7}}')
    assert shop.run("destroy", shop.config, "--user", "user.name=Ann", "--user", "user.age=7").strip() == (
        "destroyed 1 session"
    )
    assert sorted(shop.stored()) == [ANN, BOB, EVE]
    assert shop.json("destroy", shop.config, "--user", "user.name=Ann") == {"destroyed": 1, "damaged": 0, "busy": 0}
    assert sorted(shop.stored()) == [BOB, EVE]
    assert shop.json("destroy", shop.config, "--user", "user.name=Ann", code=ATTENTION)["destroyed"] == 0


@pytest.mark.parametrize("options", [{"hashIds": True}, {"encrypt": True}, {"encrypt": "legacy"}], ids=str)
@pytest.mark.parametrize("connection", [None, {"adapter": "sqlite"}], ids=["file", "sqlite"])
def test_destroy_user_of_other_stores(shop, options, connection):
    """--user reads what it can: records under hashes, encrypted ones, and those of databases."""
    if connection:
        options = {**options, "driver": "database", "connection": connection}
    new = shop.write("new.json", **options)
    shop.run("copy", shop.config, new)
    assert shop.json("destroy", new, "--user", "user.name=Ann")["destroyed"] == 1
    assert shop.json("ls", new, "--user", "user.name=Ann") == []
    assert len(shop.json("ls", new)) == 2


def test_destroy_user_where_nobody_can_tell(shop):
    """Where encrypted records are under hashes, --user is refused; what is damaged is left, and told of."""
    sealed = shop.write("sealed.json", hashIds=True, encrypt=True)
    shop.run("copy", shop.config, sealed)
    shop.run("destroy", sealed, "--user", "user.name=Ann", code=WRONG)
    assert "--user: with hashIds" in shop.errors and len(shop.stored("sealed.json")) == 3
    shop.put("D" * 40, '{"user":{"name":"Ann"', idle=60)
    out = shop.run("destroy", shop.config, "--user", "user.name=Ann", code=ATTENTION)
    assert out.startswith("destroyed 1 session; unreadable, and left") and "DDDDDD… is left" in shop.errors
    assert sorted(shop.stored()) == [BOB, "D" * 40, EVE]


def test_destroy_user_looks_again(shop, monkeypatch):
    """A session that somebody else has logged in with since it was listed stays; one that was changed goes."""
    listed = FileDriver.scan

    async def scan(self):
        async for entry in listed(self):
            yield entry
            if entry.id == ANN:
                shop.put(ANN, '{"user":{"name":"Zoe"}}')

    changes = []

    async def destroy(self, id, version=None):
        if id == BOB and not changes:
            changes.append(id)
            shop.put(BOB, '{"user":{"name":"Bob"},"cart":1}')
        return await destroyed(self, id, version)

    destroyed = FileDriver.destroy
    monkeypatch.setattr(FileDriver, "scan", scan)
    monkeypatch.setattr(FileDriver, "destroy", destroy)
    assert shop.json("destroy", shop.config, "--user", "user.name=Ann", code=ATTENTION)["destroyed"] == 0
    assert shop.json("destroy", shop.config, "--user", "user.name=Bob")["destroyed"] == 1
    assert changes and sorted(shop.stored()) == [ANN, EVE]


def test_destroy_user_leaves_who_logs_in_meanwhile(shop, monkeypatch):
    """A session that somebody else logs in with, just before it would be destroyed, stays."""

    async def destroy(self, id, version=None):
        shop.put(id, '{"user":{"name":"Zoe"}}')
        return await destroyed(self, id, version)

    destroyed = FileDriver.destroy
    monkeypatch.setattr(FileDriver, "destroy", destroy)
    assert shop.json("destroy", shop.config, "--user", "user.name=Bob", code=ATTENTION)["destroyed"] == 0
    assert shop.stored()[BOB] == '{"user":{"name":"Zoe"}}'


def test_destroy_user_gives_up_on_a_busy_session(shop, monkeypatch):
    """A session that changes at each attempt is left in the end, counted, and told of."""

    async def destroy(self, id, version=None):
        raise ConflictError("it has changed")

    monkeypatch.setattr(FileDriver, "destroy", destroy)
    counts = shop.json("destroy", shop.config, "--user", "user.name=Bob", code=ATTENTION)
    assert counts == {"destroyed": 0, "damaged": 0, "busy": 1}
    assert "run it again: 1" in shop.run("destroy", shop.config, "--user", "user.name=Bob", code=ATTENTION)


@pytest.mark.parametrize(
    "arguments",
    [["Ann", "--user", "a=b"], ["--all", "--yes", "--user", "a=b"], ["--user", "a"], [""], ["--older-than", "1"]],
    ids=str,
)
def test_destroy_with_wrong_arguments(shop, arguments):
    """Two ways to say which, or an empty id as of a variable that is not set, are errors; nothing is destroyed."""
    shop.run("destroy", shop.config, "Ann")
    shop.run("destroy", shop.config, "Bob")
    with pytest.raises(SystemExit) as error:
        main(["destroy", shop.config, *arguments])
    assert error.value.code == WRONG and list(shop.stored()) == [EVE]
