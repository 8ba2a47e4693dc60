"""Run a test of a driver, which this makes and closes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ..drivers import Driver, PlainDriver
from ..errors import ConflictError

TEXT = '{"_token":"t","name":"Jörg \\u0000 \U0001f600","list":[1,2.5,null],"line":"\\n"}'

_LIFETIME = 60_000


class DriverScenario:
    """The settings of all tests of a driver, and how they run.

    Derive from `DriverContract`, and override `make_driver`.
    """

    versions = True
    """Whether the driver compares versions. If not, the tests expect that the last write wins."""

    expires = True
    """Whether a record that is idle for longer than the lifetime is no longer read."""

    expired_is_gone = False
    """Whether the store itself removes a record the moment it expires, as Redis does. A request that was under way can
    then no longer replace it."""

    lists = True
    """Whether the driver can list its records."""

    def make_driver(self, lifetime: float) -> Any:
        """Make a driver on an empty store. Override this method.

        Args:
            lifetime: In milliseconds, as in the config.

        Returns:
            A `Driver`, an object with read, write and destroy, or an awaitable of one.
        """
        raise NotImplementedError

    async def age(self, driver: Driver, id: str, milliseconds: float) -> None:
        """Make a record's last activity so much older.

        By default this waits; override it to save the time.
        """
        await asyncio.sleep(milliseconds / 1000)

    def _scaled(self, milliseconds: int) -> int:
        """Make a time of a test so long that a busy machine does not matter, unless `age` waits for it."""
        return milliseconds if type(self).age is DriverScenario.age else milliseconds * 60

    def _run(self, scenario: Callable[[Driver], Awaitable[None]], lifetime: float = _LIFETIME) -> None:
        """Run a test on a driver of its own, which is closed afterwards."""

        async def main() -> None:
            made = self.make_driver(lifetime)
            if inspect.isawaitable(made):
                made = await made
            driver = made if isinstance(made, Driver) else PlainDriver(made)
            try:
                await scenario(driver)
            finally:
                await driver.close()

        asyncio.run(main())

    async def _conflicts(self, operation: Awaitable[object]) -> None:
        """Expect a `ConflictError` of a driver with versions, and success of one without."""
        try:
            await operation
        except ConflictError:
            assert self.versions, "a driver without versions cannot know of a conflict"
        else:
            assert not self.versions, "this is a ConflictError: somebody else was first"


def record_id(number: int) -> str:
    """Make the id of a record."""
    return f"{number:040d}"


async def read_text(driver: Driver, id: str) -> str | None:
    """Read the text of a record; None if there is none."""
    record = await driver.read(id)
    return None if record is None else record.payload
