"""Load on a server, from another process: wrk, or where it is not installed the asyncio client at the end.

    cookies = new_sessions(port, 256)
    put(port, "/write", cookies, connections=32, seconds=1)    # Served(requests=2311, seconds=1.0, …)

The cookies take turns, so that with more of them than connections no two requests of one session meet.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

_REPLAY = Path(__file__).with_name("replay.lua")


class Latency(NamedTuple):
    """The time from a request to its answer, in milliseconds."""

    median: float
    p99: float
    slowest: float


class Served(NamedTuple):
    """The measured work of a server.

    Attributes:
        requests: Answers.
        seconds: In which they came.
        refused: Answers among them that were not 200.
        broken: Connections that failed or were silent for ten seconds.
        latency: Of the answers. Requests that had none in the end do not count.
    """

    requests: int
    seconds: float
    refused: int
    broken: int
    latency: Latency


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def new_sessions(port: int, number: int) -> list[str]:
    """Have sessions made; gives their cookies, as a Cookie header has them. None where the server sets no cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    cookies = []
    for _ in range(number):
        connection.request("GET", "/new")
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"/new was answered by {response.status}")
        lines = response.headers.get_all("Set-Cookie") or []
        cookies.append("; ".join(line.partition(";")[0] for line in lines))
    connection.close()
    return [cookie for cookie in cookies if cookie]


def put(port: int, path: str, cookies: list[str], connections: int, seconds: float, *, strict: bool = True) -> Served:
    """Ask for a page over and over.

    Raises:
        RuntimeError: There was no answer; or, if `strict`, one that was not 200, or a connection broke.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(cookie + "\n" for cookie in cookies))
        file.flush()
        url = f"http://127.0.0.1:{port}{path}"
        if has_wrk() and seconds >= 1:  # it takes whole seconds
            command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s"]
            command += ["-s", _REPLAY, url, file.name]
        else:
            command = [sys.executable, __file__, url, file.name, str(connections), str(seconds)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, elapsed, refused, broken, *latency = json.loads(output.splitlines()[-1])
    if not requests:
        raise RuntimeError(f"{url} answered nothing in {elapsed:.1f} s over {connections} connections")
    if strict and (refused or broken):
        raise RuntimeError(f"of {requests} answers of {url}, {refused} were not 200; {broken} connections broke")
    return Served(requests, elapsed, refused, broken, Latency(*latency))


# ---------------------------------------------------------------- where there is no wrk


async def _client(url: str, cookies: list[str], connections: int, seconds: float) -> Served:
    host, path = url.removeprefix("http://").split("/", 1)
    address, port = host.split(":")
    requests = [
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n" + (f"Cookie: {cookie}\r\n" if cookie else "") + "\r\n"
        for cookie in cookies or [""]
    ]
    turn = refused = broken = 0
    waits = []
    start = time.perf_counter()

    async def ask() -> None:
        nonlocal turn, refused
        reader, writer = await asyncio.open_connection(address, int(port))
        while (asked := time.perf_counter()) - start < seconds:
            writer.write(requests[turn % len(requests)].encode())
            turn += 1
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            refused += not head.startswith(b"http/1.1 200")
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
            waits.append((time.perf_counter() - asked) * 1e3)
        writer.close()

    async def ask_until_broken() -> None:
        nonlocal broken
        try:
            await ask()
        except (OSError, EOFError):
            broken += 1

    await asyncio.gather(*(ask_until_broken() for _ in range(connections)))
    waits.sort()
    latency = [waits[int((len(waits) - 1) * part)] if waits else 0 for part in (0.5, 0.99, 1)]
    return Served(len(waits), time.perf_counter() - start, refused, broken, Latency(*latency))


if __name__ == "__main__":
    _, _url, _file, _connections, _seconds = sys.argv
    _cookies = Path(_file).read_text().splitlines()
    *_counts, _latency = asyncio.run(_client(_url, _cookies, int(_connections), float(_seconds)))
    print(json.dumps([*_counts, *_latency]))
