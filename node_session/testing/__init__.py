"""The suite that every driver passes: those of this package, and yours.

    from node_session.testing import DriverContract

    class TestMyDriver(DriverContract):
        def make_driver(self, lifetime):
            return MyDriver(lifetime)

pytest finds the tests in the class; no plugin is needed. A driver of three methods (see `node_session.drivers.base`)
passes with ``versions = False`` and ``lists = False`` and, if it never expires a record by itself, ``expires = False``.
`DriverScenario` describes these settings.
"""

from __future__ import annotations

from .expiry import ExpiryTests
from .listing import ListingTests
from .records import RecordTests
from .scenario import TEXT, DriverScenario
from .versions import VersionTests

__all__ = ["TEXT", "DriverContract", "DriverScenario"]


class DriverContract(RecordTests, VersionTests, ExpiryTests, ListingTests):
    """Tests of a driver. Derive from it, and override `make_driver`."""
