"""The measured values, and their comparison."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from contestants import BARE, CONTESTANTS, Setup
from load import Latency

if TYPE_CHECKING:
    from plan import Cell, Group


class Sample(NamedTuple):
    """One turn of a cell.

    Attributes:
        cpu: Microseconds a request.
        rate: Requests a second.
        latency: Of the answers.
        failed: Answers that were not 200, and connections that broke.
    """

    cpu: float
    rate: float
    latency: Latency
    failed: int


class Results:
    """The samples of a group, cell by cell and round by round."""

    def __init__(self, group: Group, samples: dict[Cell, list[Sample]]) -> None:
        self.group = group
        self.samples = samples

    def bare(self, cell: Cell) -> Cell:
        """The bare handler to compare a cell with."""
        name = BARE[CONTESTANTS[cell.contestant].framework]
        return cell._replace(contestant=name, setup=Setup(), path="/read")

    def costs(self, cell: Cell) -> list[float]:
        """By round: microseconds of CPU beyond the bare handler's."""
        return [
            mine.cpu - bare.cpu for mine, bare in zip(self.samples[cell], self.samples[self.bare(cell)], strict=True)
        ]

    def cpu(self, cell: Cell) -> float:
        return statistics.median(sample.cpu for sample in self.samples[cell])

    def rate(self, cell: Cell) -> float:
        return statistics.median(sample.rate for sample in self.samples[cell])

    def latency(self, cell: Cell) -> Latency:
        """The medians of the rounds; the slowest is the slowest of all."""
        medians, p99s, slowest = zip(*(sample.latency for sample in self.samples[cell]), strict=True)
        return Latency(statistics.median(medians), statistics.median(p99s), max(slowest))

    def unevenness(self, cells: list[Cell]) -> float | None:
        """How many times the median the 99th percentile is, in the worst cell; None if one did not take part."""
        if not all(cell in self.samples for cell in cells):
            return None
        return max(
            statistics.median(sample.latency.p99 / sample.latency.median for sample in self.samples[cell])
            for cell in cells
        )

    def failed(self, cells: list[Cell]) -> float | None:
        """How many requests failed; None if a cell did not take part."""
        if not all(cell in self.samples for cell in cells):
            return None
        return sum(sample.failed for cell in cells for sample in self.samples[cell])

    def cost(self, cell: Cell) -> float:
        return statistics.median(self.costs(cell))

    def ratio(self, of: Callable[[Cell], list[float]], one: Cell, other: Cell) -> float | None:
        """The median of each round's ratio; None if one of the two did not take part, or the other never cost anything.

        On a busy machine a bare handler may take more than one with sessions.
        """
        if one not in self.samples or other not in self.samples:
            return None
        ratios = [a / b for a, b in zip(of(one), of(other), strict=True) if b > 0]
        return statistics.median(ratios) if ratios else None

    def cost_ratio(self, one: Cell, other: Cell) -> float | None:
        return self.ratio(self.costs, one, other)

    def cpu_ratio(self, one: Cell, other: Cell) -> float | None:
        """The cost of one cell, as a part of what another costs as a whole."""
        if one not in self.samples or other not in self.samples:
            return None
        return statistics.median(a / b.cpu for a, b in zip(self.costs(one), self.samples[other], strict=True))

    def rate_ratio(self, one: Cell, other: Cell) -> float | None:
        return self.ratio(lambda cell: [sample.rate for sample in self.samples[cell]], one, other)
