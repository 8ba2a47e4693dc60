"""The benchmarks run; no test checks their measurements, except that a delay delays."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import forwarder
import instructions
import load
import load_plan
import pictures
import pytest
import servers
from comparison import Results, Sample
from contestants import Setup
from goals import Cell, Group
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


def measure(folder: Path, group: str, seconds: float, *args: str) -> tuple[list[str], list[list[str]]]:
    """Run a group shortly; gives the page's lines, and the cells of our rows."""
    once = ["--starts", "1", "--rounds", "1", "--seconds", str(seconds), "--out", str(folder)]
    run("bench.py", "--only", group, *once, *args)
    lines = (folder / "results.md").read_text().splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| node_session")]
    return lines, [[cell.strip() for cell in row] for row in rows]


def check_numbers(row: list[str]) -> None:
    cpu, cost, _, rate, median, p99, slowest, *failed = (float(cell.replace(",", "") or "nan") for cell in row[3:])
    assert cpu > 0 and rate > 0 and cost < cpu
    assert 0 < median <= p99 <= slowest
    assert all(number >= 0 for number in failed)  # 0, unless the machine is very busy


def test_table(tmp_path):
    """A run on the memory driver writes a table with a number in each cell of our rows."""
    lines, rows = measure(tmp_path, "smoke", 0.2)
    assert [row[:3] for row in rows] == [["node_session", "memory", "reading"], ["node_session", "memory", "writing"]]
    for row in rows:
        check_numbers(row)
    assert any("beside a signed cookie's" in line and "≤ 0.50" in line for line in lines)


def test_database_beside_another_checkout(tmp_path):
    """A run on a real database, with a delay and another checkout, has a row for each and counts failed requests."""
    servers.require("postgresql")
    second = 1  # wrk takes whole ones; in less, load.py's own client does the work
    lines, rows = measure(tmp_path, "load-smoke", second, "--package", str(HERE.parent.parent))
    asked = "writing, 2 ms away, 8 connections"
    assert [row[:3] for row in rows] == [
        [name, "postgresql", asked] for name in ("node_session", "node_session, before")
    ]
    for row in rows:
        assert len(row) == 11
        check_numbers(row)
    assert any("requests a second beside before" in line for line in lines)


def test_older_checkout_without_our_package(tmp_path):
    """A folder that is no checkout of ours is an error that names it."""
    command = [sys.executable, HERE / "bench.py", "--package", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and str(tmp_path) in done.stderr


@pytest.mark.gen_test(timeout=60)
async def test_forwarder():
    """What goes through the forwarder arrives whole, in order, and not before its time, in both directions."""

    async def echo(reader, writer):
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    with forwarder.running(server.sockets[0].getsockname()[1], 100) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        start = time.monotonic()
        sent = b"".join(b"%d," % number for number in range(20_000))
        for begin in range(0, len(sent), 997):
            writer.write(sent[begin : begin + 997])
            await writer.drain()
        writer.write_eof()
        assert await reader.read() == sent
        assert time.monotonic() - start >= 0.1
        writer.close()
    server.close()


class Failing(RequestHandler):
    """Answers each second request by an error."""

    count = 0

    def get(self):
        type(self).count += 1
        self.set_status(503 if self.count % 2 == 0 else 200)
        self.write("ok")


@pytest.mark.parametrize("seconds", [0.2, 1])
@pytest.mark.gen_test(timeout=60)
async def test_answers_other_than_200(seconds):
    """Answers that are not 200 are counted, or end the measurement with an error that tells how many there were."""
    server = HTTPServer(Application([("/", Failing)]))
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(socket)
    port = socket.getsockname()[1]
    served = await asyncio.to_thread(load.put, port, "/", [], 2, seconds, strict=False)
    assert 0 < served.refused < served.requests and served.broken == 0
    with pytest.raises(RuntimeError, match=r"of \d+ answers of http.*, \d+ were not 200; 0 connections broke"):
        await asyncio.to_thread(load.put, port, "/", [], 2, seconds)
    server.stop()
    await server.close_all_connections()


def test_picture_of_latency(tmp_path):
    """The latencies under load are drawn, where matplotlib is installed."""
    (group,) = (group for group in load_plan.LOAD_GROUPS if group.name == "load")
    sample = Sample(300, 1000, load.Latency(1, 2, 3), 0)
    path = tmp_path / "latency.png"
    assert pictures.latency([Results(group, {cell: [sample] for cell in group.cells})], path) == path.exists()


def test_goals_under_load():
    """A failed request, or a 99th percentile of more than five times the median, misses a goal of each driver."""
    (group,) = (group for group in load_plan.LOAD_GROUPS if group.name == "load")
    good, bad = Sample(300, 1000, load.Latency(1, 5, 90), 0), Sample(300, 1000, load.Latency(1, 6, 90), 1)
    for worst, reached in ((good, True), (bad, False)):
        results = Results(group, {cell: [good] for cell in group.cells[:-1]} | {group.cells[-1]: [worst]})
        met = {target.text: target.is_reached(target.value(results)) for target in group.targets}
        assert {is_met for text, is_met in met.items() if text.startswith("file")} == {reached}
        assert all(is_met for text, is_met in met.items() if not text.startswith("file"))


def test_cost_of_less_than_nothing():
    """If the bare handler took more than what a cost is compared with, there is no ratio, and no error."""
    bare, one, other = Cell("Tornado, bare"), Cell("node_session", Setup("redis")), Cell("node_session", Setup("mysql"))
    samples = {bare: 300, one: 400, other: 200}
    taken = {cell: [Sample(cpu, 1000, load.Latency(1, 2, 3), 0)] for cell, cpu in samples.items()}
    results = Results(Group("", "", list(taken), []), taken)
    assert results.cost_ratio(one, other) is None
    assert results.cost_ratio(other, one) == -1


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
    requests, seconds, refused, broken, median, p99, slowest = json.loads(output)
    assert requests == len(seen) > 3 and seconds >= 0.2 and (refused, broken) == (1, 0)
    assert 0 < median <= p99 <= slowest
    assert seen[:4] == ["a=1", "b=2", "a=1", "b=2"]
    server.stop()
    await server.close_all_connections()
