"""The program of `make soak`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[1] / "soak.py"


def test_soak():
    """It tells of each trial in a line, and of all that was checked in the last one."""
    run = subprocess.run([sys.executable, str(SOAK), "--minutes", "0"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    first, last = run.stdout.splitlines()
    assert "round 1: hammer file, 2 processes: 201 pushes" in first
    assert last.startswith("soak: ") and "201 pushes" in last and last.endswith("out of order or back")


def test_soak_that_fails():
    """Failures are counted, and make it end with status 1."""
    run = subprocess.run(
        [sys.executable, "-c", BROKEN, "--minutes", "0"], capture_output=True, text=True, cwd=SOAK.parent
    )
    assert run.returncode == 1
    assert "FAILED" in run.stdout.splitlines()[0] and "1 TRIALS FAILED" in run.stdout.splitlines()[-1]
    assert "lost on purpose" in run.stderr


BROKEN = """
import soak

def broken(config, processes):
    raise AssertionError("lost on purpose")

soak.hammered = broken
soak.main()
"""
