"""Let each driver endure a production day in small, and judge it: ``make endurance MINUTES=10``.

    PYTHONPATH=tests python -m endurance.run [--minutes 10] [--seed 7] [driver …]

The drivers share the time. There is a line for each, then a table; the exit code is 1 if a bound was exceeded. Longest
stall (of the server's event loop), slowest answer and `late` (sessions that may have expired, as the machine was too
slow for their visitors) are shown, but not judged, as they depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

import pytest

from .endure import DRIVERS, endure, open_store
from .judgement import Findings, judge

COLUMNS = [
    *("driver", "requests", "aborted", "late", "checked", "lost", "not 200", "swept"),
    *("MB before, after", "growth", "objects", "resident", "stall ms", "slowest ms"),
]


def row(name: str, findings: Findings) -> list[str]:
    """A line of the table."""
    counts, (slowest, path) = findings.tally.counts, findings.tally.slowest
    before, after = (f"{measured['memory'] / 1e6:.1f}" for measured in (findings.warm, findings.end))
    return [
        name,
        *(f"{counts[each]:,}" for each in ("requests", "aborted", "late", "checked", "lost")),
        *(f"{len(findings.tally.refused):,}", f"{findings.end['removed']:,}"),
        *(f"{before}, {after}", f"{findings.growth('memory'):+.1%}", f"{findings.growth('objects'):+.1%}"),
        f"{findings.growth('resident'):+.1%}",
        *(f"{findings.end['stall'] * 1000:.0f}", f"{slowest * 1000:.0f} {path}"),
    ]


def show(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for each in (COLUMNS, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Let drivers endure mixed traffic; see the file's head.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default=str(random.randrange(1_000_000)))
    parser.add_argument("drivers", nargs="*", choices=[*DRIVERS, []], metavar="driver")
    options = parser.parse_args(arguments)
    names = options.drivers or DRIVERS
    rows, failed = [], False
    for name in names:
        try:
            with open_store(name) as config:
                findings = asyncio.run(endure(config, options.minutes * 60 / len(names), options.seed))
        except pytest.skip.Exception as reason:
            print(f"{name}: left out: {reason}", flush=True)
            continue
        exceeded = judge(findings)
        failed |= bool(exceeded)
        rows.append(row(name, findings))
        counts = findings.tally.counts
        verdict = "; ".join(exceeded) if exceeded else "within all bounds"
        print(f"{name}: {counts['requests']:,} requests, {counts['checked']:,} changes checked: {verdict}", flush=True)
    print(f"\nseed {options.seed}")
    show(rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
