"""A small server of MongoDB's protocol that compares and keeps values as MongoDB does: dates, documents, `$or`.

NX-27017 does not: a date that `$set` puts into a document is a text afterwards, and `$or` beside `_id` finds any
document. This one knows what our driver and connect-mongo ask, and nothing else. It has its documents from a log of all
changes, so that it can be killed and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

CODEC: CodecOptions = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS)
ABSENT = object()
HELLO = {
    **{"ismaster": True, "isWritablePrimary": True, "helloOk": True, "minWireVersion": 0, "maxWireVersion": 21},
    **{"maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000},
    **{"logicalSessionTimeoutMinutes": 30},
}


class RefusedError(Exception):
    """An error of the server: its code and text."""


def kind(value: Any) -> str:
    """The type, as MongoDB compares only values of one."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def same(value: Any, other: Any) -> bool:
    if kind(value) != kind(other):
        return False
    if isinstance(value, RawBSONDocument):  # of the same fields, in the same order
        pairs = zip(value.items(), other.items(), strict=False)
        return len(value) == len(other) and all(a == b and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(value, list):
        return len(value) == len(other) and all(map(same, value, other))
    return value == other


ORDER = {
    "$gt": lambda value, other: value > other,
    "$gte": lambda value, other: value >= other,
    "$lt": lambda value, other: value < other,
    "$lte": lambda value, other: value <= other,
}


def holds(value: Any, condition: Any) -> bool:
    """Whether a field's value, or its absence, meets a condition."""
    if isinstance(condition, RawBSONDocument) and next(iter(condition), "").startswith("$"):
        return all(holds_one(value, *each) for each in condition.items())
    return same(None if value is ABSENT else value, condition)


def holds_one(value: Any, operator: str, operand: Any) -> bool:
    if operator == "$exists":
        return (value is not ABSENT) == bool(operand)
    if operator == "$in":
        return any(holds(value, each) for each in operand)
    if operator == "$eq":
        return same(None if value is ABSENT else value, operand)
    if operator in ORDER:
        return kind(value) == kind(operand) and bool(ORDER[operator](value, operand))
    raise RefusedError(2, f"unknown operator: {operator}")


def finds(query: Any, document: dict) -> bool:
    for name, condition in query.items():
        if name == "$or":
            if not any(finds(each, document) for each in condition):
                return False
        elif name == "$and":
            if not all(finds(each, document) for each in condition):
                return False
        elif name.startswith("$"):
            raise RefusedError(2, f"unknown top level operator: {name}")
        elif not holds(document.get(name, ABSENT), condition):
            return False
    return True


class Database:
    """The documents of each collection by their ids, and its indexes; each change is in the log."""

    def __init__(self, path: Path) -> None:
        self.collections: dict[str, dict[Any, dict]] = {}
        self.indexes: dict[str, list[dict]] = {}
        self.cursors: dict[int, list] = {}
        if path.exists():
            for change in whole_documents(path.read_bytes()):
                self.apply(change)
        self.log = path.open("ab", buffering=0)

    def apply(self, change: dict) -> None:
        documents = self.collections.setdefault(change["in"], {})
        if "index" in change:
            self.indexes.setdefault(change["in"], []).append(dict(change["index"]))
        elif "put" in change:
            document = dict(change["put"])
            documents[document["_id"]] = document
        else:
            documents.pop(change["remove"], None)

    def change(self, **change: Any) -> None:
        encoded = bson.encode(change)
        self.log.write(encoded)
        self.apply(bson.decode(encoded, CODEC))

    def found(self, name: str, query: Any) -> list[dict]:
        documents = self.collections.get(name, {})
        id = query.get("_id")
        if isinstance(id, str):
            one = documents.get(id)
            some = [] if one is None else [one]
        elif isinstance(id, RawBSONDocument) and "$in" in id:
            some = [documents[each] for each in dict.fromkeys(id["$in"]) if each in documents]
        else:
            some = list(documents.values())
        return [each for each in some if finds(query, each)]

    # ------------------------------------------------------------ commands

    def find(self, name: str, command: Any) -> dict:
        found = self.found(name, command.get("filter") or {})
        for field, direction in reversed((command.get("sort") or {}).items()):
            found.sort(key=lambda each, field=field: (kind(each.get(field)), each.get(field)), reverse=direction < 0)
        found = found[command.get("skip", 0) :][: command.get("limit") or None]
        if only := command.get("projection"):
            fields = {"_id", *only}
            found = [{field: value for field, value in each.items() if field in fields} for each in found]
        return self.batch(name, "firstBatch", found, command.get("batchSize", 101), command.get("singleBatch"))

    def batch(self, name: str, batch: str, found: list, size: int | None, is_last: bool = False) -> dict:
        now, rest = found[:size], [] if size is None or is_last else found[size:]
        cursor = max(self.cursors, default=0) + 1 if rest else 0
        if rest:
            self.cursors[cursor] = rest
        return {"cursor": {batch: now, "id": bson.Int64(cursor), "ns": f"tests.{name}"}}

    def getmore(self, cursor: int, command: Any) -> dict:
        rest = self.cursors.pop(int(cursor))
        return self.batch(command["collection"], "nextBatch", rest, command.get("batchSize"))

    def killcursors(self, name: str, command: Any) -> dict:
        for cursor in command["cursors"]:
            self.cursors.pop(int(cursor), None)
        return {}

    def insert(self, name: str, command: Any) -> dict:
        def insert(document: Any) -> dict:
            if self.found(name, {"_id": document["_id"]}):
                raise RefusedError(11000, "E11000 duplicate key error")
            self.change(**{"in": name, "put": document})
            return {"n": 1}

        return self.each(command, "documents", insert)

    def delete(self, name: str, command: Any) -> dict:
        def delete(each: Any) -> dict:
            found = self.found(name, each["q"])[: each["limit"] or None]
            for document in found:
                self.change(**{"in": name, "remove": document["_id"]})
            return {"n": len(found)}

        return self.each(command, "deletes", delete)

    def update(self, name: str, command: Any) -> dict:
        def update(each: Any) -> dict:
            found = self.found(name, each["q"])
            for document in found if each.get("multi") else found[:1]:
                self.change(**{"in": name, "put": updated(document, each["u"])})
            if found or not each.get("upsert"):
                return {"n": len(found), "nModified": len(found)}
            id = each["q"]["_id"]
            if self.found(name, {"_id": id}):
                raise RefusedError(11000, "E11000 duplicate key error")
            new = updated({"_id": id}, each["u"], is_new=True)
            self.change(**{"in": name, "put": {"_id": id, **dict(sorted(new.items()))}})
            return {"n": 1, "nModified": 0, "upserted": id}

        return self.each(command, "updates", update)

    def each(self, command: Any, of: str, do: Any) -> dict:
        answer: dict[str, Any] = {"n": 0}
        wrong, upserted = [], []
        for number, each in enumerate(command[of]):
            try:
                done = do(each)
            except RefusedError as error:
                wrong.append({"index": number, "code": error.args[0], "errmsg": error.args[1]})
                if command.get("ordered", True):
                    break
                continue
            if "upserted" in done:
                upserted.append({"index": number, "_id": done.pop("upserted")})
            for name, value in done.items():
                answer[name] = answer.get(name, 0) + value
        return answer | ({"writeErrors": wrong} if wrong else {}) | ({"upserted": upserted} if upserted else {})

    def createindexes(self, name: str, command: Any) -> dict:
        for index in command["indexes"]:
            for there in self.indexes.get(name, []):
                if same(there["key"], index["key"]):
                    if there.get("expireAfterSeconds") != index.get("expireAfterSeconds"):
                        raise RefusedError(85, "An equivalent index already exists with different options")
                    break
            else:
                self.change(**{"in": name, "index": index})
        return {}

    def listindexes(self, name: str, command: Any) -> dict:
        by_id = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
        return self.batch(name, "firstBatch", [by_id, *self.indexes.get(name, [])], None)

    def drop(self, name: str, command: Any) -> dict:
        for document in self.found(name, {}):
            self.change(**{"in": name, "remove": document["_id"]})
        return {}

    def ask(self, command: Any) -> dict:
        name = next(iter(command))
        if name.lower() in ("hello", "ismaster"):
            return HELLO
        if name in ("ping", "endSessions", "buildInfo"):
            return {}
        do = getattr(self, name.lower(), None)
        if do is None:
            return {"ok": 0.0, "code": 59, "errmsg": f"no such command: {name}"}
        try:
            return do(command[name], command)
        except RefusedError as error:
            return {"ok": 0.0, "code": error.args[0], "errmsg": error.args[1]}


def updated(document: dict, update: Any, *, is_new: bool = False) -> dict:
    new = dict(document)
    for operator, fields in update.items():
        if operator == "$set" or (operator == "$setOnInsert" and is_new):
            new.update(fields)
        elif operator == "$unset":
            for name in fields:
                new.pop(name, None)
        elif operator != "$setOnInsert":
            raise RefusedError(9, f"Unknown modifier: {operator}")
    return new


def whole_documents(content: bytes) -> list:
    """The documents of a log, whose last one may be cut off."""
    found, start = [], 0
    while start + 4 <= len(content):
        (length,) = struct.unpack_from("<i", content, start)
        if start + length > len(content):
            break
        found.append(bson.decode(content[start : start + length], CODEC))
        start += length
    return found


def parsed(body: bytes) -> dict:
    """The command of a message, with the documents that came beside it."""
    command: dict = {}
    at = 4
    while at < len(body):
        section, (length,) = body[at], struct.unpack_from("<i", body, at + 1)
        content = body[at + 1 : at + 1 + length]
        if section == 0:
            command = {**bson.decode(content, CODEC), **command}
        else:
            name, _, documents = content[4:].partition(b"\0")
            command[name.decode()] = whole_documents(documents)
        at += 1 + length
    names = [name for name in command if name not in ("documents", "updates", "deletes")]
    return {name: command[name] for name in [*names, *(set(command) - set(names))]}


async def serve(port: int, path: Path) -> None:
    database = Database(path)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length, request, _, code = struct.unpack("<iiii", await reader.readexactly(16))
                body = await reader.readexactly(length - 16)
                if code == 2004:  # a query of old, with which each connection begins
                    reply = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode({**HELLO, "ok": 1.0})
                else:
                    reply = struct.pack("<iB", 0, 0) + bson.encode({"ok": 1.0, **database.ask(parsed(body))})
                writer.write(struct.pack("<iiii", 16 + len(reply), 1, request, 1 if code == 2004 else 2013) + reply)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", port, limit=2**26) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
