"""Concurrent requests of one session leave the same as requests one after the other."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .careless import Careless
from .machine import Sessions

SETTINGS = settings(
    max_examples=int(os.environ.get("EXAMPLES", "200")),
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def test_as_if_one_after_the_other():
    """In every interleaving of several requests' saves the record is what the model of DESIGN says, write by write."""
    run_state_machine_as_test(Sessions, settings=SETTINGS)


def test_the_machine_bites():
    """With compare-and-swap switched off the machine finds an interleaving in which something is lost."""

    class Broken(Sessions):
        driver_wrapper = Careless

    once = settings(SETTINGS, max_examples=2000, phases=[Phase.generate], print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=once)
