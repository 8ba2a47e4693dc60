"""The benchmarks run; no test checks their measurements."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import instructions
import pytest
from contestants import Setup
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it reads CPU times from /proc")


def run(program: str, *args: str, **env: str) -> str:
    command = [sys.executable, HERE / program, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **env}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_table(tmp_path):
    """A run on the memory driver writes a table with a number in each cell of our rows."""
    run("bench.py", "--only", "smoke", "--starts", "1", "--rounds", "1", "--seconds", "0.2", "--out", str(tmp_path))
    lines = (tmp_path / "results.md").read_text().splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| node_session")
    ]
    assert [row[:3] for row in rows] == [["node_session", "memory", "reading"], ["node_session", "memory", "writing"]]
    for row in rows:
        cpu, cost, _, rate = (float(cell.replace(",", "") or "nan") for cell in row[3:])
        assert cpu > 0 and rate > 0 and cost < cpu
    assert any("beside a signed cookie's" in line and "≤ 0.50" in line for line in lines)


def test_profile():
    """The profile of a request names our functions and how often each is called."""
    output = run("profile_request.py", "--seconds", "0.3", "--lines", "500")
    (line,) = [line for line in output.splitlines() if "`start_session`" in line]
    assert [cell.strip() for cell in line.split("|")][3] == "1"


def test_instructions(tmp_path, monkeypatch):
    """Valgrind counts the instructions of requests, and not those of the start."""
    if shutil.which("valgrind") is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("valgrind is not installed; on Debian: apt-get install valgrind")
    monkeypatch.setattr(instructions, "FEW", 1)
    monkeypatch.setattr(instructions, "MANY", 5)
    assert 100_000 < instructions.count("Tornado, bare", Setup(), "/read", tmp_path) < 50_000_000


@pytest.mark.gen_test(timeout=60)
async def test_client_without_wrk(tmp_path):
    """The client for machines without wrk sends the cookies in turn, and tells of answers that are no 200."""
    seen = []

    class Page(RequestHandler):
        def get(self):
            seen.append(self.request.headers.get("Cookie"))
            self.set_status(500 if len(seen) == 3 else 200)
            self.write("ok")

    server = HTTPServer(Application([("/", Page)]))
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(socket)
    cookies = tmp_path / "cookies"
    cookies.write_text("a=1\nb=2\n")
    url = f"http://127.0.0.1:{socket.getsockname()[1]}/"
    output = await asyncio.to_thread(run, "load.py", url, str(cookies), "1", "0.2")
    requests, seconds, failed = json.loads(output)
    assert requests == len(seen) > 3 and seconds >= 0.2 and failed == 1
    assert seen[:4] == ["a=1", "b=2", "a=1", "b=2"]
    server.stop()
    await server.close_all_connections()
