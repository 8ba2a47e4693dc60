"""copy: all sessions from one store to another."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any

from .. import roster, serializer
from ..drivers import Entry
from ..drivers.hashed import HashedDriver
from ..errors import ConfigError, ConflictError, DamagedError, UnsupportedError
from ..formats import Format
from ..records import Loaded, Records
from .config_file import read_json
from .each import for_each
from .open_store import OpenStore, open_store
from .outcome import Outcome, summarize
from .sails_disk import SailsDiskFile, is_sails_disk
from .spelling import plural, warn
from .translating import translate

_NOTES = {
    "present": "already there, and left as they are",
    "damaged": "unreadable, and not copied",
}
_OLD = {"old": "old records of regenerated sessions, which stay behind"}


async def copy(options: argparse.Namespace) -> Outcome:
    """Copy all sessions from one store to another."""
    async with open_store(options.target) as target, _open_source(options.source, target) as source:
        records = target.records
        if isinstance(source, OpenStore) and source.is_hashed:
            _refuse_impossible(source, target)
            records = target.kept
        _refuse_other_ids(source, target)
        notes = _NOTES if source.format.is_same(records.format) else _NOTES | _OLD
        counts = await for_each(source, lambda entry: _copy(source, records, entry), "is not copied")
        if isinstance(source, OpenStore) and source.config.cookie != target.config.cookie:
            warn(
                f"browsers have the cookie {source.config.cookie!r}: unless `cookie` is that in {options.target} as "
                "well, everybody must log in again"
            )
    return summarize(counts, f"copied {plural(counts['copied'], 'session')}", ["copied"], notes)


async def _copy(source: OpenStore | SailsDiskFile, target: Records, entry: Entry) -> str:
    text, idle, envelope = await _read(source, target, entry)
    if text is None:
        return "old"
    try:
        if await target.driver.read(entry.id) is not None:  # a driver without versions would overwrite it
            return "present"
        await target.write(entry.id, text, None, idle, envelope)
    except ConflictError:
        return "present"
    except UnsupportedError as error:  # its id, for example
        raise DamagedError(str(error)) from error
    return "copied"


async def _read(source: OpenStore | SailsDiskFile, target: Records, entry: Entry) -> tuple[str | None, float, Any]:
    """The text to write, None for nothing; its `idle` for the target's driver; and its envelope.

    Most copies count as used now.
    """
    if isinstance(source, SailsDiskFile):
        text = await source.text(entry)
        return _translated(serializer.loads(text), text, source.format, target), 0, None
    if source.is_unreadable:  # its payload is copied as it is, and so is its time, as it may have its own lifetime
        return entry.payload, time.time() * 1000 - entry.last_activity, None
    loaded = await source.load(entry)
    own = loaded.own_lifetime
    is_kept = own is not None and loaded.idle < math.inf
    if roster.is_roster(loaded.attributes):
        idle = roster.idle_to_write(loaded.attributes, target.policy, target.ids.is_valid)
        return _storable(_with_kept_ids(loaded, target)), idle, loaded.envelope
    idle = (loaded.idle if is_kept else 0) + target.shift(own)
    # Of two formats, one has no envelope.
    return _translated(loaded.attributes, loaded.text, source.format, target), idle, loaded.envelope


def _translated(attributes: dict[str, Any], text: str, source: Format, target: Records) -> str | None:
    """The text of a session in the target's format; None if it is not copied."""
    if source.is_same(target.format):
        return _storable(text)
    translated = translate(attributes, source, target.format)
    return None if translated is None else _storable(serializer.dumps(translated))


def _with_kept_ids(devices: Loaded, target: Records) -> str:
    """The text of a list of devices, with the ids under which the target keeps their sessions."""
    if isinstance(target.driver, HashedDriver):
        return serializer.dumps(roster.map_ids(devices.attributes, target.driver.kept_id))
    return devices.text


def _storable(text: str) -> str:
    """Escape halves of surrogate pairs, which JSON may hold and UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextlib.asynccontextmanager
async def _open_source(path: str, target: OpenStore) -> AsyncIterator[OpenStore | SailsDiskFile]:
    content = read_json(path)
    if is_sails_disk(content):
        yield SailsDiskFile(path, content, target.config)
    else:
        async with open_store(path) as store:
            yield store


def _refuse_other_ids(source: OpenStore | SailsDiskFile, target: OpenStore) -> None:
    """Refuse a copy to a store whose program would not take the cookies of the sessions."""
    if source.format.ids.longest > target.records.ids.longest:
        raise ConfigError(
            "the sessions have ids that the second config does not take; with otherIds: true it does, and their users "
            "stay logged in"
        )


def _refuse_impossible(source: OpenStore, target: OpenStore) -> None:
    """Refuse a copy from a store with hashIds to one that could not use it."""
    if not target.is_hashed:
        raise ConfigError(
            "records kept by hashIds can be copied to a store with hashIds only: no id can be told of them"
        )
    same_format = source.config.encrypt == target.config.encrypt
    if not same_format or (source.is_unreadable and not set(source.config.secret) <= set(target.config.secret)):
        raise ConfigError(
            "with hashIds, records are copied as they are: both configs must have the same encrypt, and the second one "
            "all secrets of the first"
        )
