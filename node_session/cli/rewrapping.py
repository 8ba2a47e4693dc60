"""rewrap: encrypt again the records under an old secret or in another format."""

from __future__ import annotations

import argparse

from ..drivers import Entry
from ..errors import ConfigError
from ..roster import idle_to_write, is_roster
from .each import BUSY, for_each, retry
from .open_store import OpenStore, open_store
from .outcome import Outcome, summarize


async def rewrap(options: argparse.Namespace) -> Outcome:
    """Encrypt records again that another secret or format has encrypted."""
    async with open_store(options.config) as store:
        if store.records.encrypter is None:
            raise ConfigError("encrypt is off, so there is nothing to encrypt; to turn it on, copy to another store")
        if store.is_unreadable:
            raise ConfigError("with hashIds, records are encrypted again as their sessions are used, and only then")
        counts = await for_each(store, lambda entry: _rewrap(store, entry), "is not rewritten")
    left = counts["damaged"] + counts["busy"]
    text = f"rewritten: {counts['rewritten']}, current already: {counts['current']}, left as they were: {left}"
    notes = {"damaged": "unreadable under this config", "busy": BUSY}
    return summarize(counts, text, ["rewritten", "current"], notes)


async def _rewrap(store: OpenStore, entry: Entry) -> str:
    await store.load(entry)  # counts the records that the config does not fit

    async def attempt() -> str:
        loaded = await store.records.read(entry.id)
        if loaded is None:
            return "gone"
        if not loaded.is_outdated:
            return "current"
        if is_roster(loaded.attributes):
            idle = idle_to_write(loaded.attributes, store.records.policy, store.records.ids.is_valid)
        else:
            idle = store.records.shift(loaded.own_lifetime)  # active now, and with its own lifetime
        await store.records.write(entry.id, loaded.text, loaded.version, idle)
        return "rewritten"

    return await retry(attempt)
