"""Old records of regenerated sessions that a killed process has left, in stores whose records never expire."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from stores import STORES, another_program
from world import start_session_of

from node_session import NodeSession
from node_session.drivers.hashed import HashedDriver

pytestmark = [
    pytest.mark.gen_test(timeout=60),
    pytest.mark.filterwarnings("ignore::node_session.errors.ConfigWarning"),  # a lifetime of 0 is doubtful
]

GRACE = 1_000_000
"""In milliseconds: so long that no machine is too slow for it."""


@pytest.fixture(params=STORES, ids=str)
def options(request):
    return {"lifetime": 0, "regenerateGrace": GRACE, **request.param}


async def regenerate(sessions: NodeSession, content: dict) -> tuple[str, str]:
    """Store a session and regenerate it; return its old and its new id."""
    session = await start_session_of(sessions, None)
    session.put(content)
    await session.save()
    old = session.get_id()
    session.regenerate(True)
    await session.save()
    return old, session.get_id()


@pytest.fixture
def pass_graces(monkeypatch):
    """Lets three graces pass, for the clocks of all machines, while no timer runs."""

    def pass_graces() -> None:
        there, since_boot = time.time, time.monotonic
        seconds = 3 * GRACE / 1000
        monkeypatch.setattr(time, "time", lambda: there() + seconds)
        monkeypatch.setattr("node_session.sweeping.time", SimpleNamespace(monotonic=lambda: since_boot() + seconds))

    return pass_graces


@pytest.mark.parametrize("encryption", [{}, {"encrypt": True}, {"hashIds": True}, {"encrypt": "legacy"}], ids=str)
async def test_the_first_sweep_removes_them(sessions, config, encryption, pass_graces):
    """They are gone after a sweep of the next process, and nothing else is."""
    killed = NodeSession({**config, **encryption})
    old, new = await regenerate(killed, {"cart": ["book"]})
    other = await start_session_of(killed, None)
    other.put("_left", "by the bus")
    await other.save()
    driver = await killed.driver()
    NodeSession.register_handler("same", lambda config: driver.driver if isinstance(driver, HashedDriver) else driver)
    next_one = NodeSession({**config, **encryption, "driver": "same"})
    assert await next_one.sweep() == 0  # others may still be asked for it
    assert await driver.read(old) is not None
    pass_graces()
    young, _ = await regenerate(next_one, {})
    assert await next_one.sweep() == 1
    assert await driver.read(old) is None
    for id in (new, other.get_id(), young):
        assert await driver.read(id) is not None
    await driver.close()


@pytest.mark.parametrize(
    "options", [{"driver": "memory", "lifetime": each, "regenerateGrace": GRACE} for each in (300_000, 0)], ids=str
)
async def test_the_store_is_listed_once(sessions, config, pass_graces):
    """Only where no session expires is the store read for them, by one sweep of each process."""
    again = await another_program(sessions, config)
    pass_graces()
    driver, listings = await sessions.driver(), []
    scan = driver.scan
    driver.scan = lambda: listings.append(None) or scan()
    await again.sweep()
    await again.sweep()
    assert len(listings) == (1 if config.get("lifetime") == 0 else 0)


@pytest.mark.parametrize("options", [{"driver": "slow", "lifetime": 0, "regenerateGrace": GRACE}], ids=str)
async def test_a_driver_that_cannot_list(sessions, pass_graces):
    """A driver of a program's own that cannot list its records is swept as before."""
    await sessions.driver()
    pass_graces()
    assert await sessions.sweep() == 0


@pytest.mark.parametrize("options", [{"driver": "memory", "lifetime": 0, "regenerateGrace": GRACE}], ids=str)
async def test_damaged_records_stay(sessions, config, pass_graces):
    """Records that are damaged, or no sessions, are passed over."""
    again = await another_program(sessions, config)
    driver = await sessions.driver()
    texts = {"D" * 40: '{"_left"', "E" * 40: '{"_left":1}', "no id": json.dumps({"_left": {"at": 1, "to": "A" * 40}})}
    for id, text in texts.items():
        await driver.write(id, text, None)
    pass_graces()
    assert await again.sweep() == 0
    assert {entry.id: entry.payload async for entry in driver.scan()} == texts


@pytest.mark.parametrize("options", [{"driver": "memory", "lifetime": 0, "regenerateGrace": GRACE}], ids=str)
@pytest.mark.parametrize("moment", ["listed", "read"])
async def test_one_that_is_used_again_stays(sessions, config, pass_graces, moment):
    """A record that somebody replaces after it was listed, or read to make sure, is not removed."""
    again = await another_program(sessions, config)
    old, _ = await regenerate(again, {})
    driver = await sessions.driver()
    pass_graces()
    scan, read = driver.scan, driver.read

    async def replace_if(now):
        if now == moment:
            await driver.destroy(old)
            await driver.write(old, '{"user":"Eve"}', None)

    async def listing():
        async for entry in scan():
            if entry.id == old:
                await replace_if("listed")
            yield entry

    async def reading(id):
        record = await read(id)
        await replace_if("read")
        return record

    driver.scan, driver.read = listing, reading
    assert await again.sweep() == 0
    assert (await read(old)).payload == '{"user":"Eve"}'
