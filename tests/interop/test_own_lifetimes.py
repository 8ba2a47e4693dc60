"""A session with a lifetime of its own that both programs use."""

from __future__ import annotations

import asyncio
import json

from doors import SECRET

from node_session import cookies, drivers
from node_session.config import Config

ID = "a" * 40
DAY = 86_400_000


def test_the_original_uses_it(open_door, tmp_path):
    """The original reads and changes such a session, and leaves the lifetime in it, which counts here again."""
    options = {"secret": SECRET, "files": str(tmp_path), "lifetime": 3_600_000, "lottery": [0, 100]}
    original, ours = (open_door(side, files=tmp_path, lifetime=3_600_000) for side in ("original", "ours"))
    cookie = f"node_session={cookies.sign(ID, SECRET)}"

    async def left() -> float:
        driver = await drivers.create(Config.from_dict(options))
        record = await driver.read(ID)
        await driver.close()
        return 3_600_000 - record.idle

    async def prepare() -> None:
        driver = await drivers.create(Config.from_dict(options))
        text = json.dumps({"_token": "t", "user": "Ann", "_lifetime": 30 * DAY}, separators=(",", ":"))
        await driver.write(ID, text, None, idle=3_600_000 - 30 * DAY)
        await driver.close()

    asyncio.run(prepare())
    assert original.ask([["get", "user"], ["put", "city", "Riga"]], cookie)[0][0] == "Ann"
    assert asyncio.run(left()) <= 3_600_000  # the original knows its own lifetime only
    results, line = ours.ask([["get", "city"], ["put", "seen", True]], cookie)
    assert results[0] == "Riga" and "Max-Age=2592000;" in line
    assert asyncio.run(left()) > 29 * DAY
    assert original.ask([["get", "_lifetime"], ["get", "seen"]], cookie)[0] == [30 * DAY, True]
