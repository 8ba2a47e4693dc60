"""The records of the store that a config file describes, opened for the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from .. import drivers, encryption, ids, serializer
from ..config import Config
from ..drivers import Driver, Entry, FileDriver
from ..drivers.hashed import HashedDriver
from ..errors import ConfigError, ConfigWarning, DamagedError, MismatchError, SessionError, UnreadableError
from ..store import SECOND_LOOKS
from .outcome import plural, printable

# Milliseconds: a record that another program may be writing is older than this before it is believed to be damaged. The
# waiting is for all of them together, as all grow older meanwhile.
_PATIENCE = 1000 * sum(SECOND_LOOKS)


class NotFoundError(SessionError):
    """No session has such an id."""


class Records:
    """An open store.

    Attributes:
        config: What it was opened with.
        driver: Takes ids as sessions have them.
        kept: Takes ids as records are kept under; another one only with `hashIds`.
    """

    def __init__(self, config: Config, driver: Driver) -> None:
        self.config = config
        self.driver = driver
        self.kept = driver.driver if isinstance(driver, HashedDriver) else driver
        self.encrypter = encryption.choose(config.encrypt, config.secret)
        self._looked_at = 0
        self._mismatches: Counter[tuple[str, str]] = Counter()

    @property
    def is_hashed(self) -> bool:
        """Whether the ids of records are hashes, from which no way leads to those of sessions."""
        return self.kept is not self.driver

    @property
    def is_sealed(self) -> bool:
        """Whether no text can be read: encryption is bound to the session's id, and only a hash of that is here."""
        return self.is_hashed and self.encrypter is not None

    async def scan(self) -> AsyncIterator[Entry]:
        """Every record, under the id of `kept`. That may be no id, where others write into the store: see `is_id`."""
        async for entry in self.kept.scan():
            yield entry if isinstance(entry.id, str) else entry._replace(id=repr(entry.id))

    async def text(self, entry: Entry) -> str:
        """The JSON text of a session.

        Raises:
            DamagedError: It cannot be read or decrypted, or is no session.
            MismatchError: This config is not the one it was written with. `open_records` tells of these, all in one.
        """
        if self.is_sealed:
            raise DamagedError("with hashIds, an encrypted record can be read with its session's cookie only")
        self._looked_at += 1
        try:
            try:
                return self.reveal(entry.payload, entry.id)
            except DamagedError:
                return await self._look_again(entry)
        except MismatchError as error:
            self._mismatches[str(error), error.cure] += 1
            raise

    async def _look_again(self, entry: Entry) -> str:
        """A listing is a moment older than the store: a record may have been half written, or replaced meanwhile."""
        idle = time.time() * 1000 - entry.last_activity
        if self.kept.half_written_for and abs(idle) < _PATIENCE:
            await asyncio.sleep((_PATIENCE - idle) / 1000)
        try:
            record = await self.kept.read(entry.id)
        except UnreadableError as error:  # one record, while the others can be
            raise DamagedError(str(error)) from error
        return self.reveal(entry.payload if record is None else record.payload, entry.id)

    def warn_of_mismatches(self) -> None:
        """Tell of the records that the config does not fit, in one line and not in one for each."""
        for (problem, cure), count in self._mismatches.items():
            warn(f"{count} of {plural(self._looked_at, 'record')} cannot be read ({problem}); {cure}")

    def conceal(self, text: str, id: str) -> str:
        """The payload to store for a session's JSON text."""
        return text if self.encrypter is None else self.encrypter.encrypt(text, id)

    def reveal(self, payload: str, id: str) -> str:
        """The JSON text in a payload; see `text`."""
        if self.encrypter is None:
            encryption.refuse_encrypted(payload)
        text = payload if self.encrypter is None else self.encrypter.decrypt(payload, id)
        serializer.loads(text)
        return storable(text)


def storable(text: str) -> str:
    """A JSON text in UTF-8's reach: halves of surrogate pairs, which a database's JSON may hold, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def short(id: str) -> str:
    """The beginning of an id, for a person."""
    return printable(ids.shorten(id), kept="")


def is_id(entry: Entry) -> bool:
    """Whether a record can be a session's; if not, a person is told that it is passed over."""
    if ids.is_valid(entry.id):
        return True
    warn(f"the record {short(entry.id)} is passed over: its id is none of a session")
    return False


def read_config(path: str) -> tuple[Config, list[str]]:
    """The config in a file, and what its author is to be warned of.

    Raises:
        ConfigError: There is no such file, it is not JSON, or no config.
    """
    options = read_json(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            config = Config.from_dict(options)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return config, [str(each.message) for each in caught if issubclass(each.category, ConfigWarning)]


def read_json(path: str) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deep to be a config") from None
    except ValueError as error:
        # The error tells the place; the text around it may be the secret's.
        raise ConfigError(f"{path}: is not JSON: {error}") from None


@contextlib.asynccontextmanager
async def open_records(path: str) -> AsyncIterator[Records]:
    """Open the store of a config file, and close it in the end."""
    config, _ = read_config(path)
    if config.driver == "memory":
        raise ConfigError(f"{path}: the memory driver keeps sessions inside the program that uses it, out of our reach")
    driver = await open_driver(config)
    records = Records(config, driver)
    try:
        yield records
    finally:
        await driver.close()
        records.warn_of_mismatches()


async def open_driver(config: Config) -> Driver:
    """The driver of a config. Root may look after a folder of sessions that belongs to a program's own user."""
    driver = await drivers.create(config)
    kept = driver.driver if isinstance(driver, HashedDriver) else driver
    if isinstance(kept, FileDriver):
        kept.any_owner = os.geteuid() == 0
    return driver


async def find(records: Records, start: str) -> tuple[Driver, str]:
    """The one record whose id is `start`, or begins so: its id, and the driver that knows it by this id.

    Raises:
        NotFoundError: There is none, or more than one.
    """
    if ids.is_valid(start):
        for driver in (records.driver, records.kept):
            with contextlib.suppress(DamagedError):
                if await driver.read(start) is None:
                    continue
            return driver, start
        raise NotFoundError(f"there is no session {ids.shorten(start)}")
    found = [entry.id async for entry in records.scan() if entry.id.startswith(start)]
    if len(found) != 1:
        start = ids.shorten(start)
        if not found:
            raise NotFoundError(f"there is no session whose id begins with {start!r}; ls lists them")
        raise NotFoundError(f"the ids of {len(found)} sessions begin with {start!r}; give more of it")
    return records.kept, found[0]


def warn(message: str) -> None:
    """Tell a person something while a command is at work."""
    print(f"warning: {printable(message)}", file=sys.stderr)
