"""A probe of a store: does it keep records as it should?"""

from __future__ import annotations

import time
from typing import NamedTuple

from .. import ids
from ..config import Config
from ..drivers import Driver
from ..errors import SessionError, UnavailableError
from .open_store import open_driver
from .outcome import DONE, UNAVAILABLE, WRONG


class Probe(NamedTuple):
    """The result of the probe.

    Attributes:
        problem: The fault of the store; empty if there is none.
        code: The exit code that says so.
        milliseconds: The time that it took.
    """

    problem: str
    code: int
    milliseconds: float


async def probe(config: Config) -> Probe:
    """Write, read, replace and remove a record of our own in the store of a config."""
    started = time.monotonic()
    try:
        driver = await open_driver(config)
        try:
            await _round_trip(driver, ids.generate(), '{"probe":"Jörg \U0001f600"}')
        finally:
            await driver.close()
    except UnavailableError as error:
        return Probe(f"the store cannot be used: {error}", UNAVAILABLE, 0)
    except SessionError as error:
        return Probe(str(error), WRONG, 0)
    except Exception as error:  # for example of a user's own driver: to find it is what we were asked for
        return Probe(f"the driver fails: {type(error).__name__}: {error}", WRONG, 0)
    return Probe("", DONE, (time.monotonic() - started) * 1000)


async def _round_trip(driver: Driver, id: str, text: str) -> None:
    longer = f'{{"probes":[{text},{text}]}}'  # an object of JSON as well: a store may take nothing else
    version = await driver.write(id, text, None)
    try:
        for expected in (text, longer):
            record = await driver.read(id)
            if record is None or record.payload != expected:
                raise SessionError("the driver does not read what it has written")
            version = await driver.write(id, longer, version)
        await driver.touch(id)
    finally:
        await driver.destroy(id)
    if await driver.read(id) is not None:
        raise SessionError("a record that was destroyed can still be read")
