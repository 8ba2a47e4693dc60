"""The results as a page of Markdown and as a plot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import load
from contestants import CONTESTANTS
from outcome import Results
from plan import ORIGINAL, OURS, SIGNED, Cell

_HEAD = """\
# What a session costs

Written by `make bench`; see bench.py for how it measures, and notes.md for what the numbers mean and what was not
reached. Measured on {machine}; {starts} processes of each with {rounds} rounds, files on {filesystem}, load by {load}.

*CPU* is the server process's user and system time for a request, in microseconds. *Cost* is what of it is the session
layer's: CPU minus that of a bare handler on the same framework, in the same round.
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
    lines = [
        f"## {results.group.title}\n",
        "| | driver | requests | CPU, µs | cost, µs | cost beside the original's | requests a second |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for cell in results.samples:
        is_bare = CONTESTANTS[cell.contestant].layer == "bare"
        cost = "" if is_bare else f"{results.cost(cell):.0f}"
        ratio = results.cost_ratio(cell, cell._replace(contestant=ORIGINAL)) if cell.contestant == OURS else None
        lines.append(
            f"| {cell.contestant} | {cell.setup.driver} | {_asked(cell)} | {results.cpu(cell):.0f} | {cost} "
            f"| {'' if ratio is None else f'{ratio:.2f}'} | {results.rate(cell):,.0f} |"
        )
    return "\n".join(lines) + "\n"


def _asked(cell: Cell) -> str:
    setup = cell.setup
    words = [{"/read": "reading", "/write": "writing", "/new": "new sessions"}[cell.path] if setup.driver else ""]
    words += [f"{setup.size / 1000:g} KB"] * (setup.size != 300)
    words += ["encrypted"] * setup.encrypt
    words += [f"{setup.stored:,} stored"] * bool(setup.stored)
    words += [f"{cell.connections} connection{'s' * (cell.connections > 1)}"] * (cell.connections != 32)
    return ", ".join(word for word in words if word)


def plot(measured: list[Results], path: Path) -> bool:
    """Bars of what reading and writing sessions of 0.3 KB costs; False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [results for results in measured if results.group.name in ("drivers", "quick", "peers")]
    if not shown:
        return False
    figure, axes = pyplot.subplots(len(shown), 1, figsize=(9, 5 * len(shown)), squeeze=False, layout="constrained")
    for axis, results in zip(axes[:, 0], shown, strict=True):
        rows = list(dict.fromkeys((cell.setup.driver, cell.contestant) for cell in results.samples if _is_bar(cell)))
        for offset, asked, colour in ((-0.2, "/read", "#4477aa"), (0.2, "/write", "#ee8866")):
            points = [
                (row + offset, results.cost(cell))
                for row, (driver, name) in enumerate(rows)
                for cell in results.samples
                if (cell.setup.driver, cell.contestant, cell.path) == (driver, name, asked)
            ]
            bars = axis.barh([y for y, _ in points], [max(cost, 0) for _, cost in points], 0.4, color=colour)
            axis.bar_label(bars, [f"{cost:.0f}" for _, cost in points], padding=3, fontsize=8)
            bars.set_label({"/read": "reading", "/write": "writing"}[asked])
        axis.set_yticks(range(len(rows)), [f"{name}  ({driver})" if driver else name for driver, name in rows])
        axis.invert_yaxis()
        axis.set_title(results.group.title, fontsize=10)
        axis.set_xlabel("CPU a request beyond the bare handler of the same framework, µs")
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def _is_bar(cell: Cell) -> bool:
    return cell.contestant == SIGNED or bool(cell.setup.driver)


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
