"""gc, destroy, copy, rewrap: what changes a store."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from .. import ids, serializer
from ..drivers import Entry
from ..errors import ConfigError, ConflictError, DamagedError, MismatchError
from .listing import holds, require_readable
from .outcome import ATTENTION, DONE, Outcome, plural
from .records import NotFoundError, Records, find, is_id, open_records, read_json, short, warn
from .sails_disk import SailsDiskFile, is_sails_disk

# So many records are on their way concurrently: enough to keep a database busy, few enough to leave it to the sessions.
_AT_ONCE = 16

# How often a record is tried again that its session writes at the same moment.
_ATTEMPTS = 5


async def gc(options: argparse.Namespace) -> Outcome:
    """Remove the expired records."""
    async with open_records(options.config) as records:
        lifetime = records.config.lifetime
        removed = await records.driver.gc(lifetime) if lifetime else 0
    note = "" if lifetime else ": with lifetime 0 no session expires"
    return Outcome(f"removed {plural(removed, 'expired record')}{note}", {"removed": removed})


async def destroy(options: argparse.Namespace) -> Outcome:
    """Remove one session, or many."""
    if options.all and not options.yes:
        raise ConfigError("destroy --all logs out everybody; if you mean it, add --yes")
    async with open_records(options.config) as records:
        if options.id is not None:
            driver, id = await find(records, options.id)
            if not ids.is_valid(id):
                raise NotFoundError(f"the record {short(id)} is no session: its id is none")
            await driver.destroy(id)
            return Outcome(f"destroyed {short(id)}", {"destroyed": 1})
        if options.user:
            return await _destroy_user(records, options.user)
        removed = passed_over = 0
        if options.older_than is not None:
            # First as gc does it, since that looks again, in one step, whether nobody uses the record just now.
            removed = await records.driver.gc(options.older_than)
        latest = time.time() * 1000 - (options.older_than or 0)
        async for entry in records.scan():
            if options.all or entry.last_activity < latest:
                if not is_id(entry):
                    passed_over += 1
                    continue
                await records.kept.destroy(entry.id)
                removed += 1
    return _with_passed_over(f"destroyed {plural(removed, 'session')}", {"destroyed": removed}, passed_over)


async def _destroy_user(records: Records, wanted: list[tuple[str, str]]) -> Outcome:
    require_readable(records)
    counts = await _for_each(records, lambda entry: _destroy_if(records, entry, wanted))
    data = {name: counts[name] for name in ("destroyed", "damaged", "busy")}
    text = f"destroyed {plural(data['destroyed'], 'session')}"
    if data["damaged"]:
        text += f"; unreadable, and left, as nobody can tell whose they are: {data['damaged']}"
    if data["busy"]:
        text += f"; changed all the time, so run it again: {data['busy']}"
    is_done = data["destroyed"] and not data["damaged"] and not data["busy"]
    return _with_passed_over(text, data, counts["passed over"], DONE if is_done else ATTENTION)


async def copy(options: argparse.Namespace) -> Outcome:
    """Copy all sessions from one store to another."""
    async with open_records(options.target) as target, _open_source(options.source, target) as source:
        _refuse_impossible(source, target)
        counts = await _for_each(source, lambda entry: _copy(source, target, entry))
    data = {name: counts[name] for name in ("copied", "present", "damaged")}
    text = f"copied {plural(data['copied'], 'session')}"
    if data["present"]:
        text += f"; already there, and left as they are: {data['present']}"
    if data["damaged"]:
        text += f"; unreadable, and not copied: {data['damaged']}"
    return _with_passed_over(text, data, counts["passed over"], ATTENTION if data["damaged"] else DONE)


async def rewrap(options: argparse.Namespace) -> Outcome:
    """Encrypt what is not under the first secret and in the config's format."""
    async with open_records(options.config) as records:
        if records.encrypter is None:
            raise ConfigError("encrypt is off, so there is nothing to encrypt; to turn it on, copy to another store")
        if records.is_sealed:
            raise ConfigError("with hashIds, records are encrypted again as their sessions are used, and only then")
        counts = await _for_each(records, lambda entry: _rewrap(records, entry))
    data = {name: counts[name] for name in ("rewritten", "current", "damaged", "busy")}
    old = data["damaged"] + data["busy"]
    text = f"rewritten: {data['rewritten']}, current already: {data['current']}, left as they were: {old}"
    if data["damaged"]:
        text += f"; unreadable under this config: {data['damaged']}"
    if data["busy"]:
        text += f"; changed all the time, so run it again: {data['busy']}"
    return _with_passed_over(text, data, counts["passed over"], ATTENTION if old else DONE)


def _with_passed_over(text: str, data: dict[str, int], count: int, code: int = DONE) -> Outcome:
    """The outcome, with how many records were passed over, if any were."""
    if not count:
        return Outcome(text, data, code)
    text += f"; {plural(count, 'record')} passed over, as they are no sessions"
    return Outcome(text, {**data, "passedOver": count}, ATTENTION)


# ------------------------------------------------------------ one record


async def _copy(source: Records | SailsDiskFile, target: Records, entry: Entry) -> str:
    as_kept = isinstance(source, Records) and source.is_hashed
    driver = target.kept if as_kept else target.driver
    try:
        if isinstance(source, Records) and source.is_sealed:
            payload = entry.payload
        else:
            payload = target.conceal(await source.text(entry), entry.id)
        if await driver.read(entry.id) is not None:  # a driver without versions would overwrite it
            return "present"
        await driver.write(entry.id, payload, None)
    except ConflictError:
        return "present"
    except MismatchError:  # told of once for all
        return "damaged"
    except (DamagedError, UnicodeError) as error:
        warn(f"{short(entry.id)} is not copied: {error}")
        return "damaged"
    return "copied"


async def _rewrap(records: Records, entry: Entry) -> str:
    encrypter, driver = records.encrypter, records.driver
    assert encrypter is not None  # noqa: S101 - rewrap() has seen to it
    try:
        await records.text(entry)
        for _ in range(_ATTEMPTS):
            record = await driver.read(entry.id)
            if record is None:
                return "gone"
            text = records.reveal(record.payload, entry.id)
            if encrypter.is_current(record.payload):
                return "current"
            with contextlib.suppress(ConflictError):
                await driver.write(entry.id, encrypter.encrypt(text, entry.id), record.version)
                return "rewritten"
    except MismatchError:
        return "damaged"
    except DamagedError as error:
        warn(f"{short(entry.id)} is not rewritten: {error}")
        return "damaged"
    return "busy"


async def _destroy_if(records: Records, entry: Entry, wanted: list[tuple[str, str]]) -> str:
    try:
        if not holds(serializer.loads(await records.text(entry)), wanted):
            return "other"
        for _ in range(_ATTEMPTS):
            record = await records.kept.read(entry.id)
            # Somebody else may have logged in with it since it was listed.
            if record is None or not holds(serializer.loads(records.reveal(record.payload, entry.id)), wanted):
                return "other"
            with contextlib.suppress(ConflictError):
                await records.kept.destroy(entry.id, record.version)
                return "destroyed"
    except MismatchError:
        return "damaged"
    except DamagedError as error:
        warn(f"{short(entry.id)} is left: {error}")
        return "damaged"
    return "busy"


# ------------------------------------------------------------ all of them


async def _for_each(source: Records | SailsDiskFile, work: Callable[[Entry], Awaitable[str]]) -> Counter[str]:
    """Do something with every record, some at a time, and count what came of it."""
    counts: Counter[str] = Counter()
    is_watched = sys.stderr.isatty()
    total = await _count(source) if is_watched else 0
    async with contextlib.aclosing(_batches(source.scan())) as batches:  # interrupted as well, while the loop runs
        async for batch in batches:
            sessions = [entry for entry in batch if is_id(entry)]
            counts.update(await asyncio.gather(*map(work, sessions)))
            counts["passed over"] += len(batch) - len(sessions)
            if is_watched:
                print(f"\r{_progress(counts.total(), total)}", end="", file=sys.stderr, flush=True)
    if is_watched:
        print(file=sys.stderr)
    return counts


async def _count(source: Records | SailsDiskFile) -> int:
    count = 0
    async for _ in source.scan():
        count += 1
    return count


async def _batches(entries: AsyncIterator[Entry]) -> AsyncGenerator[list[Entry], None]:
    batch: list[Entry] = []
    try:
        async for entry in entries:
            batch.append(entry)
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch
    finally:
        if isinstance(entries, AsyncGenerator):
            await entries.aclose()


def _progress(done: int, total: int) -> str:
    """A bar such as ``[#####     ] 500 of 1000``; the total is a guess where sessions come and go meanwhile."""
    total = max(done, total)
    filled = done * 40 // total
    return f"[{'#' * filled:40}] {done} of {total}"


# ------------------------------------------------------------ where from


@contextlib.asynccontextmanager
async def _open_source(path: str, target: Records) -> AsyncIterator[Records | SailsDiskFile]:
    content = read_json(path)
    if is_sails_disk(content):
        yield SailsDiskFile(path, content, target.config)
    else:
        async with open_records(path) as records:
            yield records


def _refuse_impossible(source: Records | SailsDiskFile, target: Records) -> None:
    if isinstance(source, SailsDiskFile) or not source.is_hashed:
        return
    if not target.is_hashed:
        raise ConfigError(
            "records kept by hashIds can be copied to a store with hashIds only: no id can be told of them"
        )
    same_format = source.config.encrypt == target.config.encrypt
    if not same_format or (source.is_sealed and not set(source.config.secret) <= set(target.config.secret)):
        raise ConfigError(
            "with hashIds, records are copied as they are: both configs must have the same encrypt, and the second one "
            "all secrets of the first"
        )
