"""Load on a server, from another process: wrk, or where it is not installed the asyncio client at the end.

    cookies = new_sessions(port, 256)
    put(port, "/write", cookies, connections=32, seconds=1)    # Served(requests=2311, seconds=1.0)

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


class Served(NamedTuple):
    """The measured work of a server."""

    requests: int
    seconds: float


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


def put(port: int, path: str, cookies: list[str], connections: int, seconds: float) -> Served:
    """Ask for a page over and over.

    Raises:
        RuntimeError: An answer was not 200, or a connection broke.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(cookie + "\n" for cookie in cookies))
        file.flush()
        url = f"http://127.0.0.1:{port}{path}"
        if has_wrk() and seconds >= 1:  # it takes whole seconds
            command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "-s", _REPLAY, url, file.name]
        else:
            command = [sys.executable, __file__, url, file.name, str(connections), str(seconds)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    served, elapsed, failed = json.loads(output.splitlines()[-1])
    if failed or not served:
        raise RuntimeError(f"{failed} of {served} requests of {url} failed")
    return Served(served, elapsed)


# ---------------------------------------------------------------- where there is no wrk


async def _client(url: str, cookies: list[str], connections: int, seconds: float) -> tuple[int, float, int]:
    host, path = url.removeprefix("http://").split("/", 1)
    address, port = host.split(":")
    requests = [
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n" + (f"Cookie: {cookie}\r\n" if cookie else "") + "\r\n"
        for cookie in cookies or [""]
    ]
    served = failed = 0
    start = time.perf_counter()

    async def ask() -> None:
        nonlocal served, failed
        reader, writer = await asyncio.open_connection(address, int(port))
        while time.perf_counter() - start < seconds:
            writer.write(requests[served % len(requests)].encode())
            served += 1
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            failed += not head.startswith(b"http/1.1 200")
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return served, time.perf_counter() - start, failed


if __name__ == "__main__":
    _, _url, _file, _connections, _seconds = sys.argv
    _cookies = Path(_file).read_text().splitlines()
    print(json.dumps(asyncio.run(_client(_url, _cookies, int(_connections), float(_seconds)))))
