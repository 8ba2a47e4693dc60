"""The cost of a session, side by side in one run: make bench, or make bench-quick.

    python tests/benchmarks/bench.py [--quick] [--only drivers,peers] [--starts 3] [--rounds 2] [--out DIR]
    python tests/benchmarks/bench.py --only one,far --package ../node_session-1.0    # beside an older checkout

Each contestant is a server process, asked by wrk from another one. In each round every one of them has its turn of a
second, so that other programs on the machine affect all alike. They are started again several times, since one process
may need a fifth more than the next, depending on its place in memory. *CPU* is the server process's user and system
time for a request; *cost* is that minus the same round's bare handler of the same framework.
Medians of the rounds are shown; a ratio is the median of each round's ratio. Writes results.md, results.png, and
results-latency.png.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import forwarder
import load
import pictures
import report
import steps
from comparison import Results, Sample
from contestants import CONTESTANTS, Server, Setup
from goals import BEFORE, OURS, Cell, Group
from plan import GROUPS, QUICK, SMOKES

sys.path.insert(0, str(Path(__file__).parent.parent))
import servers

SESSIONS = 256


@contextlib.contextmanager
def database(driver: str) -> Iterator[dict | None]:
    """The `connection` to a database server that runs meanwhile; None where the driver needs none.

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


class Databases(contextlib.ExitStack):
    """The database servers of a group: one for each driver, whatever the way to it."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: dict[tuple[str, int], dict | None] = {}

    def connection(self, driver: str, delay: int) -> dict | None:
        """Start what is missing of a server, and of a way to it whose round trips take so many milliseconds longer.

        Raises:
            LookupError: It cannot run here.
        """
        if (driver, delay) not in self._connections:
            if delay:
                near = self.connection(driver, 0)
                far = {**near, "port": self.enter_context(forwarder.running(near["port"], delay))}
                self._connections[driver, delay] = far
            else:
                self._connections[driver, 0] = self.enter_context(database(driver))
        return self._connections[driver, delay]


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
    with Databases() as databases, contextlib.ExitStack() as stack:
        running = _start(group, folder, databases, stack)
        for turn in range(rounds + 1):
            for cell in group.cells:
                key = (cell.contestant, cell.setup)
                if key not in running:
                    continue
                try:
                    if turn:
                        sample = _turn(*running[key], cell, seconds * group.length, strict=not group.counts_failures)
                        samples.setdefault(cell, []).append(sample)
                    else:  # to warm up; over few connections, so that this short turn has answers
                        few = cell._replace(connections=min(cell.connections, 32))
                        _turn(*running[key], few, seconds, strict=not group.counts_failures)
                except RuntimeError as error:
                    _tell_who_is_out(cell, error)
                    del running[key]
    return samples


def _start(
    group: Group, folder: Path, databases: Databases, stack: contextlib.ExitStack
) -> dict[tuple[str, Setup], tuple[Server, list[str]]]:
    """The servers of those who can take part, by contestant and setup, with their sessions' cookies."""
    running: dict[tuple[str, Setup], tuple[Server, list[str]]] = {}
    for cell in group.cells:
        key = (cell.contestant, cell.setup)
        contestant = CONTESTANTS.get(cell.contestant)  # none: an older checkout was not given
        if key in running or contestant is None or not contestant.is_here():
            continue
        try:
            connection = databases.connection(cell.setup.driver, cell.setup.delay)
            server = Server(cell.contestant, cell.setup, folder, connection)
            stack.callback(server.close)
            running[key] = server, load.new_sessions(server.port, cell.setup.replayed or SESSIONS)
        except (LookupError, RuntimeError) as error:
            _tell_who_is_out(cell, error)
    return running


def _tell_who_is_out(cell: Cell, error: Exception) -> None:
    print(f"without {cell.contestant} on {cell.setup.driver}: {error}", file=sys.stderr)


def _turn(server: Server, cookies: list[str], cell: Cell, seconds: float, *, strict: bool) -> Sample:
    before = server.cpu()
    asked = [] if cell.path == "/new" else cookies
    served = load.put(server.port, cell.path, asked, cell.connections, seconds, strict=strict)
    cpu = (server.cpu() - before) / served.requests * 1e6
    return Sample(cpu, served.requests / served.seconds, served.latency, served.refused + served.broken)


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


def add_package_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--package", type=Path, metavar="CHECKOUT", help="an older one, to measure beside this one")


def take_package(parser: argparse.ArgumentParser, checkout: Path | None) -> None:
    """Let our package in an older checkout take part, if there is one."""
    if checkout is None:
        return
    if not (checkout / "node_session" / "__init__.py").exists():
        parser.error(f"--package {checkout}: there is no folder node_session with our package in it")
    CONTESTANTS[BEFORE] = CONTESTANTS[OURS]._replace(package=checkout.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the main comparison only, in a minute")
    parser.add_argument("--only", help=f"some of {', '.join(group.name for group in GROUPS)}, memory, steps")
    parser.add_argument("--starts", type=int, default=3, help="processes of each contestant, one after the other")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn; wrk takes whole ones")
    parser.add_argument("--folder", type=Path, help="where sessions are stored; a temporary one by default")
    add_package_option(parser)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the results go")
    options = parser.parse_args()
    take_package(parser, options.package)
    starts, rounds = (1, 1) if options.quick else (options.starts, options.rounds)
    groups = [QUICK] if options.quick else GROUPS
    wanted = options.only.split(",") if options.only else [*(group.name for group in groups), "memory", "steps"]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measured = []
        for group in [*groups, *SMOKES] if options.only else groups:
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
    pictures.costs(measured, options.out / "results.png")
    pictures.latency(measured, options.out / "results-latency.png")


if __name__ == "__main__":
    main()
