"""The endurance run in small: the same traffic for seconds, and whether the judgement notices what is broken."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from . import endure, run
from .client import Tally
from .expected import Expected
from .judgement import Findings, judge

ACTS = 40  # of each user


def endured(name: str, broken: str | None = None) -> Findings:
    with endure.open_store(name) as config:
        return asyncio.run(endure.endure_briefly(config, ACTS, "0", broken))


@pytest.mark.parametrize("name", ["memory", "file", "sqlite", "redis"])
def test_nothing_is_amiss(name):
    """Mixed traffic with aborts, cancels, log-ins and WebSockets loses, refuses and leaves nothing."""
    findings = endured(name)
    assert judge(findings) == []
    assert findings.tally.counts["aborted"] > 10


@pytest.mark.parametrize(
    ("broken", "exceeded"),
    [
        ("versions", "changes lost; .* are lost"),
        ("tasks", "tasks left: .*Event.wait"),
        ("files", "file descriptors left: .*/dev/null"),
        ("errors", "errors logged: .*on purpose"),
        ("answers", "answers other than 200: .*503"),
    ],
)
def test_a_fault_is_noticed(broken, exceeded):
    """A driver without compare-and-swap, what is left, an error in the log and a 503 each exceed their own bound."""
    (only,) = judge(endured("file", broken))
    assert re.match(exceeded, re.sub("^[0-9]+ ", "", only), re.DOTALL)


def measures(memory: int, objects: int) -> dict:
    kinds = Counter(dict=objects)
    return {"memory": memory, "resident": memory, "objects": objects, "kinds": kinds, "stall": 0.01, "removed": 7}


def findings(memory: int = 100, objects: int = 100) -> Findings:
    """Those of a run in which only the memory may have grown, from 100."""
    left: dict = {"tasks": [], "files": [], "errors": []}
    return Findings(Tally(Counter(checked=9, requests=9)), measures(100, 100), measures(memory, objects), left)


def test_memory_may_grow_by_five_percent():
    """More than that is judged, in bytes and in objects; the verdict says what there is more of."""
    assert judge(findings(104, 104)) == []
    assert judge(findings(memory=106)) == ["memory grew by 6.0% after the warm-up, more than 5%"]
    (only,) = judge(findings(objects=106))
    assert only == "objects grew by 6.0% after the warm-up, more than 5% (6 more dict)"


def test_no_traffic_is_no_success():
    """A run in which nothing was checked fails."""
    nothing = findings()
    nothing.tally.counts.clear()
    assert judge(nothing) == ["no change was checked"]


@pytest.mark.parametrize(
    ("tags", "hits", "problem"),
    [
        (["sure"], 1, None),
        (["sure", "doubtful"], 2, None),
        ([], 1, "1 of the changes are lost: ['sure']"),
        (["sure", "sure"], 1, "1 of the changes are there twice: ['sure']"),
        (["sure", "undone"], 1, "1 of the changes are there although undone: ['undone']"),
        (["sure", "strange"], 1, "1 of the changes are there unexpectedly: ['strange']"),
        (["sure"], 0, "0 hits were counted, and not 1 to 2"),
        (["sure", "doubtful"], 1, "1 hits were counted, and not 2 to 2"),
    ],
)
def test_expected(tags, hits, problem):
    """The model accepts each content that is possible, and no other."""
    expected = Expected()
    expected.acknowledge("sure")
    expected.doubt("doubtful")
    expected.undo("undone")
    found = {"tags": tags, "hits": hits, "user": None, "profile": 0}
    assert expected.check(found) == ([] if problem is None else [problem])


def test_a_change_that_was_found_stays():
    """A change without an answer that was there once must be there the next time."""
    expected = Expected()
    expected.doubt("doubtful")
    assert expected.check_tags(["doubtful"]) == []
    assert expected.check_tags([]) == ["1 of the changes are lost: ['doubtful']"]


def test_the_program_tells_of_each_driver(monkeypatch, capsys):
    """It prints a line for a driver and a row of the table, and ends with 1 if a bound was exceeded."""

    async def endured(config, seconds, seed):
        return findings() if config["driver"] == "memory" else findings(memory=120)

    monkeypatch.setattr(run, "endure", endured)
    assert run.main(["memory", "--seed", "7"]) == 0
    assert run.main(["memory", "file"]) == 1
    told = capsys.readouterr().out
    assert "memory: 9 requests, 9 changes checked: within all bounds\n\nseed 7\n" in told
    assert "file: 9 requests, 9 changes checked: memory grew by 20.0%" in told


@pytest.mark.parametrize("broken", [None, "memory"])
def test_the_memory_is_measured(monkeypatch, broken):
    """A run measures the memory twice; after a second its noise means nothing yet, but a large leak is found."""
    monkeypatch.setattr(endure, "LIFETIME", 1)
    with endure.open_store("memory") as config:
        found = asyncio.run(endure.endure({**config, "lifetime": 1000}, 1, "0", broken))
    exceeded = judge(found)
    assert found.warm["memory"] > 1e6 and found.end["objects"] > 1e4
    assert [each for each in exceeded if "grew" not in each] == []
    if broken:
        assert any(re.match("objects grew .* more list", each) for each in exceeded)
