"""The databases: ``driver: "database"`` and ``connection: {"adapter": …}``.

An adapter is a module of this folder. Its client library is imported only if the adapter is chosen. All keep the
original's table: `id`, `payload`, `lastActivity` (see `sql`).

The format of a program (`Options.format`) is also a layout of its store. An adapter has a module for each one that
it knows, and the module's `create` makes the driver. The contract of drivers stays: the payload is a text, which
`Driver.read` gives back, and the record expires `lifetime` after its last activity. Only the table's name, its columns
and the spelling of the time differ. (SQLite keeps express-session's records in our own table, which Express does not
read.)
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import ConfigError
from .base import Driver
from .connection import Connection
from .options import Options


class Adapter(NamedTuple):
    """The modules of an adapter, and their requirements.

    Attributes:
        modules: By the name of the format in whose layout they keep records; relative to this package. Each has a
            function ``create(options, connection) -> Driver``, and ``ddl(options) -> str`` if its table must be made
            by hand.
        client: The module they import.
        extra: To install that: ``pip install "node-session[extra]"``; None if every installation has it.
        schemes: Of its URLs.
        own_client: What they import only if the program gives no client of its own.
    """

    modules: Mapping[str, str]
    client: str
    extra: str | None
    schemes: tuple[str, ...]
    own_client: str | None = None


def _modules(ours: str, express: str) -> dict[str, str]:
    return {"node-session": ours, "express-session": express}


_SQLITE = Adapter(_modules(".sqlite", ".sqlite"), "aiosqlite", None, ())
_MONGO = Adapter(_modules(".mongo", ".express_mongo"), "motor", None, ("mongodb", "mongodb+srv"), "motor.motor_asyncio")
_POSTGRESQL = Adapter(
    _modules(".postgresql", ".express_postgresql"), "asyncpg", "postgresql", ("postgresql", "postgres")
)
_MYSQL = Adapter({"node-session": ".mysql"}, "asyncmy", "mysql", ("mysql", "mariadb"))
_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
_REDIS = Adapter(_modules(".redis", ".redis"), "redis", "redis", _REDIS_SCHEMES)

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

# What else people call them, if it is not close to one of the names above.
_OTHER_NAMES = {
    "pg": "postgresql",
    "psql": "postgresql",
    "connectpgsimple": "postgresql",
    "connectmongo": "mongodb",
    "connectredis": "redis",
    "mariadb": "mysql",
    "valkey": "redis",
    "disk": "sqlite",
    "memory": "sqlite",
}


def nearest(name: object) -> str | None:
    """Guess which adapter an unknown name means; None if it is like none of them."""
    if not isinstance(name, str):
        return None
    name = re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("sails")
    plain = [each for each in ADAPTERS if not each.startswith("sails-")]
    near = difflib.get_close_matches(name, plain, n=1)
    return _OTHER_NAMES.get(name) or (near[0] if near else None)


def problems(given: Options, *, default: str = "sqlite") -> list[str]:
    """List the problems of the options of a database, without any password."""
    options, table = given.connection or {}, given.table
    name = options.get("adapter", default)
    if not isinstance(name, str) or name not in ADAPTERS:
        meant = nearest(name)
        advice = f"did you mean {meant!r}?" if meant else f"choose one of {', '.join(map(repr, ADAPTERS))}"
        return [f"connection: adapter {name!r} is not known; {advice}"]
    adapter = ADAPTERS[name]
    found = []
    if default == "redis" and adapter is not _REDIS:
        found.append(f"adapter {name!r} is not for driver 'redis'; set driver to 'database', or leave out the adapter")
    if importlib.util.find_spec(adapter.client) is None:
        found.append(f'adapter {name!r} needs {adapter.client}: pip install "node-session[{adapter.extra}]"')
    wanted, wrong = Connection.from_options(options, name)
    found += wrong if wanted is None else _misfits(wanted, adapter)
    if given.format not in adapter.modules:
        others = [each for each, other in ADAPTERS.items() if given.format in other.modules and "-" not in each]
        found.append(
            f"adapter {name!r} does not keep the format {given.format!r}; choose {' or '.join(map(repr, others))}"
        )
    found = ["connection: " + problem for problem in found]
    if re.fullmatch(r"[A-Za-z_][\w$-]*(\.[A-Za-z_][\w$-]*)?", table, re.ASCII) is None:
        found.append(f"table: must be a name of letters, digits, '_', '$' and '-', not {table!r}")
    return found


def _misfits(connection: Connection, adapter: Adapter) -> Iterator[str]:
    """Find options that are valid, but not for this adapter."""
    if connection.client is not None and adapter is not _MONGO:
        yield "client: only MongoDB takes a client of the program's own"
    if connection.url is not None:
        url = urlsplit(connection.url)
        if not adapter.schemes:
            meant = next((each for each, other in ADAPTERS.items() if url.scheme in other.schemes), None)
            cure = "set database to the path of its file" if meant is None else f"set adapter to {meant!r}"
            yield f"url: SQLite takes none; {cure}"
        elif url.scheme not in adapter.schemes:
            known = " or ".join(map(repr, adapter.schemes))
            yield f"url: begins with {known} for {connection.adapter}, not with {url.scheme!r}"
        elif adapter is _MYSQL and url.query:
            yield "url: takes no options after '?' for MySQL; for TLS set ssl to true"
        elif adapter is _REDIS and url.scheme != "unix":
            path = url.path.strip("/")
            database = path.partition("/")[2] if "sentinel" in url.scheme else path
            if database and not database.isdecimal():
                yield f"url: the database of Redis is a number, such as redis://host:6379/0, not {database!r}"
            if connection.ssl and not url.scheme.startswith("rediss"):
                yield "url: of Redis begins with 'rediss' for TLS"
    if adapter is _REDIS and connection.database is not None and not connection.database.isdecimal():
        yield f"database: must be a number for Redis, not {connection.database!r}"
    if adapter is _MONGO and connection.client is not None:
        import pymongo  # here, since it takes longer to import than all of this package

        if isinstance(connection.client, pymongo.MongoClient):
            yield "client: must be asynchronous, motor's AsyncIOMotorClient or PyMongo's AsyncMongoClient"


def create(options: Options, *, default: str = "sqlite") -> Driver:
    """Make the driver of `options.connection`, in which `problems` has found none."""
    module, connection = _chosen(options, default)
    driver: Driver = module.create(options, connection)
    return driver


def load(given: Options, *, default: str = "sqlite") -> None:
    """Import an adapter and its client library, which takes up to a tenth of a second."""
    options = given.connection or {}
    adapter = ADAPTERS[options.get("adapter", default)]
    importlib.import_module(adapter.modules[given.format], __package__)
    if adapter.own_client is not None and options.get("client") is None:
        importlib.import_module(adapter.own_client)


def ddl(options: Options) -> str | None:
    """Write the SQL that makes the table; None for a database that needs none."""
    module, _ = _chosen(options, "sqlite")
    return module.ddl(options) if hasattr(module, "ddl") else None


def _chosen(options: Options, default: str) -> tuple[Any, Connection]:
    given = options.connection or {}
    name = given.get("adapter", default)
    connection, wrong = Connection.from_options(given, name)
    if connection is None:
        raise ConfigError("connection: " + "; ".join(wrong))
    return importlib.import_module(ADAPTERS[name].modules[options.format], __package__), connection
