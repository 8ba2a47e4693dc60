"""How many users a store carries, measured and calculated: make bench-capacity. It takes ten minutes.

    python tests/benchmarks/capacity.py [--stores redis,postgresql] [--sessions 20000] [--out DIR]
    python tests/benchmarks/capacity.py --calculate --clicks 50 --lifetime 30
    python tests/benchmarks/capacity.py --write

The first form measures, and writes capacity.json beside this file, the tables of docs/capacity.md, and its picture.
The second calculates with other assumptions on what was measured before, and prints the tables; each field of
`capacity_model.Assumptions` is an option. The third writes tables and picture again, where the code has changed.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import capacity_page
import capacity_plot
import report
from capacity_measure import SIZES, measure
from capacity_model import Assumptions
from capacity_requests import measure_bare, measure_requests
from capacity_servers import PAGE, PARTITIONED, STORES, opened

RESULTS = Path(__file__).with_name("capacity.json")


def flushes(folder: Path) -> float:
    """Measure how often a second the disk confirms that it has a page of 8 KB."""
    taken = []
    with (folder / "flush").open("wb", buffering=0) as file:
        for _ in range(100):
            start = time.perf_counter()
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    return 1 / statistics.median(taken)


def measure_all(names: list[str], sessions: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Measure the stores, one after the other."""
    results: dict[str, Any] = {
        "machine": f"{report.machine()}, files on {report.filesystem(folder)}",
        "when": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        "flushes": flushes(folder),
        "bare": measure_bare(seconds),
        "stores": {},
    }
    for name in names:
        start = time.monotonic()
        try:
            results["stores"][name] = _measure_store(name, sessions, seconds, folder)
        except (LookupError, RuntimeError) as error:
            print(f"without {name}: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return results


def _measure_store(name: str, sessions: int, seconds: float, folder: Path) -> dict[str, Any]:
    with opened(name, folder) as store:
        measured: dict[str, Any] = {"sizes": {}}
        for size in SIZES[:1] if name == PARTITIONED else SIZES:
            number = sessions if size < 1000 else sessions // 2
            measured["sizes"][str(size)] = asyncio.run(measure(store, f"sessions_of_{size}", size, number))
        return {**measured, "requests": measure_requests(store, seconds)}


def rounded(results: dict[str, Any]) -> dict[str, Any]:
    """Keep four digits of each number."""
    return json.loads(json.dumps(results), parse_float=lambda text: float(f"{float(text):.4g}"))


def parse() -> tuple[argparse.Namespace, Assumptions]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stores", default=";".join(STORES), help="separated by semicolons")
    parser.add_argument("--sessions", type=int, default=20_000, help="of 0.3 KB in each store; of 4 KB half as many")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn of requests; wrk takes whole ones")
    parser.add_argument("--folder", type=Path, help="where sessions are stored; a temporary one by default")
    parser.add_argument("--out", type=Path, help="where all results go, instead of their places in the repository")
    parser.add_argument("--calculate", action="store_true", help="measure nothing, and print the tables")
    parser.add_argument("--write", action="store_true", help="measure nothing, and write the tables and the picture")
    for each in fields(Assumptions):
        parser.add_argument(f"--{each.name}", type=float, default=each.default)
    options = parser.parse_args()
    try:
        given = Assumptions(**{each.name: getattr(options, each.name) for each in fields(Assumptions)})
    except ValueError as error:
        parser.error(str(error))
    return options, given


def main() -> None:
    options, given = parse()
    saved = options.out / RESULTS.name if options.out else RESULTS
    if options.calculate:
        print("\n\n".join(capacity_page.tables(json.loads(saved.read_text()), given).values()))
        return
    page = PAGE
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        page = options.out / PAGE.name
    if options.write:
        results = json.loads(saved.read_text())
    else:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measured = measure_all(options.stores.split(";"), options.sessions, options.seconds, Path(folder))
        results = rounded(measured)
        saved.write_text(json.dumps(results) + "\n")
    page.write_text(capacity_page.filled(PAGE.read_text(), capacity_page.tables(results, given)))
    if not capacity_plot.plot(results, given, page.with_suffix(".png")):
        print("no picture: matplotlib is not installed", file=sys.stderr)


if __name__ == "__main__":
    main()
