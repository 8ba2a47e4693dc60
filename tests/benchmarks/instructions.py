"""The number of instructions of a request, the same on a busy machine: make instructions.

    python tests/benchmarks/instructions.py [--driver memory] [--size 300] [--encrypt]

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

import load
from contestants import Server, Setup

FEW, MANY = 100, 400


def count(name: str, setup: Setup, path: str, folder: Path) -> int:
    """Instructions for one request of a contestant on Tornado."""
    few, many = (_count_all(name, setup, path, folder, requests) for requests in (FEW, MANY))
    return (many - few) // (MANY - FEW)


def _count_all(name: str, setup: Setup, path: str, folder: Path, requests: int) -> int:
    log = folder / "valgrind.log"
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
    server = Server(name, setup, folder, around=valgrind)
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
    parser.add_argument("--driver", default="memory", choices=["memory", "file", "sqlite"])
    parser.add_argument("--size", type=int, default=300, help="bytes of a session's text")
    parser.add_argument("--encrypt", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed; on Debian: apt-get install valgrind")
    ours = Setup(options.driver, options.size, options.encrypt)
    print("| | instructions a request | beyond a bare handler's |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        bare = count("Tornado, bare", Setup(), "/read", Path(folder))
        print(f"| Tornado, bare | {bare:,} | |")
        for name, setup, path in [
            ("Tornado, signed cookie", Setup(), "/read"),
            ("node_session", ours, "/read"),
            ("node_session", ours, "/write"),
        ]:
            counted = count(name, setup, path, Path(folder))
            what = f"{name}, {setup.driver} {path}" if setup.driver else name
            print(f"| {what} | {counted:,} | {counted - bare:,} |", flush=True)


if __name__ == "__main__":
    main()
