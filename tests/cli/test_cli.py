"""The command line, run on real stores; the exit code and both forms of output are looked at."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node_session import NodeSession, SessionError, UnavailableError
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.cli import ATTENTION, DONE, UNAVAILABLE, WRONG, main
from node_session.cli.arguments import milliseconds
from node_session.cli.outcome import bars, size, span
from node_session.drivers import FileDriver, MemoryDriver
from node_session.drivers.sqlite import SqliteDriver
from node_session.legacy_encryption import LegacyEncrypter

SECRET = "only-for-tests-3f1c0f5e9a7b4d2e8c6a"
OLD_SECRET = "an-older-one-for-tests-77c0d1e2f3a4b"
SAILS_DISK = Path(__file__).parent / "sails-disk.json"  # written by sails-disk 0.10.10 for node-session 1.2.1
ANN, BOB, EVE = "Ann" + "a" * 37, "Bob" + "b" * 37, "Eve" + "e" * 37


class Shop:
    """A folder with a config and its sessions."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder = folder
        self.capsys = capsys
        self.config = self.write("sessions.json")

    def write(self, name: str, **options) -> str:
        """Write a config; its sessions are in a folder of its name."""
        path = self.folder / name
        defaults = {"secret": SECRET, "files": str(self.files(name)), "lifetime": 3_600_000}
        path.write_text(json.dumps({**defaults, **options}))
        return str(path)

    def files(self, name: str = "sessions.json") -> Path:
        return self.folder / name.removesuffix(".json")

    def put(self, id: str, text: str, *, idle: float = 0, name: str = "sessions.json") -> None:
        """Store a record as the original would, last used so many seconds ago."""
        self.files(name).mkdir(exist_ok=True)
        file = self.files(name) / id
        file.write_text(text)
        os.utime(file, (time.time() - idle, time.time() - idle))

    def stored(self, name: str = "sessions.json") -> dict[str, str]:
        return {each.name: each.read_text() for each in self.files(name).glob("[!.]*")}

    def run(self, *arguments: str, code: int = DONE) -> str:
        """What a command prints."""
        assert main(arguments) == code, self.capsys.readouterr()
        printed = self.capsys.readouterr()
        self.errors = printed.err
        for secret in (SECRET, OLD_SECRET):
            assert secret not in printed.out + printed.err
        return printed.out

    def json(self, *arguments: str, code: int = DONE):
        command, *others = arguments
        return json.loads(self.run(command, "--json", *others, code=code))


@pytest.fixture
def shop(tmp_path, capsys):
    """Three sessions, of which Eve's was not used for half an hour."""
    shop = Shop(tmp_path, capsys)
    shop.put(ANN, '{"_token":"secret-token","user":{"name":"Ann","age":42}}', idle=5)
    shop.put(BOB, '{"user":{"name":"Bob","admin":true}}', idle=65)
    shop.put(EVE, json.dumps({"notes": "x" * 2000}), idle=1805)
    return shop


# -------------------------------------------------------------------- ls, show, stats


def test_ls(shop):
    """Ls lists the sessions, the one used last first, without a whole id."""
    lines = shop.run("ls", shop.config).splitlines()
    assert lines[0].split() == ["ID", "SIZE", "IDLE"]
    assert [line.split()[0] for line in lines[1:4]] == ["Annaaa…", "Bobbbb…", "Eveeee…"]
    assert lines[3].endswith("2.0 kB  30 min")
    assert lines[4].startswith("3 sessions, 2.1 kB")
    assert ANN not in "".join(lines)


def test_ls_for_a_program(shop):
    """With --json, ls gives sizes in bytes and idle times in milliseconds."""
    ann, bob, eve = shop.json("ls", shop.config)
    assert (ann["id"], eve["size"]) == ("Annaaa…", 2013)
    assert 65_000 <= bob["idleMilliseconds"] < 125_000
    assert "damage" not in ann


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--sort", "size"], "Bob"),
        (["--sort", "size", "--reverse"], "Eve"),
        (["--sort", "id", "--reverse"], "Eve"),
        (["--reverse"], "Eve"),
        (["--user", "user.name=Bob"], "Bob"),
        (["--user", "user.admin=true"], "Bob"),
        (["--user", "user.age=42", "--user", "user.name=Ann"], "Ann"),
    ],
    ids=str,
)
def test_ls_sorts_and_filters(shop, arguments, first):
    """--sort, --reverse and --user choose what comes first; values are compared as text or as JSON."""
    assert shop.json("ls", shop.config, *arguments)[0]["id"].startswith(first)


def test_ls_finds_only_what_holds_the_value(shop):
    """--user leaves out every session without this very value, and --limit is of those that are left."""
    assert shop.json("ls", shop.config, "--user", "user.name=An") == []
    assert len(shop.json("ls", shop.config, "--user", "user.admin=true")) == 1
    assert len(shop.json("ls", shop.config, "--limit", "2")) == 2


def test_whole_ids_if_asked(shop):
    """--whole prints ids and tokens in full, and nothing else does."""
    assert shop.json("ls", shop.config, "--whole")[0]["id"] == ANN
    assert "secret-token" in shop.run("show", shop.config, ANN, "--whole")


def test_damage_does_not_end_a_listing(shop):
    """A damaged record is listed as such, counted, and told of by the exit code."""
    shop.put("D" * 40, '{"cut off')
    (shop.files() / ("F" * 40)).write_bytes(b"\xff\xfe")
    text = shop.run("ls", shop.config, code=ATTENTION)
    assert "damaged: its text is not JSON" in text and "damaged: it is not UTF-8 text" in text
    assert [bool(each.get("damage")) for each in shop.json("ls", shop.config, code=ATTENTION)].count(True) == 2
    assert shop.json("stats", shop.config, code=ATTENTION)["damaged"] == 2
    for start in "DF":
        assert "damage" in shop.json("show", shop.config, start, code=ATTENTION)
    shop.run("destroy", shop.config, "F" * 40)
    assert "F" * 40 not in shop.stored()


def test_a_record_that_cannot_be_read_does_not_end_a_listing(shop, monkeypatch):
    """A record on a broken part of the disk is told of, and the others are listed and copied."""

    def broken(path, *args, open=os.open, **options):
        if str(path).endswith(f"/{BOB}"):
            raise OSError(errno.EIO, "Input/output error")
        return open(path, *args, **options)

    monkeypatch.setattr(os, "open", broken)
    lines = shop.json("ls", shop.config, code=ATTENTION)
    assert ["Input/output error" in each.get("damage", "") for each in lines] == [False, True, False]
    assert shop.json("copy", shop.config, shop.write("new.json"), code=ATTENTION)["damaged"] == 1


def test_show(shop):
    """Show prints what a session holds, found by the beginning of its id, without token and id."""
    shown = shop.json("show", shop.config, "Ann")
    assert shown["attributes"] == {"_token": "secret…", "user": {"name": "Ann", "age": 42}}
    assert shown["id"] == "Annaaa…" and shown["size"] == len(shop.stored()[ANN])
    text = shop.run("show", shop.config, ANN)
    assert '"name": "Ann"' in text and "secret-token" not in text and ANN not in text


def test_an_id_that_begins_with_a_dash(shop):
    """One id in 64 looks like an option; after -- it is an id."""
    shop.put("-" + "d" * 39, '{"dash":true}')
    assert shop.json("show", shop.config, "--", "-ddd")["attributes"] == {"dash": True}
    shop.run("destroy", shop.config, "--", "-" + "d" * 39)
    assert len(shop.stored()) == 3


@pytest.mark.parametrize("id", ["Zoe", "Z" * 40])
def test_show_nobody(shop, id):
    """An id that no session has is code 1, and a message that does not repeat it."""
    shop.run("show", shop.config, id, code=ATTENTION)
    assert "there is no session" in shop.errors
    assert "Z" * 40 not in shop.errors


def test_show_is_not_sure(shop):
    """An id's beginning that several sessions share is refused."""
    shop.put("Ann" + "b" * 37, "{}")
    shop.run("show", shop.config, "Ann", code=ATTENTION)
    assert "2 sessions begin with 'Ann…'" in shop.errors
    shop.run("destroy", shop.config, "Ann", code=ATTENTION)
    assert len(shop.stored()) == 4


def test_stats(shop):
    """Stats counts, sums up and draws sessions by size and idle time."""
    text = shop.run("stats", shop.config)
    assert "3 sessions, 2.1 kB" in text
    assert re.search(r"to 1 kB +2  #{40}\n +to 4 kB +1  #{20}\n", text)
    assert re.search(r"to 1 min +1  #+\n +to 5 min +1  #+\n +to 1 h +1  #+\n", text)
    data = shop.json("stats", shop.config)
    assert data["sessions"] == 3 and data["bytes"]["most"] == 2013
    assert data["bytes"]["total"] == sum(map(len, shop.stored().values()))


def test_an_empty_store(shop):
    """Where there is no session yet, ls and stats say so."""
    config = shop.write("empty.json")
    assert shop.run("ls", config).strip() == shop.run("stats", config).strip() == "0 sessions, 0 B"
    assert shop.json("ls", config) == [] and shop.json("stats", config)["sessions"] == 0


# -------------------------------------------------------------------- gc, destroy


def test_gc(shop):
    """Gc removes what is expired, and nothing else."""
    shop.put("X" * 40, "{}", idle=3601)
    assert shop.run("gc", shop.config).strip() == "removed 1 expired record"
    assert sorted(shop.stored()) == [ANN, BOB, EVE]
    assert shop.json("gc", shop.write("sessions.json", lifetime=0)) == {"removed": 0}


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


# -------------------------------------------------------------------- records that the config does not fit


SLIPS = {
    "plain": ({}, {"encrypt": True}, "is encrypt set for a store"),
    "encrypted": ({"encrypt": True}, {}, "is encrypt missing"),
    "legacy": ({"encrypt": "legacy"}, {}, "is encrypt missing"),
    "another secret": ({"encrypt": True}, {"encrypt": True, "secret": OLD_SECRET}, "is secret another one"),
}


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "--user", "a=b"], ["stats"], ["copy"], ["rewrap"], ["destroy", "--user", "a=b"]],
    ids=" ".join,
)
def test_a_slip_in_the_config_is_told_once(shop, slip, arguments):
    """A config that fits no record is one line that names the option, not one a record; no record is changed."""
    right, wrong, cure = SLIPS[slip]
    shop.run("copy", shop.config, shop.write("store.json", **right))
    before = shop.stored("store.json")
    config = shop.write("store.json", **wrong)
    command, *others = arguments
    if command == "rewrap" and not wrong:
        shop.run("rewrap", config, code=WRONG)
        return
    others += [shop.write("new.json")] if command == "copy" else []
    out = shop.run(command, config, *others, code=DONE if arguments == ["ls", "--user", "a=b"] else ATTENTION)
    (line,) = shop.errors.splitlines()
    assert line.startswith("warning: 3 of 3 records cannot be read (") and cure in line
    assert cure not in out and shop.stored("store.json") == before and not shop.stored("new.json")


def test_a_slip_is_told_where_one_session_is_shown(shop):
    """Show says what the config is to be looked through for."""
    config = shop.write("sessions.json", encrypt=True)
    assert "is encrypt set for a store" in shop.run("show", config, "Ann", code=ATTENTION)


@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"cut off'], ids=repr)
@pytest.mark.parametrize("command", ["ls", "stats", "copy", "rewrap"])
@pytest.mark.parametrize("idle", [0, 60])
def test_many_damaged_records_take_no_time(shop, monkeypatch, content, command, idle):
    """For old damaged records nobody waits, and for those written just now once, for all of them together."""
    waits = []

    class Clock:
        def time(self):
            return time.time() + sum(waits)

    async def sleep(seconds):
        waits.append(seconds)

    for number in range(1000):
        shop.put(f"F{number:039d}", "", idle=idle)
        (shop.files() / f"F{number:039d}").write_bytes(content)
        os.utime(shop.files() / f"F{number:039d}", (time.time() - idle, time.time() - idle))
    monkeypatch.setattr("node_session.cli.records.asyncio.sleep", sleep)
    monkeypatch.setattr("node_session.cli.records.time", Clock())
    config = shop.write("sessions.json", encrypt=command == "rewrap")
    arguments = [shop.write("new.json")] if command == "copy" else []
    data = shop.json(command, config, *arguments, code=ATTENTION)
    damaged = sum("damage" in each for each in data) if command == "ls" else data["damaged"]
    assert damaged == (1003 if command == "rewrap" else 1000)
    assert sum(waits) <= (0 if idle else 1.3)


def test_a_record_that_is_being_written(shop, monkeypatch):
    """A file that the original has truncated just now is looked at again when that must be over."""
    shop.put(ANN, "")
    written = (shop.files() / ANN).stat().st_mtime
    waits = []

    class Clock:
        def time(self):
            return written + 0.1

    async def sleep(seconds):
        waits.append(seconds)
        shop.put(ANN, '{"user":{"name":"Ann"}}')

    monkeypatch.setattr("node_session.cli.records.asyncio.sleep", sleep)
    monkeypatch.setattr("node_session.cli.records.time", Clock())
    assert len(shop.json("ls", shop.config, "--user", "user.name=Ann")) == 1
    assert [round(each, 1) for each in waits] == [1.2]


# -------------------------------------------------------------------- copy


def test_copy(shop):
    """Copy brings every session to another store, byte for byte, and leaves the first as it is."""
    before = shop.stored()
    assert shop.run("copy", shop.config, shop.write("new.json")).strip() == "copied 3 sessions"
    assert shop.stored("new.json") == shop.stored() == before


def test_copy_again(shop):
    """A second copy goes on where the first was interrupted, and overwrites nothing."""
    new = shop.write("new.json")
    shop.put(ANN, '{"newer":1}', name="new.json")
    assert shop.json("copy", shop.config, new) == {"copied": 2, "present": 1, "damaged": 0}
    assert shop.json("copy", shop.config, new) == {"copied": 0, "present": 3, "damaged": 0}
    assert shop.stored("new.json")[ANN] == '{"newer":1}'


def test_copy_that_is_killed(shop):
    """A copy that is killed half way has copied whole records only, and a second one brings the rest."""
    for number in range(1500):
        shop.put(f"{number:040d}", json.dumps({"number": number, "pad": "x" * 500}))
    new = shop.write("new.json", encrypt=True)
    with subprocess.Popen([sys.executable, "-m", "node_session", "copy", shop.config, new]) as process:
        while process.poll() is None and len(list(shop.files("new.json").glob("0*"))) < 100:
            time.sleep(0.005)
        process.kill()
    before = shop.stored("new.json")
    counts = shop.json("copy", shop.config, new)
    assert counts["present"] == len(before) < 1503 == counts["present"] + counts["copied"]
    copied = {id: AuthenticatedEncrypter([SECRET]).decrypt(text, id) for id, text in shop.stored("new.json").items()}
    assert copied == shop.stored()


def test_copy_to_a_driver_without_versions(shop):
    """A driver that would overwrite what is there is not asked to."""
    texts = {ANN: '{"newer":1}'}

    class Plain:
        def read(self, id):
            return texts.get(id)

        def write(self, id, text):
            texts[id] = text

        def destroy(self, id):
            del texts[id]

    NodeSession.register_handler("plain", lambda config: Plain())
    assert shop.json("copy", shop.config, shop.write("new.json", driver="plain"))["copied"] == 2
    assert texts[ANN] == '{"newer":1}' and len(texts) == 3
    shop.run("ls", str(shop.folder / "new.json"), code=WRONG)
    assert "Plain cannot list its records" in shop.errors


@pytest.mark.parametrize(
    ("before", "after"), [(False, True), ("legacy", True), (True, "legacy"), (True, False), ("legacy", False)], ids=str
)
def test_copy_encrypts_anew(shop, before, after):
    """What is copied is decrypted and encrypted as the two configs say, under each one's secret."""
    makers = {True: AuthenticatedEncrypter, "legacy": LegacyEncrypter}
    texts = shop.stored()
    if before:
        for id, text in texts.items():
            shop.put(id, makers[before]([OLD_SECRET]).encrypt(text, id))
    source = shop.write("sessions.json", encrypt=before, secret=OLD_SECRET)
    assert shop.json("copy", source, shop.write("new.json", encrypt=after))["copied"] == 3
    for id, payload in shop.stored("new.json").items():
        assert (makers[after]([SECRET]).decrypt(payload, id) if after else payload) == texts[id]


def test_copy_leaves_damage_behind(shop):
    """A damaged record is told of and not copied, and the others are."""
    shop.put("D" * 40, '{"cut off')
    assert shop.json("copy", shop.config, shop.write("new.json"), code=ATTENTION) == {
        "copied": 3,
        "present": 0,
        "damaged": 1,
    }
    assert "DDDDDD… is not copied: its text is not JSON" in shop.errors and "D" * 40 not in shop.errors


def test_copy_looks_twice(shop, monkeypatch):
    """A record that the original is just writing is not taken for a damaged one."""
    scan = FileDriver.scan

    async def at_a_bad_moment(self):
        async for entry in scan(self):
            yield entry._replace(payload="")

    monkeypatch.setattr(FileDriver, "scan", at_a_bad_moment)
    assert shop.json("copy", shop.config, shop.write("new.json"))["copied"] == 3


def test_copy_hashed(shop):
    """Records under hashes are copied as they are to a store with hashIds, and nowhere else."""
    hashed = shop.write("hashed.json", hashIds=True)
    shop.run("copy", shop.config, hashed)
    assert ANN not in shop.stored("hashed.json")
    assert shop.json("copy", hashed, shop.write("other.json", hashIds=True))["copied"] == 3
    assert shop.stored("other.json") == shop.stored("hashed.json")
    assert shop.json("show", shop.write("other.json", hashIds=True), ANN)["attributes"]["user"]["name"] == "Ann"
    shop.run("copy", hashed, shop.write("plain.json"), code=WRONG)
    assert "hashIds" in shop.errors and not shop.files("plain.json").exists()


def test_hashed_and_encrypted(shop):
    """Where a hash of the id is all there is, encrypted records are copied unread, and read by their whole id only."""
    sealed = shop.write("sealed.json", hashIds=True, encrypt=True)
    shop.run("copy", shop.config, sealed)
    assert shop.json("copy", sealed, shop.write("other.json", hashIds=True, encrypt=True))["copied"] == 3
    assert shop.stored("other.json") == shop.stored("sealed.json")
    assert shop.json("show", sealed, ANN)["attributes"]["user"]["name"] == "Ann"
    kept = shop.json("ls", sealed, "--whole")[0]["id"]
    assert "cookie" in shop.json("show", sealed, kept, code=ATTENTION)["damage"]
    shop.run("copy", sealed, shop.write("new.json", hashIds=True, encrypt=True, secret=OLD_SECRET), code=WRONG)
    shop.run("rewrap", sealed, code=WRONG)
    shop.run("ls", sealed, "--user", "user.name=Ann", code=WRONG)


def sails_disk(shop, *, idle: float = 0, encrypt=None, **changes) -> str:
    content = json.loads(SAILS_DISK.read_text())
    (row,) = content["data"]["sessions"]
    row["lastActivity"] = (time.time() - idle) * 1000
    if encrypt:
        row["payload"] = json.dumps(encrypt(json.loads(row["payload"]), row["id"]))
    content["data"]["sessions"].append({**row, **changes} if changes else {})
    path = shop.folder / "disk.db"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("encrypt", [None, LegacyEncrypter([SECRET]).encrypt], ids=["plain", "encrypted"])
def test_copy_out_of_sails_disk(shop, encrypt):
    """The data file of the original's sails-disk, as that wrote it, is copied into a store."""
    new = shop.write("new.json")
    assert shop.json("copy", sails_disk(shop, encrypt=encrypt), new) == {"copied": 1, "present": 0, "damaged": 0}
    (text,) = shop.stored("new.json").values()
    assert re.fullmatch(r'\{"_token":"[\w-]{40}","name":"Jörg","flash":\{"old":\[\],"new":\[\]\}\}', text)


def test_copy_out_of_sails_disk_with_damage(shop):
    """Of such a file, expired rows are left out, damaged ones told of, and a missing table is an error."""
    new = shop.write("new.json")
    disk = sails_disk(shop, id=BOB, payload='"not JSON"')
    assert shop.json("copy", disk, new, code=ATTENTION) == {"copied": 1, "present": 0, "damaged": 1}
    assert shop.json("copy", sails_disk(shop, idle=3601), new)["present"] == 0
    shop.run("copy", disk, shop.write("other.json", table="other"), code=WRONG)
    assert "has no table 'other', but 'sessions'" in shop.errors


def test_progress_on_a_terminal(shop, monkeypatch):
    """On a terminal a bar tells how far a copy is; elsewhere nothing does."""
    new = shop.write("new.json")
    shop.run("copy", shop.config, new)
    assert shop.errors == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shop.run("copy", shop.config, new)
    assert f"\r[{'#' * 40}] 3 of 3\n" in shop.errors


# -------------------------------------------------------------------- rewrap


def test_rewrap(shop):
    """Rewrap brings old secrets and the original's format to the present ones, and a second run finds nothing."""
    text = shop.stored()
    shop.put(ANN, LegacyEncrypter([OLD_SECRET]).encrypt(text[ANN], ANN))
    shop.put(BOB, AuthenticatedEncrypter([OLD_SECRET]).encrypt(text[BOB], BOB))
    shop.put(EVE, AuthenticatedEncrypter([SECRET]).encrypt(text[EVE], EVE))
    config = shop.write("sessions.json", encrypt=True, secret=[SECRET, OLD_SECRET])
    assert shop.json("rewrap", config) == {"rewritten": 2, "current": 1, "damaged": 0, "busy": 0}
    assert {id: AuthenticatedEncrypter([SECRET]).decrypt(each, id) for id, each in shop.stored().items()} == text
    assert shop.run("rewrap", config).strip() == "rewritten: 0, current already: 3, left as they were: 0"


def test_rewrap_reports_what_is_still_old(shop):
    """A record under a forgotten secret stays as it is, and is told of."""
    text = AuthenticatedEncrypter([OLD_SECRET]).encrypt("{}", ANN)
    shop.run("destroy", shop.config, "--all", "--yes")
    shop.put(ANN, text)
    out = shop.run("rewrap", shop.write("sessions.json", encrypt=True), code=ATTENTION)
    assert "left as they were: 1; unreadable under this config: 1" in out
    assert "encrypted under none of the secrets" in shop.errors
    assert shop.stored() == {ANN: text}


def test_rewrap_loses_no_write(shop, monkeypatch):
    """A session that writes while its record is rewritten keeps what it wrote."""
    shop.run("destroy", shop.config, "--all", "--yes")
    shop.put(ANN, LegacyEncrypter([SECRET]).encrypt('{"n":1}', ANN))
    write = FileDriver.write
    writes = []

    async def late(self, id, payload, version):
        if not writes:
            shop.put(ANN, LegacyEncrypter([SECRET]).encrypt('{"n":2}', ANN))
        writes.append(id)
        return await write(self, id, payload, version)

    monkeypatch.setattr(FileDriver, "write", late)
    assert shop.json("rewrap", shop.write("sessions.json", encrypt=True))["rewritten"] == 1
    assert AuthenticatedEncrypter([SECRET]).decrypt(shop.stored()[ANN], ANN) == '{"n":2}' and len(writes) == 2


def test_rewrap_without_encryption(shop):
    """Where nothing is encrypted, rewrap says so."""
    shop.run("rewrap", shop.config, code=WRONG)
    assert "encrypt is off" in shop.errors


# -------------------------------------------------------------------- check, table


def test_check(shop):
    """Check proves that the store works, leaves nothing there, and tells differences and risks."""
    config = shop.write("sessions.json", secure=True, csrf=True, lottery=[0, 1])
    text = shop.run("check", config)
    assert "OK       a record was written, read, replaced and removed" in text
    assert re.search(r'sameSite +"lax" +\(there: null\)', text) and re.search(r"strict +true +\(there: false\)", text)
    assert re.search(r"lifetime +3600000 +\(there: 300000\)", text)
    assert "WARNING  lottery: expired records are never removed" in text
    assert sorted(shop.stored()) == [ANN, BOB, EVE]
    data = shop.json("check", config)
    assert data["ok"] and data["differences"]["secure"] == {"here": True, "original": False}
    shop.run("check", config, "--strict", code=ATTENTION)


SAFE = {"secure": True, "csrf": True}
DATABASE = {"driver": "database", "connection": {"adapter": "sqlite", "database": ":memory:"}}


@pytest.mark.parametrize(
    "options",
    [
        {"secure": False},
        {"httpOnly": False},
        {"sameSite": None},
        {"csrf": False},
        {"strict": False},
        {"domain": "example.org"},
        {"trustProxy": True},
        {"encrypt": "legacy"},
        {"lottery": [0, 100]},
        {"driver": "memory"},
        {"secret": "short"},
        {"secret": "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD"},
        {"lifetime": 0},
        {"lifetme": 1},
    ],
    ids=str,
)
def test_check_warns_of_what_is_unsafe(shop, options):
    """Each unsafe option, and each that nobody knows, is warned of by its name; a safe config of nothing."""
    assert shop.json("check", shop.write("safe.json", **SAFE), "--strict")["warnings"] == []
    (warning,) = shop.json("check", shop.write("unsafe.json", **SAFE | options))["warnings"]
    assert next(iter(options)) in warning


def test_check_of_applications_that_take_each_others_cookies(shop):
    """Two configs with a secret and the store in common are warned of, unless bindName tells their cookies apart."""

    def warnings(one: dict, other: dict) -> list[str]:
        files = str(shop.files())
        paths = [
            shop.write(name, **{**SAFE, "files": files, **options})
            for name, options in {"one.json": one, "other.json": other}.items()
        ]
        return shop.json("check", *paths)["warnings"]

    shop.files().chmod(0o700)
    admin = {"cookie": "admin"}
    for one, other, cure in (
        ({}, admin, "set bindName in both"),
        ({}, {}, "set bindName in both"),
        ({"secret": [OLD_SECRET, SECRET]}, admin, "set bindName in both"),
        ({"bindName": True}, {"bindName": True}, "another cookie than 'node_session'"),
        (DATABASE, {**DATABASE, **admin, "files": "elsewhere"}, "set bindName in both"),
    ):
        (warning,) = warnings(one, other)
        assert "other.json: has the same secret and the same store" in warning and cure in warning
    for one, other in (
        ({}, {**admin, "secret": OLD_SECRET}),
        ({}, {**admin, "files": str(shop.folder / "elsewhere")}),
        ({"bindName": True}, {**admin, "bindName": True}),
        ({"bindName": True}, admin),
        ({}, {**admin, "hashIds": True}),
        (DATABASE, {**DATABASE, **admin, "table": "admins"}),
        (DATABASE, admin),
    ):
        assert warnings(one, other) == []
    shop.run("check", shop.config, str(shop.folder / "none.json"), code=WRONG)


def test_check_says_what_it_cannot_see(shop):
    """One config alone does not tell who else has its secret and its store: a note says so, and is no warning."""
    config = shop.write("safe.json", **SAFE)
    assert "NOTE     applications with the same secret" in shop.run("check", config, "--strict")
    assert len(shop.json("check", config)["notes"]) == 1
    bound = shop.write("bound.json", **SAFE, bindName=True)
    assert "NOTE" not in shop.run("check", bound) and shop.json("check", bound)["notes"] == []
    assert shop.json("check", bound)["differences"]["bindName"] == {"here": True, "original": False}


def test_root_looks_after_the_folder_of_another_user(shop, monkeypatch):
    """Root may use every command on the sessions of a program that runs as somebody else; check says whose they are."""
    if os.geteuid() == 0:
        os.chown(shop.files(), 65534, -1)
    owner = shop.files().stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(shop.json("ls", shop.config)) == 3
    assert shop.json("show", shop.config, "Ann")["attributes"]["user"]["name"] == "Ann"
    assert shop.json("copy", shop.config, shop.write("new.json"))["copied"] == 3
    assert shop.json("destroy", shop.config, "Bob") == {"destroyed": 1}
    assert shop.json("gc", shop.config) == {"removed": 0}
    checked = shop.json("check", shop.config)
    assert checked["ok"] and any(f"belongs to another user (uid {owner}" in each for each in checked["warnings"])


def test_a_folder_that_others_can_write(shop):
    """No command uses a folder into which others can put sessions; the message says what to do."""
    shop.files().chmod(0o777)
    for arguments in (["ls", shop.config], ["destroy", shop.config, "--all", "--yes"], ["gc", shop.config]):
        shop.run(*arguments, code=WRONG)
        assert "chmod go-w" in shop.errors
    assert "chmod go-w" in shop.json("check", shop.config, code=WRONG)["problems"][0]


def test_check_warns_of_a_folder_that_others_can_read(shop):
    """A folder of sessions that the whole machine can read is unsafe."""
    shop.files().chmod(0o755)
    assert any("chmod 700" in each for each in shop.json("check", shop.config)["warnings"])
    shop.files().chmod(0o700)
    assert not any("chmod 700" in each for each in shop.json("check", shop.config)["warnings"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("[]", "a dict of options"),
        ('{"lifetime": -1, "driver": "fiel"}', "driver: 'fiel' is not known"),
        (None, "cannot be read: No such file"),
    ],
)
def test_check_of_what_is_no_config(shop, text, expected):
    """A config that cannot be used is code 2, and the message names all that is wrong."""
    path = shop.folder / "wrong.json"
    if text is not None:
        path.write_text(text)
    data = shop.json("check", str(path), code=WRONG)
    assert not data["ok"] and expected in data["problems"][0]
    shop.run("ls", str(path), code=WRONG)
    assert expected in shop.errors


class Broken(MemoryDriver):
    """Fails in the way that is set."""

    error: Exception | None = None

    async def read(self, id):
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (UnavailableError("the database is down"), UNAVAILABLE, "the database is down"),
        (SessionError("no"), WRONG, "no"),
        (ZeroDivisionError("oops"), WRONG, "the driver fails: ZeroDivisionError: oops"),
        (None, WRONG, "what was written is not what is read again"),
    ],
    ids=str,
)
def test_check_of_a_store_that_does_not_work(shop, monkeypatch, error, code, expected):
    """A store that cannot be reached is code 3; a driver that does not do its work is code 2."""
    monkeypatch.setattr(Broken, "error", error)
    NodeSession.register_handler("broken", lambda config: Broken(0))
    config = shop.write("broken.json", driver="broken")
    assert expected in shop.json("check", config, code=code)["problems"][0]
    if code == UNAVAILABLE:
        shop.run("show", config, ANN, code=UNAVAILABLE)
        assert "the database is down" in shop.errors


def test_table(shop):
    """The file driver needs no table."""
    assert shop.run("table", shop.config).strip() == f"driver file, in {shop.files()}: nothing is needed"
    assert shop.json("table", shop.config, "--create") == {"needed": False}


def test_memory_is_out_of_reach(shop):
    """Commands on the memory driver are refused rather than shown an empty store."""
    shop.run("ls", shop.write("memory.json", driver="memory"), code=WRONG)
    assert "inside the program" in shop.errors


# -------------------------------------------------------------------- the program


def test_as_a_program(shop):
    """It runs as `python -m node_session`, explains itself and its exit codes, and survives `| head`."""
    command = [sys.executable, "-m", "node_session"]
    help = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("check", "table", "gc", "ls", "show", "destroy", "copy", "rewrap", "stats", "exit codes", "--whole"):
        assert word in help
    for number in range(3000):
        shop.put(f"{number:040d}", "{}")
    with subprocess.Popen([*command, "ls", shop.config], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == DONE
        assert process.stderr.read() == b""


def test_import(shop):
    """--import runs a module that registers a driver; one that is not there is an error of the arguments."""
    (shop.folder / "mine.py").write_text(
        "from node_session import NodeSession\nfrom node_session.drivers import FileDriver\n"
        "NodeSession.register_handler('mine', lambda config: FileDriver(config.files, config.lifetime))\n"
    )
    config = shop.write("mine.json", driver="mine", files=str(shop.files()))
    command = [sys.executable, "-m", "node_session", "ls", config, "--json"]
    done = subprocess.run([*command, "--import", "mine"], cwd=shop.folder, capture_output=True, text=True)
    assert done.returncode == DONE and len(json.loads(done.stdout)) == 3
    assert subprocess.run(command, cwd=shop.folder, capture_output=True).returncode == WRONG
    failed = subprocess.run([*command, "--import", "nowhere"], cwd=shop.folder, capture_output=True, text=True)
    assert failed.returncode == WRONG and "--import nowhere" in failed.stderr


def test_the_script(shop):
    """The package installs the script node-session, which is the same program and calls itself so in its help."""
    root = Path(__file__).parents[2]
    setup = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(shop.folder)]
    subprocess.run(setup, cwd=root, check=True, capture_output=True)
    (names,) = shop.folder.glob("*.egg-info/entry_points.txt")
    module, _, function = (
        re.search(r"node-session = ([\w.]+):(\w+)", names.read_text()).group(0).partition(" = ")[2].partition(":")
    )
    for name, program in (("node-session", "node-session"), ("__main__.py", "python -m node_session")):
        code = f"import sys; from {module} import {function}; sys.argv[0] = {name!r}; sys.exit({function}())"
        help = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
        assert help.stdout.startswith(f"usage: {program} [-h]") and f"`{program} COMMAND --help`" in help.stdout
        done = subprocess.run([sys.executable, "-c", code, "show", shop.config, "Zoe"], capture_output=True)
        assert done.returncode == ATTENTION


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["table"],
        ["gc"],
        ["ls"],
        ["show", "Ann"],
        ["show", ANN],
        ["stats"],
        ["destroy", "Ann"],
        ["destroy", ANN],
        ["destroy", "--all", "--yes"],
        ["destroy", "--older-than", "1d"],
        ["destroy", "--user", "a=b"],
        ["rewrap"],
        ["copy from"],
        ["copy to"],
    ],
    ids=" ".join,
)
def test_exit_codes(shop, arguments, monkeypatch):
    """Each command ends as --help says: 3 without its store, 2 with a config or a driver of no use, 130 by Ctrl-C."""
    command, *others = arguments
    copies = command.startswith("copy")

    def run(config: str, code: int) -> str:
        if copies:
            others[:] = [shop.config] if command == "copy from" else []
            before = [shop.config] if command == "copy to" else []
            shop.run("copy", *before, config, *others, code=code)
        else:
            return shop.run(command, config, *others, code=code) + shop.errors
        return shop.errors

    class Fails(FileDriver):
        def failing(self, *args, **kwargs):
            raise self.error

        read = write = destroy = gc = scan = failing

    NodeSession.register_handler("fails", lambda config: Fails(config.files, config.lifetime))
    fails = shop.write("fails.json", driver="fails", encrypt=True, files=str(shop.files()))
    needs_store = command != "table"
    Fails.error = UnavailableError("it is down")
    assert ("it is down" in run(fails, UNAVAILABLE if needs_store else DONE)) == needs_store
    Fails.error = ZeroDivisionError("a slip in it")
    assert ("a slip in it" in run(fails, WRONG if needs_store else DONE)) == needs_store
    if needs_store and command != "check":
        Fails.error = KeyboardInterrupt()
        assert run(fails, 130) == "interrupted\n"

    async def connect(config):
        raise ConnectionRefusedError(111, "Connection refused")

    NodeSession.register_handler("refused", connect)
    refused = shop.write("refused.json", driver="refused", encrypt=True)
    assert ("Connection refused" in run(refused, UNAVAILABLE if needs_store else DONE)) == needs_store
    for text in ("{", "[]", "[" * 100_000, '{"secret": "x", "driver": "nobody"}', b"\xff", None):
        path = shop.folder / "wrong.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode()) if text is not None else path.unlink()
        assert "wrong.json: " in run(str(path), WRONG)
    assert len(shop.stored()) == 3


def test_exit_codes_of_wrong_arguments(shop):
    """Arguments that make no sense are code 2 for each command, before anything is looked at."""
    for arguments in (
        [],
        ["nothing"],
        ["ls"],
        ["copy", shop.config],
        ["show", shop.config],
        ["show", shop.config, ""],
        ["ls", shop.config, "--limit", "-1"],
        ["ls", shop.config, "--limit", "x"],
        ["ls", shop.config, "--user", "=Ann"],
        ["stats", shop.config, "--whole"],
    ):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == WRONG, arguments


def test_import_that_fails(shop):
    """A module that --import cannot run is an error of the arguments, whatever it raises."""
    (shop.folder / "bad.py").write_text("1 / 0")
    command = [sys.executable, "-m", "node_session", "ls", shop.config, "--import", "bad"]
    failed = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True)
    assert failed.returncode == WRONG and "--import bad: ZeroDivisionError" in failed.stderr


def test_what_a_terminal_has_no_letters_for(shop):
    """Half an emoji, or any letter on a terminal of ASCII, is printed as an escape, and JSON stays JSON."""
    shop.put(ANN, '{"name":"J\u00f6rg","half":"\\ud83d"}')
    command = [sys.executable, "-m", "node_session", "show", shop.config, "Ann"]
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        assert subprocess.run(command, env=environment, capture_output=True).returncode == DONE
        done = subprocess.run([*command, "--json"], env=environment, capture_output=True)
        assert done.returncode == DONE
        assert json.loads(done.stdout)["attributes"] == {"name": "Jörg", "half": "\ud83d"}


def test_nowhere_to_print(shop):
    """A full disk under the output is told of and is no success: nobody can read what was found."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "node_session", "ls", shop.config]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == ATTENTION and done.stderr.startswith("error: done, but it cannot be printed")
    assert len(done.stderr.splitlines()) == 1


def test_interrupted_at_work(shop):
    """Ctrl-C while a store does not answer is code 130, without a traceback."""
    (shop.folder / "stuck.py").write_text(
        "import asyncio, sys\nfrom node_session import NodeSession\nfrom node_session.drivers import FileDriver\n"
        "class Stuck(FileDriver):\n"
        "    async def scan(self):\n"
        "        print('ready', file=sys.stderr, flush=True)\n"
        "        await asyncio.sleep(3600)\n"
        "        yield\n"
        "NodeSession.register_handler('stuck', lambda config: Stuck(config.files, 0))\n"
    )
    config = shop.write("stuck.json", driver="stuck")
    command = [sys.executable, "-m", "node_session", "ls", config, "--import", "stuck"]
    with subprocess.Popen(command, cwd=shop.folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "interrupted\n"
    assert process.returncode == 130


def test_interrupted(shop, monkeypatch):
    """Ctrl-C ends it with the code that a shell expects, and without a traceback."""

    def interrupt(main):
        main.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupt)
    shop.run("ls", shop.config, code=130)
    assert shop.errors == "interrupted\n"


# -------------------------------------------------------------------- spelling


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90_000), ("30m", 1_800_000), ("12h", 43_200_000), ("7d", 604_800_000), ("0.5w", 302_400_000)],
)
def test_spans_of_time(text, expected):
    """A span of time is a number and its unit."""
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 d", "7y", "1e9d", "٣d" + "x"])
def test_what_is_no_span_of_time(text, shop):
    """Anything else is an error of the arguments; nothing is destroyed."""
    with pytest.raises(SystemExit) as error:
        main(["destroy", shop.config, f"--older-than={text}"])
    assert error.value.code == WRONG and len(shop.stored()) == 3


def test_spelling():
    """Sizes and times are spelt for people; bars are in proportion, and none that counts is empty."""
    assert [size(each) for each in (0, 999, 1000, 1_234_567)] == ["0 B", "999 B", "1.0 kB", "1.2 MB"]
    assert [span(each) for each in (-5, 999, 59_999, 60_000, 3_600_000, 9e8)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "10 d",
    ]
    assert bars([("a", 1000), ("b", 1), ("c", 0)], width=4) == "  a  1000  ####\n  b  1     #\n  c  0"


# -------------------------------------------------------------------- records that steer a terminal

STEER = "\x1b]0;owned\x07\r\n\x9b31m\u202e\x7f"
STRANGE = [
    "\x1b]0;owned\x07" + "a" * 33,
    "\r\nfake line 1 B",
    "\u202e\x9b2J",
    "a" * 39 + "\n",
    "'; DROP TABLE sessions; --",
    "short",
    b"\xff\xfe".hex(),
]


class Planted(MemoryDriver):
    """A store that somebody else writes into: ids that are none, halves of surrogate pairs, control characters."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[str] = []

    async def destroy(self, id, version=None):
        self.asked.append(id)
        await super().destroy(id, version)


def plant(shop, kind: str, **options) -> tuple[str, set[str]]:
    """A store with two sessions and many strange records; gives its config and how many records there are."""
    content = json.dumps({"k" + STEER: "v" + STEER, "half": "\ud800", "\udc80": 1, "big": float("inf")})
    content = content.replace("Infinity", "1e999")
    raw = '{"half":"\ud800\x9b31m\u202e\x7f"}'
    ids = {ANN: content, BOB: raw, **dict.fromkeys(STRANGE, content), "\udc80half": raw}
    if kind == "planted":
        driver = Planted()
        driver._records.update({id: (text, time.monotonic() - 1) for id, text in ids.items()})
        NodeSession.register_handler("planted", lambda config: driver)
        return shop.write("strange.json", driver="planted", **options), ids
    del ids["\udc80half"]  # SQLite keeps no such id, and its driver takes a text with half a pair for a damaged one
    ids[BOB] = raw.replace("\ud800", r"\ud800")
    file = shop.folder / "strange.sqlite"
    config = shop.write(
        "strange.json", driver="database", connection={"adapter": "sqlite", "database": str(file)}, **options
    )
    shop.run("destroy", config, "--all", "--yes")  # makes the table
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for id, text in [*ids.items(), (b"\xff\xfeblob", content)]:
            row = (id, json.dumps(text), int(time.time() * 1000))
            connection.execute("INSERT INTO sessions (id, payload, lastActivity) VALUES (?, ?, ?)", row)
    return config, {*ids, "blob"}


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture(params=["planted", "sqlite"])
def strange(shop, request):
    return plant(shop, request.param)


def test_nothing_steers_the_terminal(shop, strange):
    """Whatever ids, keys and values are, what is printed for a person steers no terminal and fakes no line."""
    config, ids = strange
    listing = shop.run("ls", config, "--whole")
    assert is_harmless(listing) and len(listing.splitlines()) == len(ids) + 2
    assert r"\x1b]0;owned\x07" in listing and r"\u202e\x9b2J" in listing
    for options in ([], ["--whole"]):
        assert is_harmless(shop.run("ls", config, *options))
        for start in ("Ann", "Bob", "\x1b", "\r", "\u202e", "short"):
            shown = shop.run("show", config, start, *options)
            assert is_harmless(shown + shop.errors) and r"\ud800" in shown
    assert r"\u001b]0;owned\u0007\r\n\x9b31m\u202e\x7f" in shop.run("show", config, "Ann")
    assert is_harmless(shop.run("stats", config))
    shop.run("show", config, "\x1bnobody", code=ATTENTION)
    assert is_harmless(shop.errors)
    shop.run("ls", config.replace("strange", "\x1b]0;"), code=WRONG)
    assert is_harmless(shop.errors)


def test_json_is_valid_whatever_is_stored(shop, strange):
    """For a program it is JSON in ASCII, without control characters and NaN, that says the same."""
    config, ids = strange

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    for arguments in (["ls", "--whole"], ["ls"], ["stats"], ["show", "Ann"], ["show", "Bob"], ["show", "\x1b"]):
        command, *others = arguments
        text = shop.run(command, "--json", config, *others)
        assert text.isascii() and text.strip("\n").isprintable()
        data = json.loads(text, parse_constant=refuse)
    assert data["id"].startswith("\x1b]0;o")
    attributes = shop.json("show", config, "Ann")["attributes"]
    assert attributes == {"k" + STEER: "v" + STEER, "half": "\ud800", "\udc80": 1, "big": None}
    assert len(shop.json("ls", config)) == len(ids)


def test_copy_passes_over_what_is_no_session(shop, strange):
    """Records whose id is none are told of, passed over and counted; every session is copied, halves of pairs, too."""
    config, ids = strange
    new = shop.write("new.json")
    expected = {"copied": 2, "present": 0, "damaged": 0, "passedOver": len(ids) - 2}
    assert shop.json("copy", config, new, code=ATTENTION) == expected
    assert shop.errors.count("is passed over") == len(ids) - 2 and is_harmless(shop.errors)
    assert sorted(shop.stored("new.json")) == [ANN, BOB]
    assert json.loads(shop.stored("new.json")[BOB])["half"].startswith("\ud800")
    assert f"; {len(ids) - 2} records passed over" in shop.run("copy", config, new, code=ATTENTION)


@pytest.mark.parametrize("kind", ["planted", "sqlite"])
def test_rewrap_passes_over_what_is_no_session(shop, kind):
    """So does rewrap."""
    config, ids = plant(shop, kind, encrypt=True)
    counts = shop.json("rewrap", config, code=ATTENTION)
    assert counts == {"rewritten": 0, "current": 0, "damaged": 2, "busy": 0, "passedOver": len(ids) - 2}
    assert is_harmless(shop.errors)


@pytest.mark.parametrize("which", [["--all", "--yes"], ["--older-than", "0s"]], ids=["all", "old"])
def test_destroy_passes_over_what_is_no_session(shop, strange, which, monkeypatch):
    """Destroy removes the sessions, and counts the records that it leaves; by its beginning none is removed either."""
    config, ids = strange

    async def nothing(self, lifetime):
        return 0

    monkeypatch.setattr(MemoryDriver, "gc", nothing)
    monkeypatch.setattr(SqliteDriver, "gc", nothing)
    shop.run("destroy", config, "\x1b", code=ATTENTION)
    assert is_harmless(shop.errors) and "its id is none" in shop.errors
    time.sleep(0.002)  # or the last record is not older than nothing
    assert shop.json("destroy", config, *which, code=ATTENTION) == {"destroyed": 2, "passedOver": len(ids) - 2}
    assert is_harmless(shop.errors)
    assert len(shop.json("ls", config)) == len(ids) - 2


def test_destroy_of_a_user_passes_over_what_is_no_session(shop, strange):
    """So it is with the sessions of a user: what else has this value is left, told of and counted."""
    config, ids = strange
    wanted = ["--user", f"k{STEER}=v{STEER}"]
    counts = shop.json("destroy", config, *wanted, code=ATTENTION)
    assert counts == {"destroyed": 1, "damaged": 0, "busy": 0, "passedOver": len(ids) - 2}
    assert shop.errors.count("is passed over") == len(ids) - 2 and is_harmless(shop.errors)
    assert len(shop.json("ls", config)) == len(ids) - 1


def test_copy_out_of_sails_disk_passes_over_what_is_no_session(shop):
    """So it is with rows of sails-disk, whatever is in the place of their id."""
    new = shop.write("new.json")
    for id in ("\x1b]0;owned\x07", 7, [1], {"a": 1}, "\ud800"):
        counts = shop.json("copy", sails_disk(shop, id=id), new, code=ATTENTION)
        assert counts["passedOver"] == 1 and is_harmless(shop.errors)


@pytest.mark.parametrize("encoding", ["ascii", "latin1", "cp1252", "utf-8"])
def test_a_terminal_of_another_encoding(shop, strange, encoding):
    """What the terminal's encoding has no characters for is escaped, and ends no command."""
    config, _ = strange
    if "planted" in Path(config).read_text():
        config = shop.config
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for command in (["ls", config], ["show", config, "Ann"], ["stats", config]):
        arguments = [sys.executable, "-m", "node_session", *command]
        done = subprocess.run(arguments, env=environment, capture_output=True)
        assert done.returncode == DONE, done.stderr
        assert is_harmless(done.stdout.decode(encoding))
