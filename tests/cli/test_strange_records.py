"""Records that steer a terminal, and those whose id is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.shop import ANN, BOB, sails_disk
from node_session import NodeSession
from node_session.cli import ATTENTION, DONE, WRONG
from node_session.drivers import MemoryDriver
from node_session.drivers.sqlite import SqliteDriver

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
        super().__init__(0, clock=lambda: self.now)
        self.now = 0.0

    async def plant(self, texts: dict[str, str]) -> None:
        for id, text in texts.items():
            await self.write(id, text, None)
        self.now = 1.0


def plant(shop, kind: str, **options) -> tuple[str, set[str]]:
    """A store with two sessions and many strange records; gives its config and how many records there are."""
    content = json.dumps({"k" + STEER: "v" + STEER, "half": "\ud800", "\udc80": 1, "big": float("inf")})
    content = content.replace("Infinity", "1e999")
    raw = '{"half":"\ud800\x9b31m\u202e\x7f"}'
    ids = {ANN: content, BOB: raw, **dict.fromkeys(STRANGE, content), "\udc80half": raw}
    if kind == "planted":
        driver = Planted()
        asyncio.run(driver.plant(ids))
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
    assert is_harmless(shop.errors) and "is no session, as its id shows" in shop.errors
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
    """Characters missing from the terminal's encoding are escaped, and end no command."""
    config, _ = strange
    if "planted" in Path(config).read_text():
        config = shop.config
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for command in (["ls", config], ["show", config, "Ann"], ["stats", config]):
        arguments = [sys.executable, "-m", "node_session", *command]
        done = subprocess.run(arguments, env=environment, capture_output=True)
        assert done.returncode == DONE, done.stderr
        assert is_harmless(done.stdout.decode(encoding))
