"""The number of instructions of a request, the same on a busy machine: make instructions.

    python tests/benchmarks/instructions.py [--driver memory] [--size 300] [--encrypt] [--package CHECKOUT]

Counted by valgrind, as the difference between serving many requests and serving few; what the kernel does is not in it.
Instructions are not time: code that is run once a request waits longer for its memory than a loop does.
"""

from __future__ import annotations

import argparse
import http.client
import re
import shutil
import sys
import tempfile
from pathlib import Path

import bench
import load
from contestants import CONTESTANTS, Server, Setup
from goals import BEFORE, OURS
from plan import DRIVERS

FEW, MANY = 100, 400


def count(name: str, setup: Setup, path: str, folder: Path, connection: dict | None = None) -> int:
    """Instructions for one request of a contestant on Tornado, over one connection."""
    few, many = (_count_all(name, setup, path, folder, requests, connection) for requests in (FEW, MANY))
    return (many - few) // (MANY - FEW)


def _count_all(name: str, setup: Setup, path: str, folder: Path, requests: int, connection: dict | None) -> int:
    log = folder / "valgrind.log"
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
    server = Server(name, setup, folder, connection, around=valgrind)
    try:
        cookies = load.new_sessions(server.port, 1)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for _ in range(requests):
            connection.request("GET", path, headers={"Cookie": cookies[0]} if cookies else {})
            connection.getresponse().read()
        connection.close()
    finally:
        server.close()
    return int(re.search(r"Collected : (\d+)", log.read_text())[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--driver", default="memory", choices=DRIVERS)
    parser.add_argument("--size", type=int, default=300, help="bytes of a session's text")
    parser.add_argument("--encrypt", action="store_true")
    bench.add_package_option(parser)
    options = parser.parse_args()
    bench.take_package(parser, options.package)
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed; on Debian: apt-get install valgrind")
    ours = Setup(options.driver, options.size, options.encrypt)
    print("| | instructions a request | beyond a bare handler's |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, bench.database(options.driver) as connection:
        bare = count("Tornado, bare", Setup(), "/read", Path(folder))
        print(f"| Tornado, bare | {bare:,} | |")
        for name, setup, path in [
            ("Tornado, signed cookie", Setup(), "/read"),
            (OURS, ours, "/read"),
            (BEFORE, ours, "/read"),
            (OURS, ours, "/write"),
            (BEFORE, ours, "/write"),
        ]:
            if name not in CONTESTANTS:
                continue
            counted = count(name, setup, path, Path(folder), connection if setup is ours else None)
            what = f"{name}, {setup.driver} {path}" if setup.driver else name
            print(f"| {what} | {counted:,} | {counted - bare:,} |", flush=True)


if __name__ == "__main__":
    main()
