"""`make test` gives the same verdict each time; the soak looks for something new each time."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import servers
from hypothesis import settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest's

TESTS = Path(__file__).parent


def test_hypothesis_draws_the_same():
    """Hypothesis draws the same examples in each run, and remembers none of an earlier run."""
    assert settings().derandomize and settings().database is None


def test_random_gives_the_same():
    """`random` gives a test the same numbers in each run, after any other tests."""
    assert random.random() == random.Random("0").random()


def test_the_soak_is_random():
    """The soak draws other interleavings in each run, also where the environment has CI, and seeds no process."""
    program = "import os, soak; assert not soak.AT_RANDOM.derandomize and 'SEED' not in os.environ"
    environment = {name: value for name, value in os.environ.items() if name != "SEED"}
    subprocess.run([sys.executable, "-c", program], cwd=TESTS, env={**environment, "CI": "true"}, check=True)


def test_all_versions_are_pinned():
    """Each package that setup.py or a group names has a version in constraints.txt, where nothing is of one machine."""
    pinned = (TESTS.parent / "constraints.txt").read_text("utf-8")
    groups = tomllib.loads((TESTS.parent / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    ours = [each for group in groups.values() for each in group if isinstance(each, str)]
    names = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in [*requires("node-session"), *ours]}
    assert {"tornado", "asyncpg", "pytest", "twine", "matplotlib"} <= names
    assert not {name for name in names if f"\n{name}==" not in pinned}
    assert "/" not in re.sub("^#.*", "", pinned, flags=re.MULTILINE)


def test_two_runs_on_one_machine():
    """The MongoDB server of one run of the tests does not keep that of another from starting."""
    first, second = (servers.start("mongodb") for _ in range(2))
    first.stop()
    second.stop()
