"""The store that a config file describes, opened for the command line."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator

from .. import drivers, encryption, formats
from ..config import Config
from ..drivers import Driver, Entry, FileDriver, Record
from ..drivers.hashed import HashedDriver
from ..errors import ConfigError, DamagedError, MismatchError, UnreadableError, UnsupportedError
from ..formats import Format
from ..ids import Rule
from ..owners import Owners
from ..policy import Policy
from ..records import SECOND_LOOKS, Loaded, Records
from .config_file import read_config
from .spelling import plural, warn

# Milliseconds: a record that another program may be writing is believed to be damaged if it is older than this. So the
# waiting is for all of them together, as they all grow older meanwhile.
_PATIENCE = 1000 * sum(SECOND_LOOKS)


class OpenStore:
    """An open store.

    Args:
        config: Its config.
        driver: Keeps its records.

    Attributes:
        config: As given.
        records: Takes ids as sessions have them.
        kept: Takes ids under which records are kept. Another one only with `hashIds`, and then without encryption,
            which takes the session's own id.
    """

    def __init__(self, config: Config, driver: Driver) -> None:
        self.config = config
        policy, owners = Policy(lifetime=config.lifetime), Owners(config.secret)
        encrypter = encryption.choose(config.encrypt, config.secret)
        format = formats.make(config.format, config)
        self.records = Records(driver, policy, encrypter, owners=owners, format=format)
        self.kept = Records(driver.driver, policy) if isinstance(driver, HashedDriver) else self.records
        self._loaded = 0
        self._mismatches: Counter[tuple[str, str]] = Counter()

    @property
    def format(self) -> Format:
        """The form of its sessions."""
        return self.records.format

    @property
    def ids(self) -> Rule:
        """The form of the ids of `kept`."""
        return self.kept.ids

    @property
    def is_hashed(self) -> bool:
        """Whether records are kept under hashes of their sessions' ids."""
        return self.kept is not self.records

    @property
    def is_unreadable(self) -> bool:
        """Whether listed records cannot be decrypted, which takes the session's own id."""
        return self.is_hashed and self.records.encrypter is not None

    async def scan(self) -> AsyncIterator[Entry]:
        """List all records, by the ids of `kept`, which may be anything: see `is_session`."""
        async for entry in self.kept.driver.scan():
            yield entry if isinstance(entry.id, str) else entry._replace(id=repr(entry.id))

    async def load(self, entry: Entry) -> Loaded:
        """Parse a listed record.

        The listing may have caught it half written, so a record that looks damaged is read again.

        Raises:
            DamagedError: It is no session, or cannot be decrypted.
            MismatchError: This config is not the one with which it was written; see `warn_of_mismatches`.
        """
        if self.is_unreadable:
            raise unreadable()
        self._loaded += 1
        idle = time.time() * 1000 - entry.last_activity
        try:
            try:
                return await self.kept.parse(Record(entry.payload, None, idle), entry.id)
            except DamagedError:
                loaded = await self.kept.read(entry.id, SECOND_LOOKS if abs(idle) < _PATIENCE else ())
                if loaded is None:
                    raise
                return loaded
        except (UnreadableError, UnsupportedError) as error:  # one record, while the others can be read
            raise DamagedError(str(error)) from error
        except MismatchError as error:
            self._mismatches[str(error), error.cure] += 1
            raise

    def warn_of_mismatches(self) -> None:
        """Warn of the records that the config does not fit, in one line for all."""
        for (problem, cure), count in self._mismatches.items():
            warn(f"{count} of {plural(self._loaded, 'record')} cannot be read ({problem}); {cure}")


def unreadable() -> DamagedError:
    """Make the error for a record of a store that is unreadable."""
    return DamagedError("with hashIds, an encrypted record can be read with its session's cookie only")


@contextlib.asynccontextmanager
async def open_store(path: str) -> AsyncIterator[OpenStore]:
    """Open the store of a config file, and close it in the end."""
    config, _ = read_config(path)
    if config.driver == "memory":
        raise ConfigError(
            f"{path}: the memory driver keeps sessions inside the program that uses it, where no command can read them"
        )
    driver = await open_driver(config)
    store = OpenStore(config, driver)
    try:
        yield store
    finally:
        await driver.close()
        store.warn_of_mismatches()


async def open_driver(config: Config) -> Driver:
    """Make the driver of a config. Root may use the folder of another user."""
    driver = await drivers.create(config)
    kept = driver.driver if isinstance(driver, HashedDriver) else driver
    if isinstance(kept, FileDriver):
        kept.any_owner = os.geteuid() == 0
    return driver
