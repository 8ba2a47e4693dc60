"""Tests of your own: of an application, by a `Visitor`; of a driver, by the suite that every driver passes.

    from node_session.testing import DriverContract

    class TestMyDriver(DriverContract):
        def make_driver(self, lifetime):
            return MyDriver(lifetime)

pytest finds the tests in the class; no plugin is needed. A driver of three methods (see `node_session.drivers.base`)
passes with ``versions = False`` and ``lists = False`` and, if it never expires a record by itself, ``expires = False``.
`DriverScenario` describes these settings. The `visitor` module describes the other.
"""

from __future__ import annotations

from .expiry import ExpiryTests
from .idle import IdleTests
from .listing import ListingTests
from .records import RecordTests
from .scenario import TEXT, DriverScenario
from .versions import VersionTests
from .visitor import Visitor

__all__ = ["TEXT", "DriverContract", "DriverScenario", "Visitor"]


class DriverContract(RecordTests, VersionTests, ExpiryTests, IdleTests, ListingTests):
    """Tests of a driver. Derive from it, and override `make_driver`."""
