"""The cost of a session, side by side in one run: make bench, or make bench-quick.

    python tests/benchmarks/bench.py [--quick] [--only drivers,peers] [--starts 3] [--rounds 2] [--out DIR]

Each contestant is a server process, asked by wrk from another one. In each round every one of them has its turn of a
second, so that other programs on the machine affect all alike. They are started again several times, since one process
may need a fifth more than the next, depending on its place in memory. *CPU* is the server process's user and system
time for a request; *cost* is that minus the same round's bare handler of the same framework.
Medians of the rounds are shown; a ratio is the median of each round's ratio. Writes results.md and results.png.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import load
import report
import steps
from contestants import CONTESTANTS, Server, Setup
from outcome import Results, Sample
from plan import GROUPS, QUICK, SMOKE, Cell, Group

sys.path.insert(0, str(Path(__file__).parent.parent))
import servers

SESSIONS = 256


@contextlib.contextmanager
def database(driver: str) -> Iterator[dict | None]:
    """The `connection` of a database server that runs meanwhile; None where the driver needs none.

    Raises:
        LookupError: It cannot run here.
    """
    if driver not in servers.NEEDS:
        yield None
        return
    make, is_there, cure = servers.NEEDS[driver]
    if not is_there():
        raise LookupError(f"no {driver} server: {cure}")
    if driver == "postgresql" and importlib.util.find_spec("asyncpg") is None:
        raise LookupError("no asyncpg")
    server = make()
    try:
        yield server.connection
    finally:
        server.stop()


def measure(group: Group, starts: int, rounds: int, seconds: float, folder: Path) -> Results:
    """Let all cells of a group take turns: so many rounds, with so many processes each."""
    samples: dict[Cell, list[Sample]] = {}
    for _ in range(starts):
        for cell, taken in _measure_once(group, rounds, seconds, folder).items():
            samples.setdefault(cell, []).extend(taken)
    complete = {cell: taken for cell, taken in samples.items() if len(taken) == starts * rounds}
    return Results(group, complete)


def _measure_once(group: Group, rounds: int, seconds: float, folder: Path) -> dict[Cell, list[Sample]]:
    samples: dict[Cell, list[Sample]] = {}
    running: dict[tuple[str, Setup], tuple[Server, list[str]]] = {}
    with contextlib.ExitStack() as stack:
        connections: dict[str, dict | None] = {}
        for cell in group.cells:
            key = (cell.contestant, cell.setup)
            if key in running or not CONTESTANTS[cell.contestant].is_here():
                continue
            try:
                driver = cell.setup.driver
                if driver not in connections:
                    connections[driver] = stack.enter_context(database(driver))
                server = Server(cell.contestant, cell.setup, folder, connections[driver])
            except (LookupError, RuntimeError) as error:
                print(f"without {cell.contestant} on {cell.setup.driver}: {error}", file=sys.stderr)
                continue
            stack.callback(server.close)
            try:
                cookies = load.new_sessions(server.port, cell.setup.replayed or SESSIONS)
            except RuntimeError as error:
                print(f"without {cell.contestant} on {cell.setup.driver}: {error}", file=sys.stderr)
                continue
            running[key] = server, cookies
        for turn in range(rounds + 1):
            for cell in group.cells:
                if (cell.contestant, cell.setup) in running:
                    server, cookies = running[cell.contestant, cell.setup]
                    try:
                        sample = _turn(server, cell, cookies, seconds)
                    except RuntimeError as error:
                        print(f"without {cell.contestant} on {cell.setup.driver}: {error}", file=sys.stderr)
                        del running[cell.contestant, cell.setup]
                        continue
                    if turn:  # the first is to warm up
                        samples.setdefault(cell, []).append(sample)
    return samples


def _turn(server: Server, cell: Cell, cookies: list[str], seconds: float) -> Sample:
    before = server.cpu()
    served = load.put(server.port, cell.path, [] if cell.path == "/new" else cookies, cell.connections, seconds)
    return Sample((server.cpu() - before) / served.requests * 1e6, served.requests / served.seconds)


def flatness(driver: str, requests: int, folder: Path) -> tuple[float, float]:
    """Megabytes that our server holds after a tenth of so many requests, and after all of them."""
    server = Server("node_session", Setup(driver, stored=1), folder)
    try:
        cookies = load.new_sessions(server.port, SESSIONS)
        held = []
        served = 0
        while served < requests:
            served += load.put(server.port, "/write" if len(held) % 2 else "/read", cookies, 32, 2).requests
            held.append((served, server.memory() / 1e6))
    finally:
        server.close()
    early = next(memory for served, memory in held if served >= requests / 10)
    return early, held[-1][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the main comparison only, in a minute")
    parser.add_argument("--only", help=f"some of {', '.join(group.name for group in GROUPS)}, memory, steps")
    parser.add_argument("--starts", type=int, default=3, help="processes of each contestant, one after the other")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn; wrk takes whole ones")
    parser.add_argument("--folder", type=Path, help="where sessions are stored; a temporary one by default")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the results go")
    options = parser.parse_args()
    starts, rounds = (1, 1) if options.quick else (options.starts, options.rounds)
    groups = [QUICK] if options.quick else GROUPS
    wanted = options.only.split(",") if options.only else [*(group.name for group in groups), "memory", "steps"]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measured = []
        for group in [*groups, SMOKE] if options.only else groups:
            if group.name in wanted:
                print(f"{group.title} …", file=sys.stderr)
                measured.append(measure(group, starts, rounds, options.seconds, Path(folder)))
        flat = {}
        if "memory" in wanted and not options.quick:
            flat = {driver: flatness(driver, 200_000, Path(folder)) for driver in ("memory", "file")}
        filesystem = report.filesystem(Path(folder))
    text = report.markdown(measured, flat, starts, rounds, filesystem)
    if "steps" in wanted:
        text += "\n" + steps.table()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.md").write_text(text)
    print(text)
    report.plot(measured, options.out / "results.png")


if __name__ == "__main__":
    main()
