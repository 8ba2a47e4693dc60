"""The cost of a session grows with its size only, for any content."""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any

import hostile
import orjson
import pytest

from node_session import paths
from node_session.forms import Forms
from node_session.merge import merge


class Key(str):
    """A key whose comparisons are steps like any other, so that a search in a list is seen."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


def steps(shape: hostile.Shape, size: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Python's instructions, and what orjson has written: the same number at each run, however busy the machine is."""
    count = 0

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return step

    def dumps(*arguments: Any) -> bytes:
        nonlocal count
        text = written(*arguments)
        count += len(text) // 8
        return text

    written = orjson.dumps
    takes_keys = len(inspect.signature(shape).parameters) == 2 and "make" in inspect.signature(shape).parameters
    run = shape(size, Key) if takes_keys else shape(size)  # type: ignore[call-arg]
    paths._parse_cached.cache_clear()
    before = sys.gettrace()
    with monkeypatch.context() as patch:
        patch.setattr(orjson, "dumps", dumps)
        sys.settrace(step)
        try:
            run()
        finally:
            sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", hostile.SHAPES, ids=lambda shape: shape.__name__)
def test_twice_the_size_is_twice_the_work(shape: hostile.Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a session of double the size, each shape takes at most 2.3 times the steps."""
    size = 30_000 if shape is hostile.deeper_objects else 8_000
    steps(shape, size, monkeypatch)  # from 3.12 on, code that is traced for the first time is not traced as a whole
    half, whole = (steps(shape, each, monkeypatch) for each in (size, 2 * size))
    assert 0 < whole <= 2.3 * half


def test_nothing_is_looked_up_by_a_hash_that_a_client_can_choose() -> None:
    """Forms are looked up by text, which Python salts: pairs of one hash are as many texts as there are pairs."""
    pairs = hostile._pairs_of_one_hash(100)
    assert len({hash(tuple(pair)) for pair in pairs}) == 1
    forms = Forms()
    values = [pairs, *map(tuple, pairs), *(number * (2**61 - 1) for number in range(5)), 0.5, {1: pairs}, None]
    assert {type(forms.of(value)) for value in values} == {str}
    assert {type(key) for key in forms._numbers} == {str}
    assert len({hash(form) for form in map(forms.of, pairs)}) == 100
    merge({"a": pairs}, {"a": pairs[::-1]}, {"a": [*pairs, 1]})


def test_a_deep_session_is_compared_once_at_each_of_a_few_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of objects within objects, what orjson writes is a few times the size, and not once the size a level."""
    total = 0

    def dumps(*arguments: Any) -> bytes:
        nonlocal total
        text = written(*arguments)
        total += len(text)
        return text

    written = orjson.dumps
    run = hostile.deep_objects(100_000)
    monkeypatch.setattr(orjson, "dumps", dumps)
    run()
    assert total < 20 * 100_000


def test_what_is_unchanged_costs_few_steps_however_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that both sides left alone are compared as a whole, and take no step of Python for each of them."""
    steps(hostile.deep_and_unchanged, 8000, monkeypatch)
    half, whole = (steps(hostile.deep_and_unchanged, size, monkeypatch) for size in (8000, 16_000))
    assert (whole - half) / (8000 / 130 * 60) < 20  # for each list
