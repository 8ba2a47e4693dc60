"""The data file of sails-disk 0.10, node-session's adapter for development.

One JSON file: ``{"data": {table: [{"id", "payload", "lastActivity"}, …]}, "schema": …, "counters": …}``. As in every
database of the original, the payload is the stored text encoded once more as a JSON string.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from .. import ids, serializer
from ..config import Config
from ..drivers import Entry
from ..errors import ConfigError
from ..formats import NODE_SESSION
from ..legacy_encryption import LegacyEncrypter


def is_sails_disk(content: Any) -> bool:
    """Whether a JSON file is such a data file, and not a config."""
    return isinstance(content, dict) and isinstance(content.get("data"), dict) and "schema" in content


class SailsDiskFile:
    """The sessions in such a file. Nobody else may use it: stop Node first.

    Args:
        path: The file's path, for messages.
        content: The file's content.
        config: The config of the store to which they are copied: its `table`, its `lifetime`, and its secrets if they
            are encrypted.
    """

    ids, format = ids.OWN, NODE_SESSION

    def __init__(self, path: str, content: dict[str, Any], config: Config) -> None:
        tables = content["data"]
        if config.table not in tables:
            raise ConfigError(f"{path}: has no table {config.table!r}, but {', '.join(map(repr, tables)) or 'none'}")
        self._rows: list[Any] = tables[config.table]
        if not isinstance(self._rows, list):
            raise ConfigError(f"{path}: the table {config.table!r} is no list of rows")
        self._lifetime = config.lifetime
        self._encrypter = LegacyEncrypter(config.secret)

    async def scan(self) -> AsyncIterator[Entry]:
        """See `Driver.scan`."""
        now = time.time() * 1000
        for row in self._rows:
            id = row.get("id") if isinstance(row, dict) else None
            if id is None:  # no record at all
                continue
            if not ids.is_valid(id):
                yield Entry(id if isinstance(id, str) else repr(id), "", now)
                continue
            last_activity = row.get("lastActivity")
            if not isinstance(last_activity, (int, float)):
                continue
            if not self._lifetime or now - last_activity <= self._lifetime:
                yield Entry(row["id"], _payload(row), last_activity)

    async def text(self, entry: Entry) -> str:
        """The JSON text of a session, decrypted if its form is the original's encryption.

        Raises:
            DamagedError: It is no session, or cannot be decrypted.
        """
        text = entry.payload
        if set(serializer.loads(text)) == {"ct", "mac"}:
            text = self._encrypter.decrypt(text, entry.id)
            serializer.loads(text)
        return text


def _payload(row: dict[str, Any]) -> str:
    try:
        payload = json.loads(row.get("payload") or "")
    except (TypeError, ValueError, RecursionError):
        return ""
    return payload if isinstance(payload, str) else ""
