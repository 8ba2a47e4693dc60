"""The results as pictures, where matplotlib is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comparison import Results
from goals import OURS, SIGNED, Cell


def costs(measured: list[Results], path: Path) -> bool:
    """Bars of what reading and writing sessions of 0.3 KB costs; False without matplotlib."""
    pyplot = _pyplot()
    shown = [results for results in measured if results.group.name in ("drivers", "quick", "peers")]
    if pyplot is None or not shown:
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


def latency(measured: list[Results], path: Path) -> bool:
    """Lines of how long requests wait, by connections, for each driver; False without matplotlib."""
    pyplot = _pyplot()
    shown = [results for results in measured if results.group.name == "load"]
    drivers = list(dict.fromkeys(cell.setup.driver for results in shown for cell in results.samples if _is_bar(cell)))
    if pyplot is None or not drivers:
        return False
    (results,) = shown
    figure, axes = pyplot.subplots(
        2, len(drivers), figsize=(2.6 * len(drivers), 6), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for column, driver in enumerate(drivers):
        for axis, asked in zip(axes[:, column], ("/read", "/write"), strict=True):
            cells = [
                cell
                for cell in results.samples
                if (cell.contestant, cell.setup.driver, cell.path) == (OURS, driver, asked)
            ]
            waits = [results.latency(cell) for cell in cells]
            places = range(len(cells))
            for name, colour, values in (
                ("slowest", "#aa3377", [wait.slowest for wait in waits]),
                ("99th percentile", "#ee8866", [wait.p99 for wait in waits]),
                ("median", "#4477aa", [wait.median for wait in waits]),
            ):
                axis.plot(places, values, "o-", color=colour, markersize=4, label=name)
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.set_xticks(places, [str(cell.connections) for cell in cells])
            axis.grid(axis="y", alpha=0.3)
            axis.set_title(f"{driver}, {'reading' if asked == '/read' else 'writing'}", fontsize=10)
    for axis in axes[:, 0]:
        axis.set_ylabel("latency, ms")
    for axis in axes[-1]:
        axis.set_xlabel("connections")
    axes[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
