"""The arithmetic of the page on capacity is right, and its script runs; no test checks its measurements."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from capacity_model import Assumptions, Costs, Demand, bytes_at, demand_of, need_of, per_core
from capacity_page import filled, table, tables
from capacity_servers import PAGE

HERE = Path(__file__).parent

DEMAND = Demand(1, 2e6, 1000, {"read": 1000, "write": 200, "touch": 400, "create": 100})
COSTS = Costs(
    bytes={300: 500, 4000: 4200},
    process={"read": 400, "write": 600, "touch": 50, "create": 100},
    store={"read": 10, "write": 200, "touch": 100, "create": 300},
    log={"read": 0, "write": 1000, "touch": 500, "create": 2000},
)
GIVEN = Assumptions(busy=0.5, cores=4, memory=1, log=1, size=300, pool=10)


def test_demand():
    """A day's users make so many requests, changes, renewals and new sessions a second at the peak."""
    given = Assumptions(clicks=10, visits=1, minutes=10, lifetime=50, peak=2, writing=0.25, renewed=0.1)
    demand = demand_of(86_400, given)
    assert demand.requests == 20
    # A visit of ten minutes renews its session each five minutes.
    assert demand.operations == pytest.approx({"read": 20, "write": 5, "touch": 4, "create": 2})
    # In an hour at the peak 7,200 come, and each session lives for an hour.
    assert demand.live == pytest.approx(7_200)


def test_demand_is_bounded():
    """No more sessions are renewed than are read, and no more are live than were made in a day."""
    demand = demand_of(86_400, Assumptions(clicks=4, visits=2, minutes=500, lifetime=1200, peak=3, writing=0.25))
    assert demand.operations["touch"] == pytest.approx(demand.requests * 0.75)
    assert demand.live == 2 * 86_400


def test_need():
    """Costs times demand, over the share of a core that may be busy, are processes, cores, bytes and servers."""
    need = need_of(DEMAND, COSTS, GIVEN)
    assert need.gigabytes == pytest.approx(1.0)
    # 800 requests that read take 0.32 s, 200 that write 0.12 s, renewals 0.02 s, new sessions 0.01 s.
    assert need.processes == 1 and need.connections == 10
    assert need.store_cores == pytest.approx((0.01 + 0.04 + 0.04 + 0.03) / 0.5)
    assert need.log == pytest.approx(0.6)
    assert (need.servers, need.limit) == (1, "log")


@pytest.mark.parametrize(
    ("factor", "changes", "costs", "servers", "limit"),
    [
        (100, {"log": 1000}, {}, 6, "processor"),
        (100, {}, {}, 60, "log"),
        (100, {"memory": 2, "log": 1000}, {"one_core": True}, 50, "memory"),
        (100, {"memory": 1000, "log": 1000}, {"one_core": True}, 24, "processor"),
    ],
)
def test_limits(factor, changes, costs, servers, limit):
    """Whatever is short makes the number of servers; one that uses one core only needs more of them."""
    operations = {kind: number * factor for kind, number in DEMAND.operations.items()}
    demand = Demand(1, DEMAND.live * factor, DEMAND.requests * factor, operations)
    given = Assumptions(**{"busy": 0.5, "cores": 4, "memory": 1, "log": 1, "size": 300, **changes})
    need = need_of(demand, COSTS._replace(**costs), given)
    assert (need.servers, need.limit) == (servers, limit)


def test_no_server():
    """A store that lives in the program needs no server."""
    assert need_of(DEMAND, COSTS._replace(store={}, log={}), GIVEN).servers == 0


def test_page_images():
    """After each checkpoint a changed page is logged as a whole once: so many as changes, or as there are pages."""
    few_changes = Demand(1, 1e9, 100, {"read": 100, "write": 10, "touch": 0, "create": 0})
    few_pages = Demand(1, 16_384 * 300, 100, {"read": 100, "write": 1e6, "touch": 0, "create": 0})
    costs = COSTS._replace(bytes={300: 500, 4000: 4200}, log={}, image=8000)
    given = Assumptions(checkpoint=5, size=300)
    assert need_of(few_changes, costs, given).log == pytest.approx(10 * 8000 / 1e6)
    pages = 16_384 * 300 * 500 / 8192
    assert need_of(few_pages, costs, given).log == pytest.approx(pages / 300 * 8000 / 1e6)


def test_bytes_between_sizes():
    """Bytes lie on the line through the measured sizes, and are never fewer than those of the text."""
    assert bytes_at({300: 500, 4000: 4200}, 2150) == pytest.approx(2350)
    assert bytes_at({300: 4096, 4000: 4096}, 8000) == 8000


def test_per_core():
    """A core does the reciprocal of an operation's microseconds."""
    assert per_core(50) == 20_000


def test_bad_assumptions():
    """One error names every assumption that cannot be."""
    with pytest.raises(ValueError, match=r"clicks: .*-1.*; peak: .*nan.*; writing: is a share, at most 1, not 20"):
        Assumptions(clicks=-1, peak=float("nan"), writing=20)


def test_filled():
    """A table replaces what is between its markers; a page without the markers is an error."""
    page = "a\n<!-- table: one -->\nold\n<!-- end -->\nb\n"
    new = table(["", "n"], [["x", "1"]])
    assert filled(page, {"one": new}) == f"a\n<!-- table: one -->\n\n{new}\n\n<!-- end -->\nb\n"
    assert filled(filled(page, {"one": "other"}), {"one": new}) == filled(page, {"one": new})
    with pytest.raises(ValueError, match="two"):
        filled(page, {"two": new})


def test_page_is_current():
    """The tables on the page are what the script makes of the stored measurements: nobody has edited them."""
    results = json.loads((HERE / "capacity.json").read_text())
    page = PAGE.read_text()
    assert filled(page, tables(results, Assumptions())) == page


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it reads CPU times from /proc")
def test_script(tmp_path):
    """A short run measures stores in the program and one with a server, and fills the page; another calculates."""
    stores = ["memory", "file", "sqlite", "redis"]
    options = ["--stores", ";".join(stores), "--sessions", "100", "--seconds", "0.2", "--out", str(tmp_path)]
    run(*options)
    results = json.loads((tmp_path / "capacity.json").read_text())
    assert [*results["stores"]] == stores
    for name, store in results["stores"].items():
        for size, measured in store["sizes"].items():
            assert sum(measured["new"].values()) > int(size), (name, size)
            assert {kind for kind, phases in measured["alone"].items() if phases} == {
                "read",
                "write",
                "touch",
                "create",
            }
    page = (tmp_path / "capacity.md").read_text()
    assert filled(page, tables(results, Assumptions())) == page
    assert "1,000,000,000" in run("--calculate", "--out", str(tmp_path), "--clicks", "50")


def run(*options: str) -> str:
    command = [sys.executable, HERE / "capacity.py", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
