"""What the tests of the format express-session share."""

from __future__ import annotations

import json

import pytest

from node_session import formats
from node_session.config import Config

SECRET = "only-for-tests-3f1c0f5e9a7b4d2e8c6a"
STORES = [{"driver": "memory"}, {"driver": "file"}, {"driver": "database"}]
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}

on_all_stores = pytest.mark.parametrize("store", STORES, ids=lambda store: store["driver"])


def make_format(**options) -> formats.Format:
    """The format express-session with these options of the config."""
    config = Config.from_dict({"secret": SECRET, "format": "express-session", "sameSite": None, **options})
    return formats.make(config.format, config)


async def store_text(visitor, text: str | dict, id: str) -> None:
    """Put a record into the store as it is, and have the visitor take its cookie."""
    driver = await visitor.sessions.driver()
    await driver.write(id, text if isinstance(text, str) else json.dumps(text, separators=(",", ":")), None)
    visitor.use_id(id)


async def record_of(visitor, id: str | None = None):
    """A record as it is in the store; None if there is none."""
    record = await (await visitor.sessions.driver()).read(id or visitor.id)
    return None if record is None else json.loads(record.payload)


@pytest.fixture
def store():
    """Options of the store; tests parametrize it."""
    return {"driver": "memory"}


@pytest.fixture
def options(store):
    """The options of the program."""
    return {"format": "express-session", "sameSite": None, **store}
