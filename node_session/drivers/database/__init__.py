"""The database driver: ``driver: "database"``, and which database by ``connection: {"adapter": …}``.

An adapter is a module of this folder; its client library is imported only where it is used. All keep the original's
table: `id`, `payload`, `lastActivity` (see `sql`).
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import ConfigError
from ..base import Driver
from .connection import Connection

if TYPE_CHECKING:
    from ...config import Config


class Adapter(NamedTuple):
    """Where an adapter is, and what it needs.

    Attributes:
        module: In this package, relative to here; it has a function ``create(config, connection) -> Driver``, and
            where a table must be made by hand ``ddl(config) -> str``.
        client: The module it imports.
        extra: What to install for that: ``pip install "node-session[extra]"``; None where it comes along.
    """

    module: str
    client: str
    extra: str | None


_SQLITE = Adapter(".sqlite", "aiosqlite", None)
_MONGO = Adapter(".mongo", "motor", None)
_POSTGRESQL = Adapter(".postgresql", "asyncpg", "postgresql")
_MYSQL = Adapter(".mysql", "asyncmy", "mysql")
_REDIS = Adapter("..redis", "redis", "redis")

ADAPTERS: dict[str, Adapter] = {
    "sqlite": _SQLITE,
    "sails-disk": _SQLITE,
    "sails-memory": _SQLITE,
    "mongodb": _MONGO,
    "sails-mongo": _MONGO,
    "postgresql": _POSTGRESQL,
    "sails-postgresql": _POSTGRESQL,
    "mysql": _MYSQL,
    "sails-mysql": _MYSQL,
    "redis": _REDIS,
    "sails-redis": _REDIS,
}


def problems(connection: Mapping[str, Any] | bool, table: str, *, default: str = "sqlite") -> list[str]:
    """What is wrong with the options of a database, each as a sentence; none of them quotes a password."""
    options = connection if isinstance(connection, Mapping) else {}
    name = options.get("adapter", default)
    if not isinstance(name, str) or name not in ADAPTERS:
        return [f"connection: adapter {name!r} is not known; choose one of {', '.join(map(repr, ADAPTERS))}"]
    adapter = ADAPTERS[name]
    found = []
    if importlib.util.find_spec(adapter.client) is None:
        found.append(f'adapter {name!r} needs {adapter.client}: pip install "node-session[{adapter.extra}]"')
    found += Connection.from_options(options, name)[1]
    found = ["connection: " + problem for problem in found]
    if re.fullmatch(r"[A-Za-z_][\w$-]*(\.[A-Za-z_][\w$-]*)?", table, re.ASCII) is None:
        found.append(f"table: must be a name of letters, digits, '_', '$' and '-', not {table!r}")
    return found


def create(config: Config, *, default: str = "sqlite") -> Driver:
    """Make the driver that `config.connection` describes; see `problems`, which was asked before."""
    module, connection = _chosen(config, default)
    driver: Driver = module.create(config, connection)
    return driver


def ddl(config: Config) -> str | None:
    """The SQL that makes the config's table; None for a database that needs none."""
    module, _ = _chosen(config, "sqlite")
    return module.ddl(config) if hasattr(module, "ddl") else None


def _chosen(config: Config, default: str) -> tuple[Any, Connection]:
    options = config.connection or {}
    name = options.get("adapter", default)
    connection, _ = Connection.from_options(options, name)
    if connection is None:
        raise ConfigError("connection: " + "; ".join(Connection.from_options(options, name)[1]))
    return importlib.import_module(ADAPTERS[name].module, __name__), connection
