"""The database driver: ``driver: "database"``, and which database by ``connection: {"adapter": …}``.

An adapter is a module of this folder; its client library is imported only where it is used. All keep the original's
table: `id`, `payload`, `lastActivity` (see `base`).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base import Driver

if TYPE_CHECKING:
    from ...config import Config


class Adapter(NamedTuple):
    """Where an adapter is, and what it needs.

    Attributes:
        module: In this package, relative to here; it has a function ``create(config) -> Driver`` and a function
            ``problems(connection) -> list[str]``.
        client: The module it imports.
        extra: What to install for that: ``pip install "node-session[extra]"``; None where it comes along.
    """

    module: str
    client: str
    extra: str | None


_SQLITE = Adapter(".sqlite", "aiosqlite", None)
_MONGO = Adapter(".mongo", "pymongo", None)
_POSTGRESQL = Adapter(".postgresql", "asyncpg", "postgresql")
_MYSQL = Adapter(".mysql", "asyncmy", "mysql")
_REDIS = Adapter("..redis", "coredis", "redis")

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


def problems(connection: Mapping[str, Any] | bool, *, default: str = "sqlite") -> list[str]:
    """What is wrong with a `connection` option, each as a sentence; none of them quotes a password."""
    options = connection if isinstance(connection, Mapping) else {}
    name = options.get("adapter", default)
    if name not in ADAPTERS:
        return [f"adapter {name!r} is not known; choose one of {', '.join(map(repr, ADAPTERS))}"]
    adapter = ADAPTERS[name]
    if importlib.util.find_spec(adapter.client) is None:
        return [f'adapter {name!r} needs {adapter.client}: pip install "node-session[{adapter.extra}]"']
    found: list[str] = _load(adapter).problems(options)
    return found


def create(config: Config, *, default: str = "sqlite") -> Driver:
    """Make the driver that `config.connection` describes; see `problems`, which was asked before."""
    options = config.connection or {}
    driver: Driver = _load(ADAPTERS[options.get("adapter", default)]).create(config)
    return driver


def ddl(config: Config) -> str | None:
    """The SQL that creates the table and its index; None where the adapter needs no table, or makes it by itself."""
    options = config.connection or {}
    module = _load(ADAPTERS[options.get("adapter", "sqlite")])
    return str(module.ddl(config)) if hasattr(module, "ddl") else None


def _load(adapter: Adapter) -> Any:
    return importlib.import_module(adapter.module, __name__)
