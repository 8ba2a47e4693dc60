"""What the measured results say of a store: medians, and the costs to calculate with."""

from __future__ import annotations

import statistics
from typing import Any

from capacity_model import OPERATIONS, Costs

Results = dict[str, Any]
"""What `capacity.measure_all` gives: plain JSON."""

ONE_CORE = ("redis", "redis cluster")
STAND_IN = "mongodb"  # the server of the tests is not MongoDB, so that its own costs mean nothing
ONE_MACHINE = ("memory", "file", "sqlite")


def median(phases: list[dict[str, float]], what: str) -> float:
    return statistics.median(phase[what] for phase in phases)


def used_bytes(results: Results, name: str, size: str, when: str = "used") -> float:
    """Bytes of a session, all parts together. Where a store has not told, those of its sibling."""
    measured = results["stores"][name]["sizes"].get(size, {}).get(when, {})
    if not measured:
        sibling = name.partition(",")[0].partition(" ")[0]
        if sibling == name or sibling not in results["stores"]:
            return 0
        return used_bytes(results, sibling, size, when)
    return sum(measured.values())


def request(results: Results, name: str, processes: int, path: str, what: str) -> float | None:
    """The median of a store's requests; None where they were not measured."""
    samples = results["stores"][name]["requests"].get(str(processes), {}).get(path)
    return median(samples, what) if samples else None


def log_bytes(results: Results, name: str, size: str, kind: str) -> float:
    """Bytes of log for an operation."""
    measured = results["stores"][name]["sizes"].get(size)
    if measured is None:  # partitions: measured at one size only
        return log_bytes(results, name.partition(",")[0], size, kind)
    return median(measured["concurrent"][kind], "log")


def costs_of(results: Results, name: str, size: float) -> Costs:
    """The costs to calculate with: those of operations that come alone, which are the highest.

    A busy process sends many operations together, at a fraction of that; whether it is busy depends on its users.
    """
    store = results["stores"][name]
    sizes = sorted(store["sizes"], key=int)
    at = min(sizes, key=lambda each: abs(int(each) - size))
    alone = store["sizes"][at]["alone"]
    has_server = name not in (*ONE_MACHINE, STAND_IN)
    process = {kind: median(alone[kind], "process") for kind in ("touch", "create")}
    for path in ("read", "write"):
        process[path] = request(results, name, 1, f"/{path}", "process") or 0
    return Costs(
        bytes={int(each): used_bytes(results, name, each) for each in ("300", "4000")},
        process=process,
        store={kind: median(alone[kind], "server") for kind in OPERATIONS} if has_server else {},
        log={kind: log_bytes(results, name, at, kind) for kind in OPERATIONS} if has_server else {},
        image=max(0, store["sizes"][at]["log after a checkpoint"] - log_bytes(results, name, at, "write"))
        if name.startswith("postgresql")
        else 0,
        one_core=name in ONE_CORE,
    )
