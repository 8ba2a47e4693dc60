"""Doors to the npm original, to Express and to ours, each a process, asked in the same way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from doors import HERE, Door, open_express, open_side
from express_stores import STORES, Store


def has_original() -> bool:
    return shutil.which("node") is not None and (HERE / "node_modules" / "node-session").is_dir()


def has_express() -> bool:
    return shutil.which("node") is not None and (HERE / "node_modules" / "express-session").is_dir()


@pytest.fixture(scope="session")
def open_door(tmp_path_factory):
    """Opens doors, and closes them in the end."""
    if not has_original() and "CI" not in os.environ:
        pytest.skip("the npm original is not installed: it needs Node and npm, and then make test")
    doors = []

    def open_door(side: str, files: Path | None = None, **options) -> Door:
        files = files or tmp_path_factory.mktemp(side)
        doors.append(open_side(side, {"files": str(files), "lottery": [0, 100], **options}))
        return doors[-1]

    yield open_door
    for door in doors:
        door.close()


@pytest.fixture(scope="session")
def needs_express() -> None:
    """Skips without Node and the packages, but never in CI."""
    if not has_express() and "CI" not in os.environ:
        pytest.skip("express-session is not installed: it needs Node and npm, and then make test")


@pytest.fixture(scope="session")
def express_stores(needs_express):
    """Gives the store of a name, of express-session; each has one server for the whole run."""
    opened: dict[str, Store] = {}

    def open_store(name: str) -> Store:
        if name not in opened:
            opened[name] = STORES[name]()
        return opened[name]

    yield open_store
    for store in opened.values():
        store.close()


@pytest.fixture(scope="module", params=list(STORES))
def express_store(request, express_stores) -> Store:
    """Each of the stores."""
    return express_stores(request.param)


@pytest.fixture(scope="module")
def open_express_door(express_stores):
    """Opens doors to a session of express-session, by the side's name; closes them with the module."""
    doors: list[Door] = []

    def open_door(side: str, store: Store, options: dict | None = None, **config) -> Door:
        doors.append(open_express(side, {**store.config, "options": options or {}, **config}))
        return doors[-1]

    yield open_door
    for door in doors:
        door.close()
