"""The suite that every driver passes: those of this package, and yours.

    from node_session.testing import DriverContract

    class TestMyDriver(DriverContract):
        def make_driver(self, lifetime):
            return MyDriver(lifetime)

pytest finds the tests in the class; no plugin is needed. A driver of three methods (see `node_session.drivers.base`)
passes with ``versions = False`` and ``lists = False`` and, if it never expires a record by itself, ``expires = False``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .drivers import Driver, PlainDriver
from .errors import ConflictError

TEXT = '{"_token":"t","name":"Jörg \\u0000 \U0001f600","list":[1,2.5,null],"line":"\\n"}'

_LIFETIME = 60_000


class DriverContract:
    """Tests of a driver. Derive from it, and override `make_driver`."""

    versions = True
    """Whether the driver compares versions. If not, the tests expect that the last write wins."""

    expires = True
    """Whether a record that is idle for longer than the lifetime is no longer read."""

    expired_is_gone = False
    """Whether the store itself removes a record the moment it expires, as Redis does. A request that was under way can
    then no longer replace it."""

    lists = True
    """Whether the driver can list its records."""

    def make_driver(self, lifetime: float) -> Any:
        """Make a driver on an empty store. Override this method.

        Args:
            lifetime: In milliseconds, as in the config.

        Returns:
            A `Driver`, an object with read, write and destroy, or an awaitable of one.
        """
        raise NotImplementedError

    async def age(self, driver: Driver, id: str, milliseconds: float) -> None:
        """Make a record's last activity so much older. By default this waits; override it to save the time."""
        await asyncio.sleep(milliseconds / 1000)

    # ---------------------------------------------------------------- one at a time

    def test_absent(self) -> None:
        """A record that was never written is None; to touch or destroy it is no error, and makes none."""

        async def scenario(driver: Driver) -> None:
            assert await driver.read(_id(1)) is None
            await driver.touch(_id(1))
            await driver.destroy(_id(1))
            assert await driver.read(_id(1)) is None

        self._run(scenario)

    def test_round_trip(self) -> None:
        """What is written is read again, character by character, by this driver object and record by record."""

        async def scenario(driver: Driver) -> None:
            texts = {_id(1): TEXT, _id(2): "{}", _id(3): "x" * 1_000_000, _id(4): "\u2028\r\n\t\\'\"%;--"}
            for id, text in texts.items():
                await driver.write(id, text, None)
            for id, text in texts.items():
                assert await _text(driver, id) == text

        self._run(scenario)

    def test_ids_are_case_sensitive(self) -> None:
        """Ids that differ only in case are two records."""

        async def scenario(driver: Driver) -> None:
            await driver.write("a" * 40, "lower", None)
            await driver.write("A" * 40, "upper", None)
            assert (await _text(driver, "a" * 40), await _text(driver, "A" * 40)) == ("lower", "upper")

        self._run(scenario)

    def test_replace(self) -> None:
        """A record is replaced with the version of a read, and again with the version that the write returned."""

        async def scenario(driver: Driver) -> None:
            await driver.write(_id(1), "one", None)
            record = await driver.read(_id(1))
            assert record is not None
            version = await driver.write(_id(1), "two", record.version)
            assert await _text(driver, _id(1)) == "two"
            version = await driver.write(_id(1), "a shorter or longer text", version)
            await driver.write(_id(1), "3", version)
            assert await _text(driver, _id(1)) == "3"

        self._run(scenario)

    def test_destroy(self) -> None:
        """A destroyed record is gone, and may be created again."""

        async def scenario(driver: Driver) -> None:
            await driver.write(_id(1), "one", None)
            await driver.write(_id(2), "other", None)
            await driver.destroy(_id(1))
            assert await driver.read(_id(1)) is None
            assert await _text(driver, _id(2)) == "other"
            await driver.write(_id(1), "again", None)
            assert await _text(driver, _id(1)) == "again"

        self._run(scenario)

    # ---------------------------------------------------------------- versions

    def test_create_only_if_absent(self) -> None:
        """Creating a record that is there is a conflict, and leaves it as it is."""

        async def scenario(driver: Driver) -> None:
            await driver.write(_id(1), "theirs", None)
            await self._conflicts(driver.write(_id(1), "mine", None))
            assert await _text(driver, _id(1)) == ("theirs" if self.versions else "mine")

        self._run(scenario)

    def test_replace_only_that_version(self) -> None:
        """Replacing a version that is no longer there is a conflict, and leaves what is there."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(_id(1), "one", None)
            await driver.write(_id(1), "two", old)
            await self._conflicts(driver.write(_id(1), "mine", old))
            assert await _text(driver, _id(1)) == ("two" if self.versions else "mine")

        self._run(scenario)

    def test_destroyed_stays_destroyed(self) -> None:
        """Replacing a record that was destroyed is a conflict, and does not bring it back."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(_id(1), "one", None)
            await driver.destroy(_id(1))
            await self._conflicts(driver.write(_id(1), "mine", version))
            assert (await driver.read(_id(1)) is None) is self.versions

        self._run(scenario)

    def test_destroy_only_that_version(self) -> None:
        """Destroying a version that is no longer there is a conflict; one that is there goes, and so does none."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(_id(1), "one", None)
            new = await driver.write(_id(1), "two", old)
            await self._conflicts(driver.destroy(_id(1), old))
            assert (await driver.read(_id(1)) is not None) is self.versions
            await driver.destroy(_id(1), new)
            assert await driver.read(_id(1)) is None
            await driver.destroy(_id(1), new)

        self._run(scenario)

    def test_touch_is_no_new_version(self) -> None:
        """A touched record has the version and the text it had."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(_id(1), "one", None)
            await driver.touch(_id(1))
            assert await _text(driver, _id(1)) == "one"
            await driver.write(_id(1), "two", version)
            assert await _text(driver, _id(1)) == "two"

        self._run(scenario)

    def test_one_creator(self) -> None:
        """Of many that create a record at once, one does, and its text is what is there."""

        async def scenario(driver: Driver) -> None:
            outcomes = await asyncio.gather(
                *(driver.write(_id(1), str(number), None) for number in range(20)), return_exceptions=True
            )
            winners = [str(number) for number, each in enumerate(outcomes) if not isinstance(each, BaseException)]
            assert all(isinstance(each, ConflictError) for each in outcomes if isinstance(each, BaseException))
            assert len(winners) == (1 if self.versions else 20)
            assert await _text(driver, _id(1)) in winners

        self._run(scenario)

    def test_nothing_lost_at_once(self) -> None:
        """Many that count up one record at once, reading again after a conflict, miss no count."""

        async def scenario(driver: Driver) -> None:
            await driver.write(_id(1), "0", None)

            async def count() -> None:
                for _ in range(5):
                    while True:
                        record = await driver.read(_id(1))
                        assert record is not None
                        try:
                            await driver.write(_id(1), str(int(record.payload) + 1), record.version)
                            break
                        except ConflictError:
                            await asyncio.sleep(0)

            await asyncio.gather(*(count() for _ in range(8)))
            assert await _text(driver, _id(1)) == "40"

        if self.versions:
            self._run(scenario)

    # ---------------------------------------------------------------- time

    def test_expired_is_absent(self) -> None:
        """A record idle for longer than the lifetime is not read, a touch does not revive it, and it can be created."""

        async def scenario(driver: Driver) -> None:
            await driver.write(_id(1), "old", None)
            await self.age(driver, _id(1), 1500)
            assert await driver.read(_id(1)) is None
            await driver.touch(_id(1))
            assert await driver.read(_id(1)) is None
            await driver.write(_id(1), "new", None)
            assert await _text(driver, _id(1)) == "new"

        if self.expires:
            self._run(scenario, lifetime=1000)

    def test_expired_is_replaced(self) -> None:
        """The request that read a record replaces it although its time is over since, if it is still there."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(_id(1), "old", None)
            await self.age(driver, _id(1), 1500)
            if self.expired_is_gone:
                await self._conflicts(driver.write(_id(1), "mine", version))
                assert await driver.read(_id(1)) is None
                return
            version = await driver.write(_id(1), "mine", version)
            assert await _text(driver, _id(1)) == "mine"
            await driver.write(_id(1), "mine again", version)
            assert await _text(driver, _id(1)) == "mine again"

        if self.expires and self.versions:
            self._run(scenario, lifetime=1000)

    def test_expired_is_replaced_only_in_that_version(self) -> None:
        """Replacing an expired record that somebody has replaced, created or removed since is a conflict."""

        async def scenario(driver: Driver) -> None:
            versions = {number: await driver.write(_id(number), "old", None) for number in range(1, 5)}
            await driver.write(_id(1), "theirs", versions[1])
            for number in versions:
                await self.age(driver, _id(number), 1500)
            await driver.write(_id(2), "theirs", None)
            await driver.destroy(_id(3), versions[3])
            for number in (1, 2, 3):
                await self._conflicts(driver.write(_id(number), "mine", versions[number]))
            await driver.gc(1000)
            await self._conflicts(driver.write(_id(4), "mine", versions[4]))
            found = [await _text(driver, _id(number)) for number in versions]
            assert found == [None, "theirs", None, None]

        if self.expires and self.versions:
            self._run(scenario, lifetime=1000)

    def test_expired_is_destroyed_only_in_that_version(self) -> None:
        """Destroying a version that is no longer there is a conflict also if what is there has expired."""

        async def scenario(driver: Driver) -> None:
            old = await driver.write(_id(1), "old", None)
            new = await driver.write(_id(1), "new", old)
            await self.age(driver, _id(1), 1500)
            await self._conflicts(driver.destroy(_id(1), old))
            await driver.write(_id(1), "newer", new)
            assert await _text(driver, _id(1)) == "newer"

        if self.expires and self.versions and not self.expired_is_gone:
            self._run(scenario, lifetime=1000)

    def test_use_renews(self) -> None:
        """A record that is touched or written in time lives on; both count from now."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(_id(1), "one", None)
            await self.age(driver, _id(1), 900)
            await driver.touch(_id(1))
            await self.age(driver, _id(1), 900)
            assert await _text(driver, _id(1)) == "one"
            await driver.write(_id(1), "two", version)
            await self.age(driver, _id(1), 900)
            assert await _text(driver, _id(1)) == "two"

        if self.expires:
            self._run(scenario, lifetime=1500)

    def test_gc(self) -> None:
        """Gc removes what has been idle for longer than it is told, tells how many, and leaves the rest."""

        async def scenario(driver: Driver) -> None:
            assert await driver.gc(1000) == 0
            for number in (1, 2):
                await driver.write(_id(number), "old", None)
            for number in (1, 2):
                await self.age(driver, _id(number), 1500)
            await driver.write(_id(3), "young", None)
            removed = await driver.gc(1000)
            assert removed in (0, 2)  # none: the store expires records by itself
            assert await driver.gc(1000) == 0
            assert await driver.read(_id(1)) is None and await driver.read(_id(2)) is None
            assert await _text(driver, _id(3)) == "young"

        if self.expires:
            self._run(scenario, lifetime=1000)

    # ---------------------------------------------------------------- listing

    def test_scan(self) -> None:
        """A listing has every record that is there, whatever its text, once, and none that is not."""

        async def scenario(driver: Driver) -> None:
            if not self.lists:
                await self._cannot_list(driver)
                return
            assert [entry async for entry in driver.scan()] == []
            texts = {_id(number): f'{{"number":{number}}}' for number in range(250)}
            texts |= {_id(250): TEXT, _id(251): "not JSON", _id(252): '"\\ud800"'}
            await asyncio.gather(*(driver.write(id, text, None) for id, text in texts.items()))
            await driver.destroy(_id(0))
            entries = [entry async for entry in driver.scan()]
            assert sorted((entry.id, entry.payload) for entry in entries) == sorted(texts.items())[1:]

        self._run(scenario)

    def test_scan_tells_the_last_activity(self) -> None:
        """A listing tells in milliseconds since 1970 when a record was used last, and leaves out expired ones."""

        async def scenario(driver: Driver) -> None:
            for number in (1, 2):
                await driver.write(_id(number), "old", None)
            await self.age(driver, _id(1), 2500)
            await self.age(driver, _id(2), 700)
            await driver.write(_id(3), "young", None)
            found = {entry.id: entry.last_activity async for entry in driver.scan()}
            assert sorted(found) == [_id(2), _id(3)]
            assert found[_id(3)] - found[_id(2)] >= 650
            assert abs(found[_id(3)] - time.time() * 1000) < 10 * 60_000  # the store's clock may be another

        if self.expires and self.lists:
            self._run(scenario, lifetime=2400)

    # ---------------------------------------------------------------- the rest

    def test_set_aside(self) -> None:
        """A record that is set aside harms no other, and its id can be destroyed."""

        async def scenario(driver: Driver) -> None:
            version = await driver.write(_id(1), "damaged", None)
            await driver.write(_id(2), "whole", None)
            await driver.set_aside(_id(1), version)
            await driver.set_aside(_id(3), None)
            await driver.destroy(_id(1))
            assert await driver.read(_id(1)) is None
            assert await _text(driver, _id(2)) == "whole"

        self._run(scenario)

    def test_close_twice(self) -> None:
        """A driver may be closed twice, and one that was never used as well."""

        async def scenario(driver: Driver) -> None:
            await driver.close()
            await driver.close()

        self._run(scenario)

    # ---------------------------------------------------------------- plumbing

    def _run(self, scenario: Callable[[Driver], Awaitable[None]], lifetime: float = _LIFETIME) -> None:
        async def main() -> None:
            made = self.make_driver(lifetime)
            if inspect.isawaitable(made):
                made = await made
            driver = made if isinstance(made, Driver) else PlainDriver(made)
            try:
                await scenario(driver)
            finally:
                await driver.close()

        asyncio.run(main())

    async def _cannot_list(self, driver: Driver) -> None:
        try:
            async for _ in driver.scan():
                break
        except NotImplementedError as error:
            assert "cannot list" in str(error)
        else:
            raise AssertionError("a driver that cannot list its records raises NotImplementedError")

    async def _conflicts(self, operation: Awaitable[object]) -> None:
        """With versions the operation is a `ConflictError`; without, it succeeds."""
        try:
            await operation
        except ConflictError:
            assert self.versions, "a driver without versions cannot know of a conflict"
        else:
            assert not self.versions, "this is a ConflictError: somebody else was first"


def _id(number: int) -> str:
    return f"{number:040d}"


async def _text(driver: Driver, id: str) -> str | None:
    record = await driver.read(id)
    return None if record is None else record.payload
