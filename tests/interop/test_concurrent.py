"""The npm original and ours on one folder, concurrently: ours never overwrites the original's changes."""

from __future__ import annotations

import pytest
from concurrency.mixed import Mixture, Push, mix
from doors import SECRET


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_mixed(open_door, tmp_path, encrypt):
    """All that the original saved is there; of ours, all but what one of its requests, under way then, wrote over."""
    door = open_door("original", files=tmp_path, encrypt=encrypt)
    config = {
        "secret": SECRET,
        "files": str(tmp_path),
        "lottery": [0, 100],
        "encrypt": "legacy" if encrypt else False,
    }
    mixture = mix(config, door.ask)
    assert len(mixture.original) > 5 and len(mixture.ours) == 100
    mixture.check()


def test_the_mixture_bites(open_door, tmp_path):
    """With compare-and-swap switched off, ours is found to lose what the original has saved."""
    door = open_door("original", files=tmp_path)
    config = {"secret": SECRET, "files": str(tmp_path), "lottery": [0, 100]}
    mixture = mix(config, door.ask, careless=True)
    assert [each for each in mixture.lost_by_ours if each.client == -1]


@pytest.mark.parametrize(
    ("found", "lost"),
    [
        ([(-1, 0), (0, 0), (0, 1)], []),
        ([(-1, 0), (0, 1)], []),
        ([(-1, 0), (0, 0)], [(0, 1)]),
        ([(0, 0), (0, 1)], [(-1, 0)]),
    ],
)
def test_who_has_lost_it(found, lost):
    """A push of ours is excused only by a request of the original at the same time; the original's by nothing."""
    mixture = Mixture([Push(-1, 0, 1.0, 2.0)], [Push(0, 0, 0.5, 1.5), Push(0, 1, 2.5, 3.0)], found)
    assert [each[:2] for each in mixture.lost_by_ours] == lost
