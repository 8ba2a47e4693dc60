"""Values are compared by what would be stored, however they are nested and in whatever order they are compared."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from node_session.equality import Comparison
from node_session.serializer import dumps, loads

SCALARS = [None, True, False, 0, 1, 2**53, 0.5, "", "x", "\ud83d", "ü"]
LIVE = [1.0, -0.0, float("inf"), (), (1, "x"), {1: "x", "1": "y"}]


def pick(rng: random.Random, values: list[Any]) -> Any:
    return copy.copy(rng.choice(values))


def random_value(rng: random.Random, depth: int, scalars: list[Any]) -> Any:
    """A random value, of which the half are nested as deep as may be."""
    value: Any = pick(rng, scalars)
    for _ in range(depth):
        beside = [pick(rng, scalars) for _ in range(rng.choice([0, 0, 1, 3]))]
        if rng.random() < 0.6:
            value = [value, *beside] if rng.random() < 0.8 else [*beside, value]
        else:
            value = {"a": value, **{f"k{number}": each for number, each in enumerate(beside)}}
    return value


def containers(value: Any) -> list[Any]:
    found = [value] if isinstance(value, (dict, list, tuple)) else []
    for each in value.values() if isinstance(value, dict) else value if found else ():
        found += containers(each)
    return found


def change(rng: random.Random, value: Any, scalars: list[Any]) -> None:
    """Change one place of a value, at any depth."""
    place = rng.choice([each for each in containers(value) if not isinstance(each, tuple)])
    if isinstance(place, list):
        place.insert(rng.randrange(len(place) + 1), pick(rng, scalars))
    elif place and rng.random() < 0.5:
        key = next(iter(place))
        place[key] = place.pop(key)  # another order of keys
    else:
        place[rng.choice(["a", "k0", "new"])] = pick(rng, scalars)


def stored(value: Any) -> str:
    """What is stored of a value, with all keys in one order."""
    return json.dumps(json.loads(dumps({"value": value})), sort_keys=True)


def aligned(one: Any, other: Any, depth: int = 0) -> list[tuple[Any, Any, int]]:
    """The values of each place that both have, and how deep they are."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(each, other[key]) for key, each in one.items() if key in other]
    elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        pairs = [*zip(one, other, strict=False)]
    below = [found for pair in pairs for found in aligned(*pair, depth + 1)]
    return [(one, other, depth), *below]


@pytest.mark.parametrize("seed", range(300))
def test_as_their_texts_say(seed: int) -> None:
    """Each answer, for each place and in any order of the questions, is that of a comparison of the stored texts."""
    rng = random.Random(seed)
    depth = rng.choice([2, 6, 9, 14, 60])
    live = {"a": random_value(rng, depth, SCALARS + LIVE)}
    parsed, other = loads(dumps(live)), loads(dumps(live))
    for _ in range(rng.choice([0, 1, 3])):
        change(rng, live, SCALARS + LIVE)
    for _ in range(rng.choice([0, 1, 3])):
        change(rng, other, SCALARS)
    comparison = Comparison()
    questions = [("same", *each) for each in aligned(live, parsed)] + [
        ("copy", *each) for each in aligned(other, parsed)
    ]
    rng.shuffle(questions)
    for question, one, two, depth in questions:
        if question == "same":
            assert comparison.is_same(one, two, depth) == (stored(one) == stored(two)), (one, two)
            assert (comparison.form(one) == comparison.form(two)) == (stored(one) == stored(two)), (one, two)
        else:
            assert comparison.is_copy(one, two, depth) == (json.dumps(one) == json.dumps(two)), (one, two)


def test_forms_of_many_are_those_of_each() -> None:
    """The forms of many values, which may be made together, are those that each value has by itself."""
    rng = random.Random(1)
    comparison = Comparison()
    for _ in range(200):
        scalars = rng.choice([[1, 2, "x"], SCALARS, SCALARS + LIVE])
        values = [random_value(rng, rng.choice([1, 1, 1, 2]), scalars) for _ in range(5)]
        assert comparison.forms(values) == [comparison.form(copy.deepcopy(each)) for each in values]
