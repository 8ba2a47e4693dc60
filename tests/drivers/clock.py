"""The contract of a driver that takes a clock."""

from __future__ import annotations

import time

from node_session.testing import DriverContract


class ClockContract(DriverContract):
    """The contract on a clock of the test's own, so that no test waits.

    Give `clock` to the driver.
    """

    @property
    def clock(self):
        """Stands still but where `age` moves it."""
        self.now = time.time()
        return lambda: self.now

    async def age(self, driver, id, milliseconds):
        record = await driver.read(id)
        back = (record.idle + milliseconds) / 1000
        self.now -= back
        await driver.touch(id)
        self.now += back
