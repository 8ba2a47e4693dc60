"""Several records of MongoDB in one go: writes with an outcome for each, and looks that fetch no payload."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pymongo import UpdateMany, UpdateOne, errors

from .removal import LOOK, Expired

Change = tuple[dict[str, Any], dict[str, Any]]
"""A filter that finds one document, and the update."""

Outcome = bool | Exception
"""Whether the document was found, or what went wrong."""

_DUPLICATE_KEY = 11000


async def update_all(collection: Any, changes: Sequence[Change]) -> int:
    """Update all documents that the filters find; returns how many they have found."""
    if len(changes) == 1:
        return int((await collection.update_many(*changes[0])).matched_count)
    requests = [UpdateMany(*change) for change in changes]
    return int((await collection.bulk_write(requests, ordered=False)).matched_count)


async def put_all(collection: Any, changes: Sequence[Change]) -> list[Outcome]:
    """Update the documents that are found and insert the others; a document that is there all the same is an error."""
    if len(changes) == 1:
        await collection.update_one(*changes[0], upsert=True)
        return [True]
    try:
        await collection.bulk_write([UpdateOne(*change, upsert=True) for change in changes], ordered=False)
    except errors.BulkWriteError as error:
        details: Any = error.details
        if details.get("writeConcernErrors"):
            raise  # one server has them, and may lose them
        outcomes: list[Outcome] = [True] * len(changes)
        for each in details["writeErrors"]:
            is_duplicate = each["code"] == _DUPLICATE_KEY
            kind = errors.DuplicateKeyError if is_duplicate else errors.WriteError
            outcomes[each["index"]] = kind(each["errmsg"], each["code"])
        return outcomes
    return [True] * len(changes)


async def swap_all(collection: Any, changes: Sequence[Change]) -> list[Outcome]:
    """Update the documents that are found.

    A bulk write tells *how many* it has found, not which; to guess from what is stored afterwards would lose a change
    or do it twice. So each is an `update_one`, with motor all of them in one hop to its threads. Tried, in µs of CPU
    for each of 4 and of 16 changes: motor's hop for each 243 and 330; PyMongo's asynchronous client 280 and 322; one
    hop for all 210 and 184; one hop with the bare command 198 and 301; a bulk write 104 and 32. The bulk write of a
    client, and not of a collection, can tell which, but only from MongoDB 8 on.
    """
    if len(changes) == 1:
        return [(await collection.update_one(*changes[0])).matched_count > 0]
    if "delegate" not in vars(collection):  # PyMongo's own asynchronous client has no threads
        return await asyncio.gather(*(_swap(collection, change) for change in changes))
    from motor.frameworks.asyncio import run_on_executor  # here, since a program with PyMongo's client has no motor

    hop: Any = run_on_executor
    outcomes: list[Outcome] = await hop(asyncio.get_running_loop(), _swap_each, collection.delegate, changes)
    return outcomes


async def _swap(collection: Any, change: Change) -> Outcome:
    try:
        return bool((await collection.update_one(*change)).matched_count)
    except Exception as error:
        return error


def _swap_each(collection: Any, changes: Sequence[Change]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for change in changes:
        try:
            outcomes.append(collection.update_one(*change).matched_count > 0)
        except Exception as error:
            outcomes.append(error)
    return outcomes


def finding(ids: Sequence[str], alive: dict[str, Any]) -> Callable[[Any], Awaitable[Sequence[dict[str, Any]]]]:
    """Make the operation that finds those of some ids that have a document to which a filter applies."""
    wanted = {"_id": {"$in": list(ids)}, **alive}
    return lambda records: records.find(wanted, {"_id": 1}, batch_size=len(ids)).to_list(None)


def looking(last: str, since: Any, oldest: Any) -> Callable[[Any], Awaitable[Sequence[dict[str, Any]]]]:
    """Make the operation that finds the oldest expired documents by their field `last`; see `removal`."""
    wanted, only = {last: {"$gte": since, "$lt": oldest}}, {last: 1}  # and _id
    return lambda records: records.find(wanted, only).sort(last).limit(LOOK).to_list(None)


def removing(last: str, expired: Sequence[Expired]) -> Callable[[Any], Awaitable[int]]:
    """Make a function that removes documents if nobody has renewed them; it may be called again."""
    wanted = {"_id": {"$in": [each.id for each in expired]}}
    as_found = {"$gte": expired[0].last_activity, "$lte": expired[-1].last_activity}
    attempts = 0

    async def remove(collection: Any) -> int:
        nonlocal attempts
        attempts += 1
        result = await collection.delete_many({**wanted, last: as_found})
        if attempts == 1:
            return int(result.deleted_count)
        # An earlier attempt, whose answer was lost, may have removed them.
        return len(expired) - len(await collection.find(wanted, {"_id": 1}).to_list(None))

    return remove
