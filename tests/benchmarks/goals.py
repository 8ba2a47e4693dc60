"""What is measured and what is wanted: cells, goals, and groups of them. See plan.py for those there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from contestants import Setup

if TYPE_CHECKING:
    from comparison import Results

OURS, BEFORE, ORIGINAL = "node_session", "node_session, before", "npm node-session"
SIGNED = "Tornado, signed cookie"


class Cell(NamedTuple):
    """The requests to a server: a path, over so many connections."""

    contestant: str
    setup: Setup = Setup()
    path: str = "/read"
    connections: int = 32


class Target(NamedTuple):
    """A goal.

    Attributes:
        text: In words.
        limit: The value that must not be exceeded, or must be reached.
        value: Of the group's results; None where somebody is missing.
    """

    text: str
    limit: float
    value: Callable[[Results], float | None]
    at_least: bool = False

    def is_reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


class Group(NamedTuple):
    """Cells that are measured in turns, and compared with each other only.

    Attributes:
        length: How many times as long as usual a turn takes.
        counts_failures: Whether requests that fail are counted. Elsewhere they end their contestant's part.
    """

    name: str
    title: str
    cells: list[Cell]
    targets: list[Target]
    length: int = 1
    counts_failures: bool = False


def cost(text: str, limit: float, one: Cell, other: Cell) -> Target:
    """At most so many times the other's cost."""
    return Target(text, limit, lambda results: results.cost_ratio(one, other))


def part(text: str, limit: float, one: Cell, other: Cell) -> Target:
    """A cost of at most such a part of all that the other's request takes."""
    return Target(text, limit, lambda results: results.cpu_ratio(one, other))


def rate(text: str, limit: float, one: Cell, other: Cell) -> Target:
    """At least so many times the other's requests a second."""
    return Target(text, limit, lambda results: results.rate_ratio(one, other), at_least=True)
