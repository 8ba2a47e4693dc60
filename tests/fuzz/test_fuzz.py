"""Fuzzing: a short run of every target, with what hypothesis thinks of and with what atheris finds."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from targets import SEEDS, TARGETS


@pytest.fixture(autouse=True)
def hushed(monkeypatch):
    """As the runner does it, but for the tests here only."""
    monkeypatch.setattr(logging.getLogger("node_session"), "disabled", True)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name):
    """Each target holds for its examples, and has some."""
    assert SEEDS[name]
    for seed in SEEDS[name]:
        TARGETS[name](seed)


def mutations(seed: bytes):
    """A seed, of which a part is replaced by something else."""
    places = st.integers(0, len(seed))
    return st.tuples(places, places, st.binary(max_size=20) | st.sampled_from(SNIPPETS)).map(
        lambda cut: seed[: min(cut[:2])] + cut[2] + seed[max(cut[:2]) :]
    )


SNIPPETS = [
    b"\0",
    b"[" * 300,
    b'{"a":' * 300,
    b"9" * 5000,
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"[0]",
    b".",
    b"1e999",
    b"null",
]


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_seeds(name):
    """Each target holds for its examples with anything in them replaced, and for any bytes."""

    @given(st.sampled_from(SEEDS[name]).flatmap(mutations) | st.binary())
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


def test_a_failing_target_is_told(tmp_path):
    """The runner's exit status counts the targets that fail: an input that raises is not overlooked."""
    pytest.importorskip("atheris")
    (tmp_path / "run.py").write_text((Path(__file__).parent / "run.py").read_text("utf-8"))
    (tmp_path / "targets.py").write_text(
        "def good(data): pass\n"
        "def bad(data): assert b'!' not in data\n"
        "TARGETS = {'good': good, 'bad': bad}\n"
        "SEEDS = {'good': [b'x'], 'bad': [b'a!']}\n"
        "def hush(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", "--seconds", "1", "--kept", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "AssertionError" in done.stdout and "failed: bad" in done.stdout


def test_guided_by_coverage(tmp_path):
    """A short coverage-guided fuzzing of all targets finds nothing; `make fuzz` takes longer."""
    pytest.importorskip("atheris")
    command = [sys.executable, Path(__file__).parent / "run.py", "--together", "--runs", "10000", "--kept", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
