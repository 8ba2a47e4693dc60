"""SQL: the original's table, and the statements on it.

The table is `id`, `payload` (see `payload`) and `lastActivity`, a number of milliseconds since 1970, as the original
writes them; that of another program has another `Layout`. The clock is the program's, and not the database's, as in
the original.

The version of a record is its payload: ``UPDATE … WHERE id = ? AND payload = ?`` compares and swaps in one statement.
So the original's table needs no new column, no lock is held between requests, and a record that the original has
changed in between is a conflict like any other.
"""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from ..errors import ConflictError
from .base import Driver, Entry, Record, pieces
from .layout import ORIGINAL, Layout
from .payload import decode_leniently
from .removal import LOOK

_PAGE = 500  # records that scan asks for at a time, at most


class Dialect(NamedTuple):
    """The differences between SQL databases.

    Attributes:
        quote: The sign around names.
        placeholder: Of the n-th value, counted from 1.
        same: A condition that two texts are the same, byte by byte.
        is_id: A condition that a column has this id, and not one in another case; it may have either of them twice.
        is_among: A condition that a column has one of a list of ids, or is like one; None: the database takes no list
            as a value.
    """

    quote: str
    placeholder: Callable[[int], str]
    same: Callable[[str, str], str] = "{} = {}".format
    is_id: Callable[[str, str], str] = "{} = {}".format
    is_among: Callable[[str, str], str] | None = None


class SqlDriver(Driver):
    """A driver on a SQL database; a derived class runs the statements.

    Args:
        table: Its name; one with a schema, `web.sessions`, is fine.
        lifetime: Milliseconds a record may be idle; 0: for ever.
        dialect: Of the database.
        clock: Gives seconds since 1970.

    Attributes:
        layout: Of the table. A derived class with another one has it before it calls `__init__`.
    """

    layout: Layout = ORIGINAL

    def __init__(self, table: str, lifetime: float, dialect: Dialect, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._dialect = dialect
        self.table = quoted(table, dialect)
        self.last = quoted(self.layout.last, dialect)
        id, payload, text, statement = self.layout.id, self.layout.payload, self.layout.text, self._statement
        stored, active, time = self.layout.stored("?"), self.layout.activity(self.last), self.layout.time("?")
        exact = self.layout.exact
        is_same = dialect.same(text, "?")
        table, last = self.table, self.last
        self._select = statement(f"SELECT {text}, {active} FROM {table} WHERE {id} = ? AND {last} >= {time}")  # noqa: S608
        self._is_there = statement(f"SELECT 1 FROM {table} WHERE {id} = ?")  # noqa: S608
        self._insert = statement(f"INSERT INTO {table} ({id}, {payload}, {last}) VALUES (?, {stored}, {time})")  # noqa: S608
        self._swap = statement(
            f"UPDATE {table} SET {payload} = {stored}, {last} = {time} WHERE {id} = ? AND {is_same}"  # noqa: S608
        )
        self._replace_expired = statement(
            f"UPDATE {table} SET {payload} = {stored}, {last} = {time} WHERE {id} = ? AND {last} < {time}"  # noqa: S608
        )
        self._touch = statement(f"UPDATE {table} SET {last} = {time} WHERE {id} = ? AND {last} >= {time}")  # noqa: S608
        self._confirm = statement(
            f"UPDATE {table} SET {last} = {time} WHERE {id} = ? AND {last} >= {time} AND {is_same}"  # noqa: S608
        )
        self._delete = statement(f"DELETE FROM {table} WHERE {id} = ?")  # noqa: S608
        self._delete_version = statement(f"DELETE FROM {table} WHERE {id} = ? AND {is_same}")  # noqa: S608
        self._expired = statement(
            f"SELECT {id}, {exact(last)} FROM {table}"  # noqa: S608
            f" WHERE {last} >= {exact('?')} AND {last} < {time} ORDER BY {last} LIMIT {LOOK}"
        )
        self._page = statement(
            f"SELECT {id}, {text}, {active} FROM {table}"  # noqa: S608
            f" WHERE {id} > ? AND {last} >= {time} ORDER BY {id} LIMIT {_PAGE}"
        )

    def _statement(self, text: str) -> str:
        """Put the database's placeholders into a statement."""
        counter = iter(range(1, 10))

        def replace(match: re.Match[str]) -> str:
            placeholder = self._dialect.placeholder(next(counter))
            return self._dialect.is_id(self.layout.id, placeholder) if match[1] else placeholder

        return re.sub(rf"(\b{self.layout.id} = )?\?", replace, text)

    @abstractmethod
    async def _fetch(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Run a query; gives its rows."""

    @abstractmethod
    async def _change(self, statement: str, *values: Any) -> int:
        """Run a statement; gives the number of rows that it changed.

        Raises:
            ConflictError: It would have made a second record of an id.
        """

    async def read(self, id: str) -> Record | None:
        """See `Driver.read`."""
        rows = await self._fetch(self._select, id, self._oldest())
        if not rows:
            return None
        stored, active = rows[0]
        return Record(self.layout.decode(stored), stored, self._now() - float(active))

    async def write(self, id: str, payload: str, version: object, *, idle: float = 0) -> object:
        """See `Driver.write`."""
        stored = self.layout.encode(payload)
        if version is None:
            await self._create(id, stored, idle)
        elif not await self._change(self._swap, stored, self._now(idle), id, version):
            raise ConflictError("the record is no longer the one that was read")
        return stored

    async def _create(self, id: str, stored: str, idle: float) -> None:
        try:
            await self._change(self._insert, id, stored, self._now(idle))
        except ConflictError:
            await self._replace(id, stored, idle)

    async def _replace(self, id: str, stored: str, idle: float) -> None:
        """Replace the record that is there, if it has expired."""
        replacing = (self._replace_expired, stored, self._now(idle), id, self._oldest())
        if not self._lifetime or not await self._change(*replacing):
            raise ConflictError("the record is there already")

    async def touch(self, id: str, *, idle: float = 0) -> None:
        """See `Driver.touch`."""
        await self._change(self._touch, self._now(idle), id, self._oldest())

    async def confirm(self, id: str, version: object, *, idle: float = 0) -> bool:
        """See `Driver.confirm`."""
        return await self._change(self._confirm, self._now(idle), id, self._oldest(), version) > 0

    async def destroy(self, id: str, version: object = None) -> None:
        """See `Driver.destroy`."""
        if version is None:
            await self._change(self._delete, id)
        elif not await self._change(self._delete_version, id, version) and await self._fetch(self._is_there, id):
            raise ConflictError("the record is no longer the one that was read")

    async def alive(self, ids: Sequence[str]) -> set[str]:
        """See `Driver.alive`."""
        found: set[str] = set()
        for some in pieces(tuple(ids)):
            found.update(as_text(id) for (id,) in await self._find(some))
            await asyncio.sleep(0)  # a driver may read without waiting
        return found.intersection(ids)  # a column may find an id in another case as well

    async def _find(self, ids: Sequence[str]) -> Sequence[Sequence[Any]]:
        """Find those of some ids that have a record; gives rows of one column."""
        values: Sequence[Any] = (ids,)
        placeholder, is_among = self._dialect.placeholder, self._dialect.is_among
        if is_among is None:
            values, is_among = ids, "{} IN ({})".format
        id = self.layout.id
        among = is_among(id, ", ".join(placeholder(number) for number in range(1, len(values) + 1)))
        oldest = self.layout.time(placeholder(len(values) + 1))
        statement = f"SELECT {id} FROM {self.table} WHERE {among} AND {self.last} >= {oldest}"  # noqa: S608
        return await self._fetch(statement, *values, self._oldest())

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        last_id = ""
        while rows := await self._fetch(self._page, last_id, self._oldest()):
            for id, stored, last_activity in rows:
                yield Entry(self._listed(id), decode_leniently(stored, self.layout.decode), float(last_activity))
            last_id = rows[-1][0]
            await asyncio.sleep(0)  # a driver may read without waiting

    def _listed(self, id: Any) -> Any:
        """Find the id of a record in a listing."""
        return id

    def _oldest(self) -> int:
        """Find the earliest last activity of a record that has not expired."""
        return self._now() - int(self._lifetime) if self._lifetime else 0

    def _now(self, idle: float = 0) -> int:
        """Tell the time, or a time before it, in milliseconds since 1970."""
        return int(self._clock() * 1000 - idle)


def quoted(name: str, dialect: Dialect) -> str:
    """Put a name, or each of several with dots between them, in the database's quotes."""
    return ".".join(f"{dialect.quote}{part}{dialect.quote}" for part in name.split("."))


def as_text(id: str | bytes) -> str:
    """Find the id in a column of any type, some of which pad it."""
    return (id if isinstance(id, str) else id.decode(errors="replace")).rstrip(" \0")
