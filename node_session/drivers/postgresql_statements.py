"""PostgreSQL's statements on many records, of any layout of the table.

The quoted names of the table and of its column for the time are arguments; all other names are the layout's.
"""

from __future__ import annotations

from .layout import Layout


def select_many(layout: Layout, table: str, last: str) -> str:
    """$1: ids, $2: the earliest last activity."""
    columns = f"{layout.id}, {layout.text}, {layout.activity(last)}"
    return f"SELECT {columns} FROM {table} WHERE {layout.id} = ANY($1) AND {last} >= {layout.time('$2')}"  # noqa: S608


# A row that another transaction holds is passed over: waiting for one, with others locked, makes deadlocks. The ids are
# there twice, in the type of the column as well: only that can use its index if it is char(n).


def touch_many(layout: Layout, table: str, last: str) -> str:
    """$1: ids, $2: their last activities, $3: the ids, $4: the earliest last activity."""
    id, time = layout.id, layout.time
    return (
        f"WITH mine AS (SELECT t.{id}, n.active FROM {table} t"  # noqa: S608
        f' JOIN unnest($1::text[], $2::bigint[]) AS n (id, active) ON t.{id}::text COLLATE "C" = n.id'
        f" WHERE t.{id} = ANY($3) AND t.{last} >= {time('$4')} FOR UPDATE OF t SKIP LOCKED)"
        f" UPDATE {table} t SET {last} = {time('mine.active')} FROM mine WHERE t.{id} = mine.{id}"
    )


def swap_many(layout: Layout, table: str, last: str) -> str:
    """$1: ids, $2: their last activities, $3: old texts, $4: new ones, $5: the ids."""
    id, stored, time = layout.id, layout.stored, layout.time
    return (
        f"WITH mine AS (SELECT t.{id}, n.active, n.stored FROM {table} t"  # noqa: S608
        " JOIN unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS n (id, active, version, stored)"
        f' ON t.{id}::text COLLATE "C" = n.id AND t.{layout.text} COLLATE "C" = n.version'
        f" WHERE t.{id} = ANY($5) FOR UPDATE OF t SKIP LOCKED)"
        f" UPDATE {table} t SET {layout.payload} = {stored('mine.stored')}, {last} = {time('mine.active')}"
        f" FROM mine WHERE t.{id} = mine.{id} RETURNING t.{id}"
    )


def insert_many(layout: Layout, table: str, last: str) -> str:
    """$1: ids, $2: their last activities, $3: texts."""
    columns = f"{layout.id}, {last}, {layout.payload}"
    return (
        f"INSERT INTO {table} ({columns}) SELECT id, {layout.time('active')}, {layout.stored('stored')}"  # noqa: S608
        " FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (id, active, stored)"
        f" ON CONFLICT DO NOTHING RETURNING {layout.id}"
    )


def delete_many(layout: Layout, table: str, as_found: str) -> str:
    """$1: ids; `as_found` is a condition on $2 and $3, the ends of the range in which they were found.

    The planner knows neither the length of the range nor of the ids. So the condition must leave it only the index of
    the ids: it must not be on the plain column.
    """
    id = layout.id
    return (
        f"DELETE FROM {table} WHERE {as_found} AND {id} = ANY(ARRAY"  # noqa: S608
        f"(SELECT {id} FROM {table} WHERE {id} = ANY($1) AND {as_found} FOR UPDATE SKIP LOCKED))"
    )
