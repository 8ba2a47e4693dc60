"""The waits between the tries of a compare-and-swap that others keep winning."""

from __future__ import annotations

import asyncio
import random
import time

from .errors import UnavailableError


class Retry:
    """The waits between the tries to change one record.

    Args:
        timeout: The time limit in milliseconds; the policy's `save_timeout`.
        name: What is to be changed, for the error: ``session kq3v7x…``.
        tries: The number of tries so far.
    """

    def __init__(self, timeout: float, name: str, tries: int = 0) -> None:
        self._timeout = timeout
        self._name = name
        self._started = time.monotonic()
        self._tries = tries

    async def wait(self) -> None:
        """Wait a moment, with jitter: otherwise two processes would keep colliding.

        Raises:
            UnavailableError: The time limit is reached.
        """
        self._tries += 1
        if time.monotonic() - self._started > self._timeout / 1000:
            raise UnavailableError(f"{self._name} was changed by others during each of {self._tries} tries to save it")
        await asyncio.sleep(random.uniform(0, 0.002) * min(self._tries, 10))  # noqa: S311 - no secret
