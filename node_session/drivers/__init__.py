"""The drivers by name: those that come with the package and those a program registers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..errors import UnavailableError
from . import databases
from .base import FAILURES, Driver, Entry, PlainDriver, Record, reason, settle
from .file import FileDriver, folder_problem
from .hashed import HashedDriver
from .memory import MemoryDriver

if TYPE_CHECKING:
    from ..config import Config

__all__ = [
    "Creator",
    "Driver",
    "Entry",
    "FileDriver",
    "MemoryDriver",
    "PlainDriver",
    "Record",
    "create",
    "names",
    "register",
]

Creator = Callable[["Config"], "Driver | Awaitable[Driver] | Any"]


def _memory(config: Config) -> Driver:
    return MemoryDriver(config.lifetime)


def _file(config: Config) -> Driver:
    return FileDriver(config.files, config.lifetime, durable=config.durable)


def _database(config: Config) -> Driver:
    return databases.create(config)


def _redis(config: Config) -> Driver:
    return databases.create(config, default="redis")


_creators: dict[str, Creator] = {
    "memory": _memory,
    "file": _file,
    "native": _file,
    "database": _database,
    "redis": _redis,
}


def names() -> list[str]:
    """The driver names that a config may use."""
    return sorted(_creators)


def nearest(name: object) -> str | None:
    """What is probably meant by a driver name that is none, quoted: another one, or the driver of a database."""
    if not isinstance(name, str):
        return None
    spelling = {each.lower(): each for each in names()}
    near = difflib.get_close_matches(name.lower(), spelling, n=1, cutoff=0.75)
    if near:
        return repr(spelling[near[0]])
    adapter = databases.nearest(name)
    if adapter is None:
        return None
    return "'redis'" if adapter == "redis" else f"'database', with connection: {{'adapter': {adapter!r}}}"


def register(name: str, creator: Creator) -> None:
    """See `NodeSession.register_handler`."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"a driver's name is a non-empty string, not {name!r}")
    if not callable(creator):
        raise TypeError(f"the creator of driver {name!r} must be a function of the config, not {creator!r}")
    _creators[name] = creator


def problems(config: Config) -> list[str]:
    """What is wrong with the options of the driver that `config.driver` names."""
    creator = _creators[config.driver]
    if creator in (_database, _redis):
        default = "redis" if creator is _redis else "sqlite"
        return databases.problems(config.connection, config.table, default=default)
    if creator is _file:
        # Whose the folder has to be is known when it is used: root may go on as another user.
        problem = folder_problem(str(config.files), any_owner=os.geteuid() == 0)
        return [] if problem is None else [f"files: {str(config.files)!r}: {problem}"]
    return []


async def create(config: Config) -> Driver:
    """Make the driver that `config.driver` names; one that is not a `Driver` is adapted.

    Raises:
        UnavailableError: Its creator failed with an OSError or TimeoutError, as one that connects may do.
    """
    try:
        driver = await settle(_creators[config.driver](config))
    except FAILURES as error:
        raise UnavailableError(f"driver {config.driver!r} cannot be made: {reason(error)}") from error
    if not isinstance(driver, Driver):
        driver = PlainDriver(driver)
    return HashedDriver(driver) if config.hash_ids else driver
