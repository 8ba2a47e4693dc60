"""The client of MongoDB for a program that gives none of its own."""

from __future__ import annotations

from typing import Any

from .connection import POOL_SIZE, Connection
from .trust import IDLE_LIMIT


def make_client(to: Connection) -> Any:
    """Make a client of motor; it connects when it is used."""
    from motor.motor_asyncio import AsyncIOMotorClient  # here, since a program with a client of its own needs none

    milliseconds = max(1, int(to.timeout))
    tls: dict[str, Any] = {"tls": True} if to.ssl else {}
    who: dict[str, Any] = {}
    if to.user:
        who = {"username": to.user, "password": to.password, "authSource": to.database or "admin"}
    return AsyncIOMotorClient(
        to.url or (f"[{to.host}]" if ":" in to.host else to.host),
        port=to.port or 27017,
        maxPoolSize=to.pool_size or POOL_SIZE,
        maxIdleTimeMS=IDLE_LIMIT * 1000,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        timeoutMS=milliseconds,
        **who,
        **tls,
    )
