"""The picture of docs/capacity.md: bytes of a session, operations a core, and machines by daily users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capacity_measure import SIZES
from capacity_model import OPERATIONS, Assumptions, demand_of, need_of, per_core
from capacity_page import CALCULATED, WORDS
from capacity_results import ONE_MACHINE, STAND_IN, Results, costs_of, median, used_bytes

COLOURS = ("#4477aa", "#ee8866", "#228833", "#aa3377")


def plot(results: Results, given: Assumptions, path: Path) -> bool:
    """Draw it; False without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(9, 12.5), layout="constrained")
    _bytes(axes[0], results)
    _operations(axes[1], results)
    _machines(axes[2], results, given)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return True


def _bars(axis: Any, rows: list[str], bars: dict[str, list[float]]) -> None:
    height = 0.8 / len(bars)
    for place, (label, values) in enumerate(bars.items()):
        at = [row + (place - (len(bars) - 1) / 2) * height for row in range(len(rows))]
        drawn = axis.barh(at, values, height, color=COLOURS[place], label=label)
        axis.bar_label(drawn, [f"{value:,.0f}" if value else "" for value in values], padding=3, fontsize=7)
    axis.set_yticks(range(len(rows)), rows)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.legend(fontsize=8)


def _bytes(axis: Any, results: Results) -> None:
    stores = {name: store["sizes"] for name, store in results["stores"].items()}
    rows = [name for name, sizes in stores.items() if sizes[str(SIZES[0])]["used"]]
    bars = {
        f"{size / 1000:g} KB": [
            used_bytes(results, name, str(size)) if str(size) in stores[name] else 0 for name in rows
        ]
        for size in SIZES
    }
    _bars(axis, rows, bars)
    axis.set_title("Bytes that a session takes, after changes", fontsize=10)


def _operations(axis: Any, results: Results) -> None:
    rows = [name for name in results["stores"] if name not in (*ONE_MACHINE, STAND_IN)]
    measured = {name: results["stores"][name]["sizes"][str(SIZES[0])]["alone"] for name in rows}
    if rows:
        bars = {WORDS[kind]: [per_core(median(measured[name][kind], "server")) for name in rows] for kind in OPERATIONS}
        _bars(axis, rows, bars)
    axis.set_title(
        "Operations a second that a core of the store's server does, one after the other, 0.3 KB", fontsize=10
    )


def _machines(axis: Any, results: Results, given: Assumptions) -> None:
    users = [int(10 ** (power / 8)) for power in range(24, 73)]
    for name, colour in zip(CALCULATED, COLOURS, strict=True):
        if name not in results["stores"]:
            continue
        costs = costs_of(results, name, given.size)
        needs = [need_of(demand_of(each, given), costs, given) for each in users]
        axis.plot(users, [max(need.servers, 1) for need in needs], color=colour, label=f"{name}: servers")
        axis.plot(users, [need.processes for need in needs], color=colour, linestyle=":", label=f"{name}: processes")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("users a day")
    axis.grid(visible=True, alpha=0.3)
    if axis.lines:
        axis.legend(fontsize=8)
    axis.set_title("Servers of the store, and processes of Tornado (dotted)", fontsize=10)
