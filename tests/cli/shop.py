"""A shop's sessions, for the command line to work on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from visitors import OLD_SECRET, SECRET

from node_session.cli import DONE, main

SAILS_DISK = Path(__file__).parent / "sails-disk.json"  # written by sails-disk 0.10.10 for node-session 1.2.1
ANN, BOB, EVE = "Ann" + "a" * 37, "Bob" + "b" * 37, "Eve" + "e" * 37


def old_record(seconds: float = 0) -> str:
    """The text that a session of Ann's left under its old id when it was regenerated, so many seconds ago."""
    at = round((time.time() - seconds) * 1000)
    return json.dumps({"_left": {"at": at, "to": BOB, "attributes": {"user": {"name": "Ann"}, "notes": "x" * 2000}}})


class Shop:
    """A folder with a config and its sessions."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder = folder
        self.capsys = capsys
        self.config = self.write("sessions.json")

    def write(self, name: str, **options) -> str:
        """Write a config; its sessions are in a folder of its name."""
        path = self.folder / name
        defaults = {"secret": SECRET, "files": str(self.files(name)), "lifetime": 3_600_000}
        path.write_text(json.dumps({**defaults, **options}))
        return str(path)

    def files(self, name: str = "sessions.json") -> Path:
        return self.folder / name.removesuffix(".json")

    def put(self, id: str, text: str, *, idle: float = 0, name: str = "sessions.json") -> None:
        """Store a record as the original would, last used so many seconds ago."""
        self.files(name).mkdir(exist_ok=True)
        file = self.files(name) / id
        file.write_text(text)
        os.utime(file, (time.time() - idle, time.time() - idle))

    def stored(self, name: str = "sessions.json") -> dict[str, str]:
        return {each.name: each.read_text() for each in self.files(name).glob("[!.]*")}

    def run(self, *arguments: str, code: int = DONE) -> str:
        """The output of a command."""
        assert main(arguments) == code, self.capsys.readouterr()
        printed = self.capsys.readouterr()
        self.errors = printed.err
        for secret in (SECRET, OLD_SECRET):
            assert secret not in printed.out + printed.err
        return printed.out

    def json(self, *arguments: str, code: int = DONE):
        command, *others = arguments
        return json.loads(self.run(command, "--json", *others, code=code))


def sails_disk(shop, *, idle: float = 0, encrypt=None, **changes) -> str:
    content = json.loads(SAILS_DISK.read_text())
    (row,) = content["data"]["sessions"]
    row["lastActivity"] = (time.time() - idle) * 1000
    if encrypt:
        row["payload"] = json.dumps(encrypt(json.loads(row["payload"]), row["id"]))
    content["data"]["sessions"].append({**row, **changes} if changes else {})
    path = shop.folder / "disk.db"
    path.write_text(json.dumps(content))
    return str(path)
