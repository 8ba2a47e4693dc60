"""Records that the config does not fit, damaged ones, and half-written ones."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter

import pytest
from visitors import OLD_SECRET

from cli.shop import ANN
from node_session.cli import ATTENTION, DONE, WRONG
from node_session.drivers import FileDriver

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
    """Show names the options to check in the config."""
    config = shop.write("sessions.json", encrypt=True)
    assert "is encrypt set for a store" in shop.run("show", config, "Ann", code=ATTENTION)


@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"cut off'], ids=repr)
@pytest.mark.parametrize("command", ["ls", "stats", "copy", "rewrap"])
@pytest.mark.parametrize("idle", [0, 60])
def test_many_damaged_records_take_no_time(shop, monkeypatch, content, command, idle):
    """For old damaged records nobody waits, and for those written just now once, for all of them together."""
    waits = Counter()
    start = time.time()

    async def sleep(seconds):
        waits[asyncio.current_task()] += seconds

    for number in range(1000):
        file = shop.files() / f"F{number:039d}"
        file.write_bytes(content)
        os.utime(file, (start - idle, start - idle))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "time", lambda: start + 0.001 + waits.total())
    monkeypatch.setattr(FileDriver, "half_written_for", float("inf"))
    config = shop.write("sessions.json", encrypt=command == "rewrap")
    arguments = [shop.write("new.json")] if command == "copy" else []
    data = shop.json(command, config, *arguments, code=ATTENTION)
    damaged = sum("damage" in each for each in data) if command == "ls" else data["damaged"]
    assert damaged == (1003 if command == "rewrap" else 1000)
    longest = max(waits.values(), default=0)
    assert longest == 0 if idle else 1.2 < longest < 1.3
    assert len(waits) <= (16 if command in ("copy", "rewrap") else 1)  # so many wait concurrently


def test_a_record_that_is_being_written(shop, monkeypatch):
    """A file that the original has truncated just now is read again for as long as it may be writing."""
    shop.put(ANN, "")
    written = (shop.files() / ANN).stat().st_mtime
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        if sum(waits) > 1:
            shop.put(ANN, '{"user":{"name":"Ann"}}')

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "time", lambda: written + 0.1)
    monkeypatch.setattr(FileDriver, "half_written_for", float("inf"))
    assert len(shop.json("ls", shop.config, "--user", "user.name=Ann")) == 1
    assert 1.2 < sum(waits) < 1.3
