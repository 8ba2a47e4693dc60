"""The file driver's sweep beside requests: its steps, and the one process that does it for all."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node_session.drivers import FileDriver
from node_session.drivers.hashed import HashedDriver

SWEEPING = """
import asyncio, sys
from pathlib import Path
from node_session.drivers import FileDriver

async def main():
    async for removed in FileDriver(Path(sys.argv[1]), 60_000).gc_in_steps(60_000):
        print(removed, flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


def run(coroutine):
    return asyncio.run(coroutine)


def fill(folder, count, *, used=1, first=0):
    """Make records that were last used at a time, in seconds since 1970; None: now."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(first, first + count):
        file = folder / f"{number:040d}"
        file.write_text("text")
        if used is not None:
            os.utime(file, (used, used))


def records(folder):
    return [each for each in folder.iterdir() if not each.name.startswith(".")]


async def steps_of(driver):
    return [removed async for removed in driver.gc_in_steps(60_000)]


def looks(folder, monkeypatch):
    """A list that grows by the name of each file at which this process looks."""
    found = []

    def look(path, *args, lstat=os.lstat, **options):
        found.append(Path(path).name)
        return lstat(path, *args, **options)

    monkeypatch.setattr(os, "lstat", look)
    return found


@pytest.fixture
def other_process(folder):
    """Another process, in the middle of a sweep of 250 expired records."""
    fill(folder, 250)
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEPING, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert int(process.stdout.readline()) > 0
    with process:
        yield process
        process.kill()


def test_a_step_has_a_bound_and_rests_let_it_keep_up(driver, folder):
    """A step removes a hundred records, so that with rests a sweep still removes more than 2,000 a second."""
    fill(folder, 430)
    fill(folder, 20, used=None, first=430)
    steps = run(steps_of(driver))
    assert sum(steps) == 430 and max(steps) == 100 and len(records(folder)) == 20
    assert min(steps[:-2]) >= 95  # looks at young records count as well, but little
    assert max(steps) / driver.longest_rest > 2_000
    assert HashedDriver(driver).longest_rest == driver.longest_rest


def test_a_step_over_young_records(driver, folder, monkeypatch):
    """A step looks at a thousand young records."""
    fill(folder, 1_500, used=None)
    found = looks(folder, monkeypatch)
    counts = []

    async def scenario():
        async for removed in driver.gc_in_steps(60_000):
            counts.append((len(found), removed))

    run(scenario())
    assert counts in ([(1_000, 0), (1_500, 0)], [(999, 0), (1_500, 0)])  # one of the files is the lock


def test_one_process_sweeps_for_all(driver, folder, other_process, monkeypatch):
    """While another process sweeps the folder, there is no step here, and no file is looked at."""
    found = looks(folder, monkeypatch)
    assert run(steps_of(driver)) == run(steps_of(HashedDriver(driver))) == []
    assert found == [] and len(records(folder)) == 150
    other_process.stdin.close()
    other_process.wait()
    assert records(folder) == []
    fill(folder, 1)
    assert sum(run(steps_of(driver))) == 1


def test_the_sweeping_process_is_killed(driver, folder, other_process):
    """When the process that was sweeping is killed, the next one sweeps."""
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert sum(run(steps_of(driver))) == 150
    assert records(folder) == []


def test_gc_asked_for_waits_for_nobody(driver, folder, other_process):
    """Gc removes everything although another process sweeps, and while it works, nobody begins a sweep."""
    assert run(driver.gc(60_000)) == 150
    other_process.kill()
    other_process.wait()
    fill(folder, 1)
    nested = []
    remove = driver._walk.remove_some
    driver._walk.remove_some = lambda *args: nested.extend(run(steps_of(FileDriver(folder, 60_000)))) or remove(*args)
    assert run(driver.gc(60_000)) == 1 and nested == []


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_go_on_sweeping(driver, folder):
    """A child that was forked during a sweep, and lives on, does not keep other sweeps away."""
    fill(folder, 150)
    here, there = os.pipe()

    async def scenario():
        child = None
        async for _ in driver.gc_in_steps(60_000):
            if child is None and (child := os.fork()) == 0:
                os.close(there)
                os.read(here, 1)
                os._exit(0)
        fill(folder, 1)
        try:
            assert sum(await steps_of(driver)) == 1
        finally:
            os.close(there)
            os.waitpid(child, 0)
            os.close(here)

    run(scenario())


def test_a_sweep_that_is_left_can_be_begun_again(driver, folder):
    """A caller may stop after any step; the next sweep does the rest."""
    fill(folder, 250)

    async def scenario():
        steps = driver.gc_in_steps(60_000)
        assert await anext(steps) == 100
        await steps.aclose()
        return await steps_of(driver)

    assert sum(run(scenario())) == 150


def test_a_cancelled_sweep_lets_its_thread_finish(driver, folder):
    """A sweep that is cancelled during a step ends after it: the thread still uses the open folder."""
    fill(folder, 1)
    begun, go_on, order = threading.Event(), threading.Event(), []
    remove = driver._walk.remove_some

    def slow(*args):
        begun.set()
        go_on.wait()
        removed = remove(*args)
        order.append("step")
        return removed

    driver._walk.remove_some = slow

    async def scenario():
        sweep = asyncio.ensure_future(steps_of(driver))
        await asyncio.to_thread(begun.wait)
        sweep.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await sweep
        order.append("end")

    run(scenario())
    assert order == ["step", "end"] and records(folder) == []


def test_no_folder_yet(driver):
    """A folder that is not there yet has nothing to remove, and is not made."""
    assert run(steps_of(driver)) == []
    assert run(driver.gc(1)) == 0


def test_what_is_used_between_two_steps_stays(driver, folder):
    """A record that is used after the sweep has begun stays."""
    fill(folder, 250)

    async def scenario():
        steps = driver.gc_in_steps(60_000)
        await anext(steps)
        for file in (used := records(folder)):
            os.utime(file)
        assert [removed async for removed in steps] == [0]
        assert len(used) == 150 and sorted(records(folder)) == sorted(used)

    run(scenario())
