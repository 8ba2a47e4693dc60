"""The results as a page of Markdown."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import load
from comparison import Results
from contestants import CONTESTANTS
from goals import ORIGINAL, OURS, Cell

_HEAD = """\
# What a session costs

Written by `make bench`; see bench.py for how it measures, and notes.md for what the numbers mean and what was not
reached. Measured on {machine}; {starts} processes of each with {rounds} rounds, files on {filesystem}, load by {load}.

*CPU* is the server process's user and system time for a request, in microseconds. *Cost* is what of it is the session
layer's: CPU minus that of a bare handler on the same framework, in the same round. The latencies are in milliseconds:
the median, the 99th percentile, and the slowest request of all rounds.
"""


def markdown(
    measured: list[Results], flat: dict[str, tuple[float, float]], starts: int, rounds: int, filesystem: str
) -> str:
    """The page."""
    parts = [
        _HEAD.format(
            machine=machine(),
            starts=starts,
            rounds=rounds,
            filesystem=filesystem,
            load="wrk" if load.has_wrk() else "load.py",
        ),
        "## Goals\n\n| | wanted | measured | |\n|---|---:|---:|---|",
    ]
    lines = [line for results in measured for line in _targets(results)]
    for driver, (early, late) in flat.items():
        lines.append(
            f"| {driver}: memory of the process after 200,000 requests beside that after 20,000 | ≤ 1.05 "
            f"| {late / early:.2f} | {_mark(late / early <= 1.05)} |"
        )
    parts[-1] += "\n" + "\n".join(lines) + "\n"
    parts += [_table(results) for results in measured]
    return "\n".join(parts)


def _targets(results: Results) -> list[str]:
    lines = []
    for target in results.group.targets:
        value = target.value(results)
        if value is not None:
            sign = "≥" if target.at_least else "≤"
            mark = _mark(target.is_reached(value))
            lines.append(f"| {target.text} | {sign} {target.limit:.2f} | {value:.2f} | {mark} |")
    return lines


def _mark(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def _table(results: Results) -> str:
    heads = ["CPU, µs", "cost, µs", "cost beside the original's", "requests a second", "median, ms", "99th", "slowest"]
    heads += ["failed"] * results.group.counts_failures
    lines = [
        f"## {results.group.title}\n",
        f"| | driver | requests | {' | '.join(heads)} |",
        f"|---|---|---|{'---:|' * len(heads)}",
    ]
    for cell in results.samples:
        is_bare = CONTESTANTS[cell.contestant].layer == "bare"
        ratio = results.cost_ratio(cell, cell._replace(contestant=ORIGINAL)) if cell.contestant == OURS else None
        values = [
            f"{results.cpu(cell):.0f}",
            "" if is_bare else f"{results.cost(cell):.0f}",
            "" if ratio is None else f"{ratio:.2f}",
            f"{results.rate(cell):,.0f}",
            *(f"{milliseconds:,.1f}" for milliseconds in results.latency(cell)),
        ]
        values += [f"{results.failed([cell]):,}"] * results.group.counts_failures
        lines.append(f"| {cell.contestant} | {cell.setup.driver} | {_asked(cell)} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def _asked(cell: Cell) -> str:
    setup = cell.setup
    words = [{"/read": "reading", "/write": "writing", "/new": "new sessions"}[cell.path] if setup.driver else ""]
    words += [f"{setup.size / 1000:g} KB"] * (setup.size != 300)
    words += ["encrypted"] * setup.encrypt
    words += [f"{setup.stored:,} stored"] * bool(setup.stored)
    words += [f"{setup.delay} ms away"] * bool(setup.delay)
    words += [f"{cell.connections} connection{'s' * (cell.connections > 1)}"] * (cell.connections != 32)
    return ", ".join(word for word in words if word)


def machine() -> str:
    """Its processor and the versions."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.machine()
    versions = [f"CPython {platform.python_version()}"]
    if shutil.which("node"):
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        versions.append(f"Node {node.removeprefix('v')}")
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, {', '.join(versions)}"


def filesystem(folder: Path) -> str:
    """The kind of file system a folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(inside, key=lambda mount: len(mount[0]))[1]
