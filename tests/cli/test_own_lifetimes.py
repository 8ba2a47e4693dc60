"""Commands on sessions with a lifetime of their own: their stored time is not that of their last activity."""

from __future__ import annotations

import json
import time

import pytest
from visitors import OLD_SECRET, SECRET

from cli.shop import ANN, BOB, EVE

HOUR = 3_600_000  # of the shop
DAY = 24 * HOUR
MINUTE = 60_000

LIST = "l" * 40  # the id of a list of devices


@pytest.fixture
def shop(shop):
    """The shop's sessions, of which Ann's lives for 30 days, idle for two, and Bob's for a minute, idle for 5 s."""
    put(shop, ANN, lifetime=30 * DAY, idle=2 * DAY)
    put(shop, BOB, lifetime=MINUTE, idle=5000)
    return shop


def put(shop, id: str, *, lifetime: float, idle: float) -> None:
    shop.put(id, json.dumps({"name": id[:3], "_lifetime": lifetime}), idle=(idle + HOUR - lifetime) / 1000)


def left(shop, id: str, name: str = "sessions.json") -> float:
    """The milliseconds after which a record expires."""
    return HOUR - (time.time() - (shop.files(name) / id).stat().st_mtime) * 1000


def is_about(milliseconds, wanted) -> bool:
    return wanted - 2 * MINUTE < milliseconds <= wanted + 1000


def test_ls(shop):
    """The listing has the real idle times, and sorts by them."""
    listed = shop.json("ls", "--whole", "--sort", "idle", shop.config)
    idle = {line["id"]: line["idleMilliseconds"] for line in listed}
    assert list(idle) == [BOB, EVE, ANN]
    assert 5000 <= idle[BOB] < HOUR / 2 and 2 * DAY <= idle[ANN] < 2 * DAY + HOUR


def test_stats(shop):
    """The statistics have the real idle times."""
    idle = shop.json("stats", shop.config)["idleMilliseconds"]
    assert idle["least"] < HOUR / 2 and idle["most"] >= 2 * DAY


def test_show(shop):
    """The lifetime is in the shown content."""
    assert shop.json("show", shop.config, ANN)["attributes"]["_lifetime"] == 30 * DAY


def test_gc(shop):
    """A record is removed after its own lifetime, and not before."""
    put(shop, EVE, lifetime=MINUTE, idle=MINUTE + 1000)
    assert shop.json("gc", shop.config)["removed"] == 1
    assert shop.stored().keys() == {ANN, BOB}


@pytest.mark.parametrize(("older", "stay"), [("1d", {BOB, EVE}), ("20m", {BOB}), ("3d", {ANN, BOB, EVE})])
def test_destroy_older(shop, older, stay):
    """Sessions that were idle for too long are destroyed; one that only expires early is not."""
    put(shop, BOB, lifetime=15 * MINUTE, idle=5000)
    shop.json("destroy", shop.config, "--older-than", older)
    assert shop.stored().keys() == stay


@pytest.mark.parametrize("lifetime", [HOUR, 2 * HOUR])
def test_copy(shop, lifetime):
    """A copy keeps the last activity of such a session, and so its end, in a store with another lifetime too."""
    new = shop.write("new.json", lifetime=lifetime, encrypt=True)
    assert shop.json("copy", shop.config, new)["copied"] == 3
    listed = {line["id"]: line["idleMilliseconds"] for line in shop.json("ls", "--whole", new)}
    assert 2 * DAY <= listed[ANN] < 2 * DAY + HOUR and 5000 <= listed[BOB] < HOUR / 2
    assert is_about(left(shop, ANN, "new.json"), 28 * DAY - lifetime + HOUR)


def test_copy_what_cannot_be_read(shop):
    """Where records cannot be read, they keep their time as it is."""
    for name in ("old.json", "new.json"):
        shop.write(name, encrypt=True, hashIds=True)
    old, new = (str(shop.folder / name) for name in ("old.json", "new.json"))
    shop.json("copy", shop.config, old)
    assert shop.json("copy", old, new)["copied"] == 3
    assert sorted(round(left(shop, file, "new.json") / DAY) for file in shop.stored("new.json")) == [0, 0, 28]


def test_rewrap(shop):
    """A rewritten record counts as active then, and lives as long as its lifetime says."""
    new = shop.write("new.json", encrypt=True, secret=OLD_SECRET)
    shop.json("copy", shop.config, new)
    shop.write("new.json", encrypt=True, secret=[SECRET, OLD_SECRET])
    assert shop.json("rewrap", new)["rewritten"] == 3
    assert is_about(left(shop, ANN, "new.json"), 30 * DAY) and is_about(left(shop, BOB, "new.json"), MINUTE)


def test_lists_of_devices(shop):
    """A list of devices that was copied or rewritten lives as long as the longest session in it."""
    devices = {f"{number:032x}": {"ids": [], "at": 0} for number in range(2)}
    devices[f"{0:032x}"]["_lifetime"] = 30 * DAY
    shop.put(LIST, json.dumps({"_devices": {"owner": "ann", "out": 0, "list": devices}}), idle=-29 * DAY / 1000)
    new = shop.write("new.json", encrypt=True, secret=OLD_SECRET)
    shop.json("copy", shop.config, new)
    assert left(shop, LIST, "new.json") > 29 * DAY
    shop.write("new.json", encrypt=True, secret=[SECRET, OLD_SECRET])
    assert shop.json("rewrap", new)["rewritten"] == 4
    assert left(shop, LIST, "new.json") > 29 * DAY
