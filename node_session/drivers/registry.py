"""The drivers by name: those of this package and those that a program registers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import UnavailableError
from . import databases, file_layout, posix
from .base import Driver
from .file import FileDriver
from .file_folder import folder_problem
from .hashed import HashedDriver
from .memory import MemoryDriver
from .options import Options
from .plain import FAILURES, PlainDriver, reason, settle

# A creator gets the program's `Config`. Any, since one of a program may ask for a `Config`, and ours for `Options`.
Creator = Callable[[Any], "Driver | Awaitable[Driver] | Any"]


def _memory(options: Options) -> Driver:
    return MemoryDriver(options.lifetime)


def _file(options: Options) -> Driver:
    layout = file_layout.choose(options.format, other_ids=options.other_ids)
    return FileDriver(options.files, options.lifetime, durable=options.durable, layout=layout)


def _database(options: Options) -> Driver:
    return databases.create(options)


def _redis(options: Options) -> Driver:
    return databases.create(options, default="redis")


_creators: dict[str, Creator] = {
    "memory": _memory,
    "file": _file,
    "native": _file,
    "database": _database,
    "redis": _redis,
}


def names() -> list[str]:
    """List the driver names that a config may use."""
    return sorted(_creators)


def nearest(name: object) -> str | None:
    """Guess which driver is meant by an unknown name.

    Returns:
        Its name in quotes, or what to write for the driver of a database; None if the name is like no other.
    """
    if not isinstance(name, str):
        return None
    spelling = {**{each.lower(): each for each in names()}, "session-file-store": "file"}
    near = difflib.get_close_matches(name.lower(), spelling, n=1, cutoff=0.75)
    if near:
        return repr(spelling[near[0]])
    adapter = databases.nearest(name)
    if adapter is None:
        return None
    return "'redis'" if adapter == "redis" else f"'database', with connection: {{'adapter': {adapter!r}}}"


def register(name: str, creator: Creator) -> None:
    """Make a driver known by name; see `NodeSession.register_handler`."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"a driver's name is a non-empty string, not {name!r}")
    if not callable(creator):
        raise TypeError(f"the creator of driver {name!r} must be a function of the config, not {creator!r}")
    _creators[name] = creator


def problems(options: Options) -> list[str]:
    """Find the errors in the options of the chosen driver."""
    creator = _creators[options.driver]
    if creator in (_database, _redis):
        default = "redis" if creator is _redis else "sqlite"
        return databases.problems(options, default=default)
    if creator is _file:
        lack = posix.missing()
        if lack is not None:
            return [f"driver: {options.driver!r}{' (the default)' * (options.driver == 'file')} {lack}"]
        # The right owner of the folder is known when the folder is used: root may go on as another user.
        problem = folder_problem(str(options.files), any_owner=os.geteuid() == 0)
        return [] if problem is None else [f"files: {str(options.files)!r}: {problem}"]
    return []


def load(options: Options) -> None:
    """Import what the chosen driver needs, so that no request has to wait for it."""
    creator = _creators[options.driver]
    if creator in (_database, _redis):
        databases.load(options, default="redis" if creator is _redis else "sqlite")


async def create(options: Options) -> Driver:
    """Make the driver that is chosen, and adapt it if it is not a `Driver`.

    Raises:
        UnavailableError: Its creator failed with an OSError or TimeoutError, as one that connects may do.
    """
    try:
        driver = await settle(_creators[options.driver](options))
    except FAILURES as error:
        raise UnavailableError(f"driver {options.driver!r} cannot be made: {reason(error)}") from error
    if not isinstance(driver, Driver):
        driver = PlainDriver(driver)
    return HashedDriver(driver) if options.hash_ids else driver
