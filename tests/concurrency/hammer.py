"""Many clients push onto one session's list, through concurrent processes: is everything there?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, NamedTuple

from .fleet import Client, Fleet


class Outcome(NamedTuple):
    """The findings of a hammer.

    Attributes:
        pushed: What was acknowledged, as (client, number).
        found: What the session's list holds in the end.
    """

    pushed: list[tuple[int, int]]
    found: list[tuple[int, int]]

    @property
    def lost(self) -> list[tuple[int, int]]:
        """The acknowledged pushes that are missing."""
        return sorted(set(self.pushed) - set(self.found))

    @property
    def excess(self) -> list[tuple[int, int]]:
        """The pushes that are there too often."""
        return sorted((Counter(self.found) - Counter(self.pushed)).elements())

    @property
    def disordered(self) -> list[int]:
        """The clients whose values are not in the order in which they were pushed."""
        by_client: dict[int, list[int]] = {}
        for client, number in self.found:
            by_client.setdefault(client, []).append(number)
        return sorted(client for client, numbers in by_client.items() if numbers != sorted(numbers))

    def check(self) -> None:
        """Raise an AssertionError unless all is there, once, in order for each client."""
        assert not self.lost, f"{len(self.lost)} of {len(self.pushed)} pushes are lost: {self.lost[:10]}"
        assert not self.excess, f"more often in the list than pushed: {self.excess[:10]}"
        assert not self.disordered, f"out of order: the pushes of client {self.disordered}"


def hammer(
    config: Mapping[str, Any],
    processes: int,
    *,
    clients: int = 8,
    pushes: int = 25,
    readers: int = 1,
    careless: bool = False,
) -> Outcome:
    """Start server processes on one store, and let clients push concurrently.

    Args:
        config: For `NodeSession`; must be JSON. It gets a secret, if it has none, and no lottery.
        processes: How many servers; one for a driver that lives in a process.
        clients: Each sends its pushes one after the other, all clients concurrently.
        pushes: Of each client.
        readers: Further clients that only look, again and again, so that they might undo something.
        careless: Switch compare-and-swap off.
    """
    config = {"secret": "a-secret-for-the-hammer-0123456789abcdef", "lottery": [0, 100], **config}
    with Fleet(config, processes, careless=careless) as fleet, ThreadPoolExecutor(clients + readers) as threads:
        first = Client(fleet)
        first.ask("POST", "/push", [-1, 0])  # makes the session
        done = Event()

        def push(number: int) -> list[tuple[int, int]]:
            client = Client(fleet, first.cookie)
            for each in range(pushes):
                client.ask("POST", "/push", [number, each])
            client.close()
            return [(number, each) for each in range(pushes)]

        def look(_: int) -> None:
            client = Client(fleet, first.cookie)
            while not done.is_set():
                client.ask("GET", "/look")
            client.close()

        looking = [threads.submit(look, number) for number in range(readers)]
        try:
            pushed = [pair for pairs in threads.map(push, range(clients)) for pair in pairs]
        finally:
            done.set()
        for each in looking:
            each.result()
        found = [(client, number) for client, number in json.loads(first.ask("GET", "/look"))]
        first.close()
        return Outcome([(-1, 0), *pushed], found)
