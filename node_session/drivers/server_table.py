"""The table of a database server: before the first change, its driver makes sure that changes are safe there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .server import ServerDriver, UnfitTableError
from .turn import Turn


class ServerTable(ServerDriver):
    """A `ServerDriver` that examines its table.

    Attributes:
        about_table: A query of `table_facts`, and its values.
    """

    about_table: tuple[Any, ...]

    _combines: bool | None = None  # not known yet
    _most_bytes = float("inf")

    async def _examine(self, turn: Turn) -> None:
        """Ask about the table until the database has confirmed that changes are safe.

        Raises:
            UnfitTableError: They are not.
        """
        if self._combines is not None:
            return
        query, *values = self.about_table

        async def ask(connection: Any) -> Sequence[Sequence[Any]]:
            # An error of connecting says nothing about the table: it is raised before this.
            try:
                return (await self._run_on(connection, query, values)).rows
            except self.failures as error:
                if not self._is_refusal(error) or self._is_broken_off(error) or self._is_held(error):
                    raise
                return [(True, False, None)]  # something like this database, which cannot tell: each change by itself

        rows = await self._work(turn, ask, True)
        for has_key, combines, most_bytes, *columns in rows:  # none, if the table is not there
            self._check_columns(*columns)
            if not has_key:
                id = self.layout.id
                flaw = f"has no unique index on {id} alone, so a session could get two records"
                raise UnfitTableError(flaw, f"ALTER TABLE {self.table} ADD PRIMARY KEY ({id})")
            self._combines = bool(combines)
            self._most_bytes = float(most_bytes or "inf")

    def _check_columns(self, *columns: Any) -> None:
        """Check the rest of what `about_table` has found; raises `UnfitTableError`."""
