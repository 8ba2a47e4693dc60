"""Two doors: the npm original and ours, each a process with a folder of sessions, asked in the same way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from doors import HERE, Door, open_side


def has_original() -> bool:
    return shutil.which("node") is not None and (HERE / "node_modules" / "node-session").is_dir()


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
