"""The npm original and ours push onto one session's list, concurrently and on one folder.

The original loads a session, and in the end writes what it has over whatever is there: what others saved in between is
lost. That is its own doing, and cannot be helped. What is ours to keep can still be told exactly, as long as only one
client at a time asks the original:

1. *All* that the original acknowledged is there in the end, once and in order. Its requests come one after the other,
   so each loads what the one before it saved; only ours could have lost any of it.
2. What ours acknowledged may be missing only if one of the original's requests overlapped the push: began before its
   answer came, and ended after it was sent. Whatever was pushed while the original was idle is there.
3. Nothing is there twice, nothing that nobody pushed, and each client's values are in order.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, NamedTuple

from .fleet import Client, Fleet
from .hammer import Outcome

ORIGINAL = -1


class Push(NamedTuple):
    """An acknowledged push, and when it was sent and answered."""

    client: int
    number: int
    sent: float
    answered: float


class Mixture(NamedTuple):
    """The pushes through the original and through ours, and the list's content."""

    original: list[Push]
    ours: list[Push]
    found: list[tuple[int, int]]

    @property
    def outcome(self) -> Outcome:
        """All of it, as of one hammer."""
        return Outcome([(each.client, each.number) for each in (*self.original, *self.ours)], self.found)

    @property
    def lost_by_ours(self) -> list[Push]:
        """The pushes that are missing through no fault of the original's; see the module."""
        missing = set(self.outcome.lost)
        return [each for each in (*self.original, *self.ours) if each[:2] in missing and not self._is_excused(each)]

    def _is_excused(self, push: Push) -> bool:
        return push.client != ORIGINAL and any(
            each.sent < push.answered and push.sent < each.answered for each in self.original
        )

    def check(self) -> None:
        """Raise an AssertionError if anything is lost, doubled or moved by ours."""
        assert not self.lost_by_ours, f"{len(self.lost_by_ours)} pushes are lost by ours: {self.lost_by_ours[:5]}"
        assert not self.outcome.excess, f"more often in the list than pushed: {self.outcome.excess[:10]}"
        assert not self.outcome.disordered, f"out of order: the pushes of client {self.outcome.disordered}"


def mix(
    config: Mapping[str, Any],
    ask_original: Callable[[list[Any], str | None], tuple[list[Any], str]],
    *,
    processes: int = 2,
    clients: int = 4,
    pushes: int = 25,
    careless: bool = False,
) -> Mixture:
    """Have our clients push, and one client of the original in between, now and then.

    Args:
        config: Of ours; the original's has the same folder and secret.
        ask_original: `Door.ask` of tests/interop.
        processes: How many of ours.
        clients: Of ours, besides the one of the original.
        pushes: Of each client of ours; the original's pushes until they are done.
        careless: Switch our compare-and-swap off.
    """
    with Fleet(config, processes, careless=careless) as fleet, ThreadPoolExecutor(clients + 1) as threads:
        first = Client(fleet)
        first.ask("GET", "/look")  # makes the session
        done = Event()

        def push(number: int, each: int, ask: Callable[[list[int]], object]) -> Push:
            sent = time.monotonic()
            ask([number, each])
            return Push(number, each, sent, time.monotonic())

        def push_ours(number: int) -> list[Push]:
            client = Client(fleet, first.cookie)
            made = [push(number, each, lambda value: client.ask("POST", "/push", value)) for each in range(pushes)]
            client.close()
            return made

        def push_original() -> list[Push]:
            made: list[Push] = []
            while not done.is_set():
                made.append(
                    push(ORIGINAL, len(made), lambda value: ask_original([["push", "list", value]], first.cookie))
                )
                time.sleep(random.uniform(0, 0.01))
            return made

        of_original = threads.submit(push_original)
        try:
            ours = [each for made in threads.map(push_ours, range(clients)) for each in made]
        finally:
            done.set()
        found = json.loads(first.ask("GET", "/look")) if of_original.result() else []
        first.close()
        return Mixture(of_original.result(), ours, [(client, number) for client, number in found])
