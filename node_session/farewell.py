"""The record that a session leaves under its old id when it gets a new one.

    {"_left": {"at": 1764160000000, "to": "…", "attributes": {"name": "Ann"}}}

It says when the session left, its new id, and its content then. For a grace period (`regenerateGrace`), requests under
way that still bring the old cookie read that content, and a log-out follows the session to its new id. After it the
record is destroyed (`node_session.graces`). To the npm original it is an anonymous session.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from . import aside, csrf_token, serializer
from .errors import SerializationError
from .formats import Format
from .policy import is_number

KEY = "_left"
"""The only key of such a record, reserved in sessions."""

TRACEABLE = 10_000
"""Milliseconds for which the record is kept, without content, if nobody may read it (a grace of 0).

A log-out that was under way with the old cookie must still find the session."""

_FORMS = ({"at", "to"}, {"at", "to", "attributes"}, {"at", "attributes"})  # the last one is from version 0.1.0


@dataclass(slots=True)
class Farewell:
    """A record of this kind.

    Attributes:
        at: When the session left, in milliseconds since 1970.
        to: Its new id; None if unknown.
        attributes: Its content then; None if nobody may read it.
        idle: Milliseconds since the record's last activity.
        version: The driver's version of the record.
    """

    at: float
    to: str | None
    attributes: dict[str, Any] | None
    idle: float
    version: object

    def is_due(self, now: float, grace: float) -> bool:
        """Whether the record still counts.

        Another machine's clock may be ahead of ours or behind it. A difference below the grace must not matter:
        otherwise a late request would get a fresh cookie, and log out a user who has just logged in.

        Args:
            now: Milliseconds since 1970.
            grace: The policy's `regenerate_grace`, in milliseconds.
        """
        grace = grace or TRACEABLE
        return -grace < now - self.at < 2 * grace


def shorten_tokens(attributes: dict[str, Any]) -> None:
    """Shorten the CSRF tokens in a session's content, also in that which it had before it left, for somebody to read.

    A program that does not know farewells may have written other keys beside.
    """
    csrf_token.shorten_tokens(attributes)
    left = attributes.get(KEY)
    content = left.get("attributes") if isinstance(left, dict) else None
    if isinstance(content, dict):
        csrf_token.shorten_tokens(content)


def is_farewell(attributes: dict[str, Any], format: Format) -> bool:
    """Whether a record's content has this form."""
    if len(attributes) != 1:
        return False
    left = attributes.get(KEY)
    if not isinstance(left, dict) or not is_number(left.get("at")) or left.keys() not in _FORMS:
        return False
    return isinstance(left.get("attributes", {}), dict) and ("to" not in left or format.is_veiled(left["to"]))


def was_left_at(attributes: dict[str, Any], at: int, format: Format) -> bool:
    """Whether a record's content has this form, and was written at this time."""
    return is_farewell(attributes, format) and bool(attributes[KEY]["at"] == at)


def parse(attributes: dict[str, Any], id: str, idle: float, version: object, format: Format) -> Farewell:
    """The farewell in a record of this form, stored under an id."""
    left = attributes[KEY]
    to = format.unveil(left["to"], id) if "to" in left else None
    return Farewell(left["at"], to, left.get("attributes"), idle, version)


async def compose(id: str, to: str, attributes: dict[str, Any] | None, now: float, format: Format) -> str:
    """Compose the text of such a record. It may exceed `maxSize` by some bytes.

    Args:
        id: The old id, under which it is stored.
        to: The new id.
        attributes: The content for requests in the grace period; None: they may read nothing.
        now: Milliseconds since 1970.
        format: Of the records.
    """
    left: dict[str, Any] = {"at": int(now), "to": format.veil(to, id)}
    if attributes is not None:
        with contextlib.suppress(SerializationError):  # nested to the limit, they are too deep inside this record
            return await aside.dumps({KEY: {**left, "attributes": attributes}})
    return serializer.dumps({KEY: left})
