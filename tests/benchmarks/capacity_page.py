"""The tables of docs/capacity.md, each put between two markers there: <!-- table: bytes --> and <!-- end -->."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from inspect import getsource
from typing import Any

from capacity_measure import SIZES
from capacity_model import OPERATIONS, Assumptions, Costs, Demand, demand_of, need_of, per_core
from capacity_results import ONE_MACHINE, STAND_IN, Results, costs_of, log_bytes, median, request, used_bytes

USERS = (1_000, 100_000, 10_000_000, 1_000_000_000)
CALCULATED = ("redis", "redis cluster", "postgresql", "mysql")
WORDS = {"create": "new session", "write": "change", "touch": "renewal", "read": "read"}


def filled(page: str, tables: dict[str, str]) -> str:
    """Put the tables between their markers.

    Raises:
        ValueError: The page lacks a marker.
    """
    for name, table in tables.items():
        page, number = re.subn(
            rf"(<!-- table: {name} -->\n).*?(<!-- end -->)",
            lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}",
            page,
            flags=re.DOTALL,
        )
        if number != 1:
            raise ValueError(f"the page has {number} places for the table {name!r}, not one")
    return page


def tables(results: Results, given: Assumptions) -> dict[str, str]:
    """Write all tables."""
    return {
        "answer": answer(results, given),
        "how": how(results),
        "bytes": sizes(results),
        "log": logs(results),
        "requests": requests(results),
        "store": stores(results),
        "assumptions": assumptions(given),
        "demand": demands(given),
        "need": needs(results, given),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """Write a table; the columns of these numbers are words, and the others numbers."""
    line = ["---" if column in words else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, line, *rows])


def number(value: float | None) -> str:
    """Write a number with as many digits as it is worth."""
    if value is None:
        return "–"
    if isinstance(value, int) and value < 10_000:
        return f"{value:,}"
    if 0 < value < 0.01:
        return "< 0.01"
    if value == 0 or value >= 100:
        return f"{round(value, 1 - len(str(int(value))) + 2):,.0f}" if value else "0"
    return f"{value:.1g}" if value < 1 else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def names(results: Results) -> list[str]:
    return list(results["stores"])


def how(results: Results) -> str:
    counts = ", ".join(
        f"{name} " + " and ".join(f"{measured['sessions']:,}" for measured in store["sizes"].values())
        for name, store in results["stores"].items()
    )
    text = (
        f"Measured on {results['when']}, on {results['machine']}. The disk confirmed {number(results['flushes'])} "
        f"pages a second, one after the other. Sessions of 0.3 KB and of 4 KB: {counts}."
    )
    return textwrap.fill(text, 120, break_on_hyphens=False)


def sizes(results: Results) -> str:
    rows = []
    for name in names(results):
        row = [name]
        for size in map(str, SIZES):
            parts = results["stores"][name]["sizes"].get(size, {}).get("new", {})
            spelled = ", ".join(f"{part} {number(value)}" for part, value in parts.items() if value >= 8)
            whole = number(used_bytes(results, name, size, "new")) if parts else "–"
            row += [whole, number(used_bytes(results, name, size)) if parts else "–", spelled if len(parts) > 1 else ""]
        if results["stores"][name]["sizes"][str(SIZES[0])]["new"]:
            rows.append(row)
    head = ["", "0.3 KB, new", "after changes", "parts of the new", "4 KB, new", "after changes", "parts of the new"]
    return table(head, rows, (0, 3, 6))


def logs(results: Results) -> str:
    rows = []
    for name in names(results):
        stored = results["stores"][name]["sizes"]
        if name in ("memory", STAND_IN):
            continue
        first = next(iter(stored.values()))
        row = [name, first["log name"]]
        for size in map(str, SIZES):
            row += [number(log_bytes(results, name, size, kind)) if size in stored else "–" for kind in WORDS]
        rows.append([*row, number(first["log after a checkpoint"]) if name.startswith("postgresql") else ""])
    kinds = list(WORDS.values())
    head = ["", "what", *(f"0.3 KB: {kinds[0]}", *kinds[1:]), *(f"4 KB: {kinds[0]}", *kinds[1:])]
    return table([*head, "0.3 KB: change right after a checkpoint"], rows, (0, 1))


def requests(results: Results) -> str:
    cells = [(processes, path) for processes in (1, 2) for path in ("/read", "/write")]
    bare = [results["bare"][str(processes)][path] for processes, path in cells]
    rows = [["no session", *(number(median(samples, "rate")) for samples in bare)]]
    rows[0] += [*(number(median(samples, "process")) for samples in bare[:2]), "", ""]
    for name in names(results):
        rates = [request(results, name, processes, path, "rate") for processes, path in cells]
        spent = [request(results, name, 1, path, "process") for path in ("/read", "/write")]
        stored = [request(results, name, 1, path, "server") for path in ("/read", "/write")]
        at_store = ["", ""] if name in ONE_MACHINE else [number(value) for value in stored]
        rows.append([name, *map(number, rates), *map(number, spent), *at_store])
    head = ["", "1 process: reading", "writing", "2 processes: reading", "writing"]
    return table([*head, "CPU of Tornado, µs: reading", "writing", "CPU of the store, µs: reading", "writing"], rows)


def stores(results: Results) -> str:
    rows = []
    for name in names(results):
        measured = results["stores"][name]["sizes"][str(SIZES[0])]
        what = "process" if name in ONE_MACHINE else "server"
        alone = [median(measured["alone"][kind], what) for kind in OPERATIONS]
        together = [median(measured["concurrent"][kind], what) for kind in OPERATIONS]
        pairs = [f"{number(one)} … {number(many)}" for one, many in zip(alone, together, strict=True)]
        carried = [f"{number(per_core(alone[n]))} … {number(per_core(together[n]))}" for n in (0, 1)]
        rows.append([name, "Tornado's" if what == "process" else "its own", *pairs, *carried])
    kinds = [WORDS[kind] for kind in OPERATIONS]
    head = ["", "whose CPU", f"µs: {kinds[0]}", *kinds[1:], "reads a second and core", "changes a second and core"]
    return table(head, rows, (0, 1))


def assumptions(given: Assumptions) -> str:
    meanings = dict(re.findall(r'^    (\w+): float = .*\n    """(.*?)"""', getsource(Assumptions), re.MULTILINE))
    rows = [[f"`--{each.name}`", meanings[each.name], f"{getattr(given, each.name):g}"] for each in fields(given)]
    return table(["option", "meaning", "value"], rows, (0, 1))


def demands(given: Assumptions) -> str:
    rows = []
    for users in USERS:
        demand = demand_of(users, given)
        kinds = [number(demand.operations[kind]) for kind in ("write", "touch", "create")]
        rows.append([f"{users:,}", number(demand.live), number(demand.requests), *kinds])
    head = ["users a day", "live sessions", "requests a second at the peak", "of them changes"]
    return table([*head, "renewals", "new sessions"], rows, ())


def needs(results: Results, given: Assumptions) -> str:
    rows = []
    for users in USERS:
        demand = demand_of(users, given)
        for name, costs in _calculated(results, given):
            need = need_of(demand, costs, given)
            cells = [need.gigabytes, need.processes, need.connections, need.store_cores, need.log, need.servers]
            rows.append([f"{users:,}", name, *map(number, cells), need.limit])
    head = ["users a day", "store", "GB", "Tornado processes", "connections", "cores of the store", "MB/s of log"]
    return table([*head, "servers or masters", "their limit"], rows, (1, 8))


def answer(results: Results, given: Assumptions) -> str:
    rows = []
    calculated = dict(_calculated(results, given))
    for users in USERS:
        demand = demand_of(users, given)
        found = {name: need_of(demand, costs, given) for name, costs in calculated.items()}
        processes = sorted({need.processes for need in found.values()})
        spelled = " to ".join(dict.fromkeys([number(processes[0]), number(processes[-1])])) if processes else "–"
        rows.append(
            [f"{users:,}", number(demand.requests), number(demand.live), spelled, choice(results, demand, given)]
        )
    return table(["users a day", "requests a second", "live sessions", "processes", "store"], rows, (4,))


def choice(results: Results, demand: Demand, given: Assumptions) -> str:
    """Name the smallest stores that carry a demand."""
    for name in ("sqlite", "file"):
        if name in results["stores"]:
            need = need_of(demand, costs_of(results, name, given.size), given)
            if need.processes <= 2:
                return f"{name}, on the machine itself ({need.processes} of its cores); any other"
    words = []
    for name, costs in _calculated(results, given):
        servers = need_of(demand, costs, given).servers
        if name == "redis cluster" and words and words[0] == "one redis":
            continue
        if name != "redis" or servers == 1:
            kind = f"{name} of {servers:,} masters" if name == "redis cluster" else f"{name} on {servers:,} servers"
            words.append(f"one {name}" if servers == 1 else kind)
    return ", or ".join(words) or "–"


def _calculated(results: Results, given: Assumptions) -> list[tuple[str, Costs]]:
    found: list[tuple[str, Any]] = []
    for name in CALCULATED:
        if name in results["stores"]:
            found.append((name, costs_of(results, name, given.size)))
    return found
