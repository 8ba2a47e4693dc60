"""Keys that a session cannot have, since their records would be read as something else."""

from __future__ import annotations

from typing import Any

from . import farewell, roster
from .errors import SerializationError
from .formats import Format


def require_unreserved(attributes: dict[str, Any], format: Format) -> None:
    """Refuse to store content that would be read as a farewell, or as something else than a session's attributes.

    Raises:
        SerializationError: It would be.
    """
    if not format.strange_keys.isdisjoint(attributes):
        format.check_keys(attributes)
    if farewell.KEY in attributes and farewell.is_farewell(attributes, format):
        raise SerializationError(
            f"cannot store the session: {farewell.KEY!r} is reserved for one that has gone on under another id; "
            "choose another key"
        )
    if roster.KEY in attributes and roster.is_roster(attributes):
        raise SerializationError(
            f"cannot store the session: {roster.KEY!r} is reserved for the list of an owner's devices; "
            "choose another key"
        )
