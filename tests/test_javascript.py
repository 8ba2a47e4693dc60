"""Numbers and dates as JavaScript spells them."""

from __future__ import annotations

import time as clock
from datetime import date, datetime

import pytest

from node_session import SerializationError
from node_session.serializer import dumps


@pytest.fixture
def local_zone(monkeypatch):
    """Sets the zone of this process, by a rule that needs no zone data."""

    def set_zone(rule: str) -> None:
        monkeypatch.setenv("TZ", rule)
        clock.tzset()

    yield set_zone
    monkeypatch.undo()
    clock.tzset()


BERLIN, NEW_YORK = "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0"


@pytest.mark.parametrize(
    ("zone", "moment", "text"),
    [
        (BERLIN, datetime(2026, 1, 22, 20, 27), "2026-01-22T19:27:00.000Z"),
        (BERLIN, datetime(2026, 7, 22, 20, 27, 1, 999999), "2026-07-22T18:27:01.999Z"),
        (BERLIN, datetime(2026, 10, 25, 2, 30), "2026-10-25T00:30:00.000Z"),
        (BERLIN, datetime(2026, 10, 25, 2, 30, fold=1), "2026-10-25T01:30:00.000Z"),
        (BERLIN, datetime(1900, 1, 1), "1899-12-31T23:00:00.000Z"),
        (BERLIN, datetime.max, "9999-12-31T22:59:59.999Z"),
        (BERLIN, datetime.min, None),
        (NEW_YORK, datetime(2026, 7, 22, 20, 27), "2026-07-23T00:27:00.000Z"),
        (NEW_YORK, datetime.min, "0001-01-01T05:00:00.000Z"),
        (NEW_YORK, datetime.max, None),
        ("UTC0", datetime.min, "0001-01-01T00:00:00.000Z"),
    ],
    ids=str,
)
def test_datetime_without_a_zone(local_zone, zone, moment, text):
    """It is local time, in summer and winter and in the hour between; only beyond UTC's years it is an error."""
    local_zone(zone)
    if text is None:
        with pytest.raises(SerializationError, match=r"a\.at is a date that UTC has no year for"):
            dumps({"a": {"at": moment}})
    else:
        assert dumps({"at": moment}) == f'{{"at":"{text}"}}'


def test_a_date_is_the_same_day_in_each_zone(local_zone):
    """A date is no moment: it is midnight in UTC, as for JavaScript, or its day would change."""
    for zone in (BERLIN, NEW_YORK):
        local_zone(zone)
        assert dumps({"on": date(2026, 11, 22)}) == '{"on":"2026-11-22T00:00:00.000Z"}'


def test_usual_numbers_are_not_searched_for(monkeypatch):
    """Prices with cents are written by orjson alone: to go through the text once more takes longer than all else."""
    monkeypatch.setattr("node_session.javascript._strings_and_numbers", None)
    assert dumps({"prices": [12.05, 0.5, 100, 1e-7], "note": "3.0"}) == '{"prices":[12.05,0.5,100,1e-7],"note":"3.0"}'
