"""What the visitors of the tests share: secrets that sign their cookies, an id, and raw records of the store."""

from __future__ import annotations

import json
from typing import Any

from node_session.testing import Visitor

SECRET = "only-for-tests-3f1c0f5e9a7b4d2e8c6a"
OLD_SECRET = "an-older-one-for-tests-77c0d1e2f3a4b"
ID = "A" * 40


async def store_record(visitor: Visitor, attributes: dict[str, Any], id: str = ID) -> None:
    """Put a record into the store as it is, and have the visitor take its cookie."""
    await (await visitor.sessions.driver()).write(id, json.dumps(attributes, separators=(",", ":")), None)
    visitor.use_id(id)


async def stored_record(visitor: Visitor, id: str | None = None) -> Any:
    """Read a record as it is, also that of a farewell; `Visitor.stored` gives what a session of it has."""
    record = await (await visitor.sessions.driver()).read(id or visitor.id)
    return None if record is None else json.loads(record.payload)
