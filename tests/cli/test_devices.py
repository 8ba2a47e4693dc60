"""devices and destroy --owner; and what the other commands make of the lists of devices."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path

import pytest
from visitors import SECRET
from world import start_session_of

from node_session import NodeSession
from node_session.cli import ATTENTION, WRONG

OPTIONS = pytest.mark.parametrize("options", [{}, {"hashIds": True}, {"encrypt": True}], ids=str)


def log_in(shop, *owners, name="sessions.json", **options) -> list[str]:
    """Write the config, and log users in; returns their sessions' ids."""
    config = json.loads(Path(shop.write(name, **options)).read_text())

    async def main():
        sessions, made = NodeSession(config), []
        for owner in owners:
            session = await start_session_of(sessions, None)
            session.set_owner(owner)
            await session.save()
            made.append(session.get_id())
        await sessions.close()
        return made

    return asyncio.run(main())


@OPTIONS
def test_devices(shop, options):
    """A user's devices are listed, and nobody else's."""
    log_in(shop, "ann", "ann", "bob", **options)
    assert shop.run("devices", shop.config, "ann").splitlines()[-1] == "2 devices"
    assert shop.run("devices", shop.config, "eve") == "0 devices\n"
    (device,) = shop.json("devices", shop.config, "bob")
    assert device.keys() == {"id", "began", "used", "address", "userAgent"}
    assert datetime.fromisoformat(device["began"]) <= datetime.fromisoformat(device["used"])


@OPTIONS
def test_destroy_owner(shop, options):
    """A user is logged out on all devices; a second time nothing is left to do."""
    log_in(shop, "ann", "ann", "bob", **options)
    assert shop.run("destroy", shop.config, "--owner", "ann") == "logged 2 devices out\n"
    assert shop.json("destroy", shop.config, "--owner", "ann", code=ATTENTION) == {"destroyed": 0}
    assert shop.run("devices", shop.config, "bob").endswith("1 device\n")


@pytest.mark.parametrize("command", [["devices"], ["destroy", "--owner"]], ids=" ".join)
def test_no_owner(shop, command):
    """What cannot be an owner is an error."""
    first, *rest = command
    for owner in ("", "x" * 2000):
        shop.run(first, shop.config, *rest, owner, code=WRONG)


def test_ls_stats_and_show(shop):
    """A list of devices is no session: ls and stats leave it out, and show hides its ids."""
    (id,) = log_in(shop, "ann")
    (one,) = set(shop.stored()) - {id, *(each["id"] for each in shop.json("ls", shop.config, "--whole"))}
    assert "_devices" in shop.stored()[one]
    stats = shop.json("stats", shop.config)
    assert (stats["sessions"], stats["lists"]) == (4, 1)
    assert "1 list of a user's devices" in shop.run("stats", shop.config)
    shown = shop.run("show", shop.config, one)
    assert "ann" in shown and id[:6] in shown and id not in shown
    assert id in shop.run("show", shop.config, one, "--whole")


@pytest.mark.parametrize("target", [{}, {"encrypt": True}, {"hashIds": True}, {"secret": ["a" * 32, SECRET]}], ids=str)
def test_copy(shop, target):
    """A copied list has the copied sessions, also where ids are hashed."""
    log_in(shop, "ann", "ann")
    to = shop.write("copy.json", **target)
    shop.run("copy", shop.config, to)
    assert shop.run("devices", to, "ann").endswith("2 devices\n")
    assert shop.run("destroy", to, "--owner", "ann") == "logged 2 devices out\n"
