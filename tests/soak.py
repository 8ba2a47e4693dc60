"""Minutes of what tests/concurrency does for seconds: ``make soak MINUTES=10``.

    python tests/soak.py --minutes 10 [--config '{"driver": "database", "connection": {…}}'] …

Rounds of four trials: the hammer (2 and 4 processes on one store, 1 for memory), the storm of SIGKILL (with and without
`durable`), the mixture with the npm original (where Node is), and random interleavings against the model. A line tells
of each trial, the last line of all. It ends with status 1 if anything was lost, torn, doubled, out of order or back.

``--config`` (or the environment's CONFIG) adds the store of another driver to hammer and storm; it must be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS / "interop")]

from concurrency.hammer import hammer  # noqa: E402
from concurrency.machine import Sessions  # noqa: E402
from concurrency.mixed import mix  # noqa: E402
from concurrency.storm import storm  # noqa: E402
from doors import SECRET, open_side  # noqa: E402
from hypothesis import HealthCheck, Phase, seed, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402

KILLS = 100
INTERLEAVINGS = 300

AT_RANDOM = settings(
    max_examples=INTERLEAVINGS,
    stateful_step_count=50,
    deadline=None,
    database=None,
    derandomize=False,  # hypothesis would otherwise, where the environment has CI
    phases=[Phase.generate],  # to make a failure small takes minutes; tests/concurrency/test_machine.py does it
    suppress_health_check=list(HealthCheck),
)

# What a trial has checked, by name; they are added up.
Checked = dict[str, int]
Trial = Callable[[], Checked]


def hammered(config: dict[str, Any], processes: int) -> Checked:
    """One session, struck."""
    outcome = hammer(config, processes)
    outcome.check()
    return {"pushes of 8 concurrent clients": len(outcome.pushed)}


def stormed(config: dict[str, Any]) -> Checked:
    """Writers, killed."""
    tally = asyncio.run(storm(config, KILLS))
    return {"kills": tally.kills, "changes acknowledged by the killed": tally.changes + tally.pushes}


def mixed(folder: str, encrypt: bool) -> Checked:
    """Ours and the original."""
    config = {"secret": SECRET, "files": folder, "lottery": [0, 100]}
    door = open_side("original", {**config, "encrypt": encrypt})
    try:
        mixture = mix({**config, "encrypt": "legacy" if encrypt else False}, door.ask)
    finally:
        door.close()
    mixture.check()
    return {
        "pushes through the original": len(mixture.original),
        "pushes of ours beside it": len(mixture.ours),
        "of those overwritten by the original": len(mixture.outcome.lost),
    }


def interleaved() -> Checked:
    """Random interleavings of saves."""
    run_state_machine_as_test(seed(random.getrandbits(32))(Sessions), settings=AT_RANDOM)
    return {"interleavings": INTERLEAVINGS}


def trials(folder: str, others: list[dict[str, Any]]) -> Iterator[tuple[str, Trial]]:
    """A round."""
    files = {"driver": "file", "files": folder}
    yield "hammer file, 2 processes", lambda: hammered(files, 2)
    yield "hammer file, 4 processes", lambda: hammered(files, 4)
    yield "hammer memory", lambda: hammered({"driver": "memory"}, 1)
    yield "storm file", lambda: stormed(files)
    yield "storm file, durable", lambda: stormed({**files, "durable": True})
    for config in others:
        name = config.get("driver", "file")
        yield f"hammer {name}, 2 processes", lambda config=config: hammered(config, 2)
        yield f"hammer {name}, 4 processes", lambda config=config: hammered(config, 4)
        yield f"storm {name}", lambda config=config: stormed(config)
    if shutil.which("node") and (TESTS / "interop" / "node_modules" / "node-session").is_dir():
        yield "mixed with the original", lambda: mixed(folder, False)
        yield "mixed with the original, encrypted", lambda: mixed(folder, True)
    yield "interleavings", interleaved


def main() -> None:
    """Run trials until the time is up, one at least."""
    parser = argparse.ArgumentParser(description="Soak the session library; see the file's head.")
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "5")))
    parser.add_argument("--config", type=json.loads, action="append", default=[])
    options = parser.parse_args()
    others = options.config or ([json.loads(os.environ["CONFIG"])] if os.environ.get("CONFIG") else [])
    os.environ.setdefault("NODE_NO_WARNINGS", "1")  # the original uses what Node has deprecated
    started = time.monotonic()
    total: Counter[str] = Counter()
    failed = 0
    for number in itertools.count(1):
        with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
            for name, trial in trials(folder, others):
                try:
                    checked = trial()
                    total.update(checked)
                except Exception:
                    failed += 1
                    traceback.print_exc()
                    checked = {"FAILED": 1}
                what = ", ".join(f"{count} {thing}" for thing, count in checked.items())
                print(f"{(time.monotonic() - started) / 60:6.1f} min, round {number}: {name}: {what}", flush=True)
                if time.monotonic() - started > options.minutes * 60:
                    summarize(time.monotonic() - started, total, failed)
                    sys.exit(failed > 0)


def summarize(seconds: float, total: Counter[str], failed: int) -> None:
    """Report the checks in one line."""
    what = ", ".join(f"{count:,} {thing}" for thing, count in total.items())
    verdict = f"{failed} TRIALS FAILED" if failed else "nothing lost, torn, doubled, out of order or back"
    print(f"soak: {seconds / 60:.1f} minutes: {what or 'nothing checked'}: {verdict}")


if __name__ == "__main__":
    main()
