"""The options of a configuration that drivers read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol


class Options(Protocol):
    """The part of a `Config` that drivers need; `Config` explains each option."""

    @property
    def driver(self) -> str:
        """Name of the driver."""

    @property
    def format(self) -> str:
        """Name of the format, and so of the layout that the store has: its tables, keys or file names."""

    @property
    def lifetime(self) -> float:
        """Milliseconds a record may be idle; 0: for ever."""

    @property
    def files(self) -> Path:
        """Folder of the file driver."""

    @property
    def durable(self) -> bool:
        """Whether a write waits for the disk."""

    @property
    def connection(self) -> Mapping[str, Any] | Literal[False]:
        """The address of the database; see `node_session.drivers.connection.Connection`."""

    @property
    def table(self) -> str:
        """Table or collection of the database."""

    @property
    def prefix(self) -> str | None:
        """The beginning of the keys in Redis; None: `table` and a colon."""

    @property
    def other_ids(self) -> bool:
        """Whether ids of any form are taken."""

    @property
    def hash_ids(self) -> bool:
        """Whether records are kept under a hash of their id."""
