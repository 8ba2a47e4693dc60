"""`ls` and `stats` of a store with many sessions."""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from node_session import NodeSession
from node_session.cli import DONE, main
from node_session.cli.lines import Line, Lines
from node_session.drivers import Entry, MemoryDriver


class ManyDriver(MemoryDriver):
    """Lists so many sessions, which are nowhere."""

    count = 0

    async def scan(self):
        for number in range(self.count):
            yield Entry(f"{number * 7919 % 100_003:040d}", '{"a":1}', time.time() * 1000 - number)


@pytest.mark.parametrize("command", [["ls"], ["ls", "--json"], ["ls", "--sort", "size"], ["stats"]], ids=" ".join)
def test_memory_does_not_grow(command, shop, monkeypatch):
    """Ten times as many sessions take no more memory."""
    NodeSession.register_handler("many", lambda config: ManyDriver(0))
    config = shop.write("many.json", driver="many")
    peaks = []
    with Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        for count in (100, 1_000, 10_000):  # the first fills caches
            monkeypatch.setattr(ManyDriver, "count", count)
            tracemalloc.start()
            assert main([*command, config]) == DONE
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[2] < peaks[1] + 100_000  # 9,000 lines have 400,000 bytes of ids alone


def test_the_order_of_a_long_listing(shop):
    """However many sessions there are, each order is that of Python, ties as they were listed."""
    NodeSession.register_handler("many", lambda config: ManyDriver(0))
    config = shop.write("many.json", driver="many")
    ManyDriver.count = 3_000
    listed = [f"{number * 7919 % 100_003:040d}" for number in range(3_000)]
    for arguments, expected in (
        (["--sort", "id"], sorted(listed)),
        (["--sort", "id", "--reverse"], sorted(listed, reverse=True)),
        (["--sort", "size", "--reverse"], listed),
        (["--limit", "5", "--sort", "id"], sorted(listed)[:5]),
    ):
        found = json.loads(shop.run("ls", "--json", config, "--whole", *arguments))
        assert [each["id"] for each in found] == expected
        lines = shop.run("ls", config, "--whole", *arguments).splitlines()
        assert [line.split()[0] for line in lines[1:-1]] == expected
        assert lines[-1] == "3000 sessions, 21.0 kB"


def test_lines_keep_any_id_and_median():
    """Ids that are no text for a database come back as they were; a median of an even number is between two."""
    lines = Lines()
    ids = ["\ud800", "é", "a\0b", ""]
    for number, id in enumerate(ids):
        lines.add(Line(id, number, float(number), "why\udfff" if number else "", number > 1))
    assert [line.id for line in lines.sorted("id")] == sorted(ids)
    assert list(lines.sorted("size", reverse=True, limit=1)) == [Line("", 3, 3.0, "why\udfff", True)]
    assert lines.spread("size") == (0, 1.5, 3) and lines.spread("idle") == (0, 1.5, 3)
    assert (lines.count, lines.size, lines.damaged) == (4, 6, 3)
    assert Lines().spread("size") is None


@pytest.mark.parametrize("command", ["ls", "stats"])
def test_a_terminal_shows_how_far_it_is(command, shop, monkeypatch, capsys):
    """While many sessions are looked at, a terminal shows how many there were; a pipe gets nothing of it."""
    NodeSession.register_handler("many", lambda config: ManyDriver(0))
    config = shop.write("many.json", driver="many")
    monkeypatch.setattr(ManyDriver, "count", 2_500)
    assert main([command, config]) == DONE
    assert "records" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main([command, config]) == DONE
    error = capsys.readouterr().err
    assert error.startswith("\r1,000 records\r2,000 records\r") and error.endswith("\r") and error.strip()
