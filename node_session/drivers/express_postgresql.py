"""PostgreSQL with the table of connect-pg-simple, which Express programs keep their sessions in.

The table is `session (sid varchar, sess json, expire timestamp(6))`. It has the time at which a record expires, and not
that of its last activity: the one is the other plus the lifetime. A record that expires earlier or later than others
has been idle for longer or shorter.

- The text of a record is stored as it is. A column of type json keeps it byte for byte, so it is the version as well.
- As connect-pg-simple does, we write and compare times as `to_timestamp(…)`. The column has no time zone: PostgreSQL
  keeps the local time of the connection's setting TimeZone. Neither program sets it, so that both have that of the
  server, the database or the role. If Node's connections have another one, a URL gives it to ours as well:
  `postgres://…?timezone=UTC`.
- For connect-pg-simple a record is over up to a second before its time: it counts whole seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from ..errors import DamagedError
from .connection import Connection
from .layout import Layout
from .options import Options
from .postgresql import PostgresqlDriver
from .server import UnfitTableError
from .table_facts import POSTGRESQL, POSTGRESQL_COLUMNS
from .turn import Turn

_DAY = 24 * 60 * 60 * 1000
_FOR_EVER = 100 * 365 * _DAY
_LATEST = 250_000_000_000_000  # ms since 1970, before the year 10,000; "infinity" is a time for PostgreSQL

# The types that a column may have, and the one that it gets by the cure.
_TYPES = {
    "sess": (("json", "text", "character varying"), "json"),
    "expire": (("timestamp without time zone", "timestamp with time zone"), "timestamp(6)"),
}


def create(options: Options, connection: Connection) -> ExpressPostgresqlDriver:
    """Make the driver; see `node_session.drivers.databases`."""
    return ExpressPostgresqlDriver(connection, options.table, options.lifetime)


def ddl(options: Options) -> str:
    """Write the statements that make the table and its index, unless they are there."""
    return ExpressPostgresqlDriver(Connection(adapter="postgresql"), options.table, options.lifetime).ddl()


class ExpressPostgresqlDriver(PostgresqlDriver):
    """A driver that keeps records in connect-pg-simple's table.

    Args:
        connection: Where.
        table: Its `tableName`; with a `schemaName`: the two with a dot between them.
        lifetime: Milliseconds a record may be idle, its `ttl`; 0: for ever, or until Express renews it.
        clock: Gives seconds since 1970.
    """

    as_found = "{}::timestamp + interval '0' BETWEEN $2 AND $3"
    earliest = datetime.min  # "-infinity" for PostgreSQL

    def __init__(
        self,
        connection: Connection,
        table: str = "session",
        lifetime: float = _DAY,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        lifetime = min(math.ceil(lifetime), _FOR_EVER) or _FOR_EVER
        self.layout = _layout(lifetime)
        super().__init__(connection, table, lifetime, clock=clock)
        self.about_table = (POSTGRESQL.format(id=self.layout.id, columns=POSTGRESQL_COLUMNS), self.table)

    def ddl(self) -> str:
        """See `ServerDriver.ddl`; the table, its key and its index are those of connect-pg-simple's table.sql."""
        index = "IDX_" + self._name.rpartition(".")[2] + "_expire"
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} (\n"
            '    sid varchar COLLATE "default" PRIMARY KEY,\n'
            "    sess json NOT NULL,\n    expire timestamp(6) NOT NULL\n);\n"
            f'CREATE INDEX IF NOT EXISTS "{index}" ON {self.table} (expire);\n'
        )

    # A table of unknown columns is not even read: the record would be another text, or the error not say what is wrong.

    async def _send_reads(self, turn: Turn) -> None:
        await self._examine(turn)
        await super()._send_reads(turn)

    async def _send_touches(self, turn: Turn) -> None:
        await self._examine(turn)
        await super()._send_touches(turn)

    async def _send_confirmations(self, turn: Turn) -> None:
        await self._examine(turn)
        await super()._send_confirmations(turn)

    def _check_columns(self, *columns: Any) -> None:
        for found in columns:
            types = {name: (type, category) for name, type, category in found}
            for name in ("sid", "sess", "expire"):
                if name not in types:
                    flaw = f"has no column {name}, so it is not one of connect-pg-simple"
                    raise UnfitTableError(flaw, "give the option table the name of the right one")
            type, category = types["sid"]
            if category != "S":
                raise self._unfit("sid", type, "varchar")
            for name, (known, best) in _TYPES.items():
                type, _ = types[name]
                if type not in known:
                    raise self._unfit(name, type, best)

    def _unfit(self, name: str, type: str, best: str) -> UnfitTableError:
        why = ", which does not keep a record's text as it is" if type == "jsonb" else ""
        return UnfitTableError(
            f"has a column {name} of type {type}, not {best}{why}",
            f"ALTER TABLE {self.table} ALTER COLUMN {name} TYPE {best} USING {name}::{best}",
        )

    def _cure(self, error: Exception) -> str:
        too_long = isinstance(error, asyncpg.StringDataRightTruncationError)
        return "make the columns sid and sess as long as connect-pg-simple does: varchar and json" if too_long else ""


def _layout(lifetime: int) -> Layout:
    """Describe the table for records of this lifetime, in milliseconds."""
    return Layout(
        id="sid",
        payload="sess",
        last="expire",
        text="sess::text",
        stored="{}::json".format,
        activity=f"LEAST(extract(epoch FROM {{}}::timestamptz) * 1000 - {lifetime}, {_LATEST})::float8".format,
        time=f"to_timestamp(({{}}::float8 + {lifetime}) / 1000)".format,
        exact="{}::timestamp".format,
        encode=str,
        decode=_decode,
    )


def _decode(stored: object) -> str:
    if not isinstance(stored, str):
        raise DamagedError("the column sess is NULL")
    return stored
