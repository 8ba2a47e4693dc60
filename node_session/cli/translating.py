"""Sessions of one format, made sessions of another one.

What a handler sees stays; only the flash data moves. Express' messages that wait to be shown become flash data here,
which `get_flashed` shows as well, and our lists of flashed keys are where the other format has them.
"""

from __future__ import annotations

from typing import Any

from ..errors import DamagedError, SerializationError
from ..farewell import is_farewell
from ..formats import Format
from ..quoting import quote
from ..reserved import require_unreserved


def translate(attributes: dict[str, Any], source: Format, target: Format) -> dict[str, Any] | None:
    """Make the attributes of a session in another format.

    Returns:
        None if the record is the old one of a regenerated session, which holds nothing of its own.

    Raises:
        DamagedError: The session has a key that the other format uses for something else, or a message would be lost.
    """
    if is_farewell(attributes, source):
        return None
    translated = dict(attributes)
    lists = _lists(translated.pop(source.flash_key, None))
    if source.messages_key is not None:
        _take_messages(translated, source.messages_key, lists)
    if target.flash_key in translated:
        raise DamagedError(
            f"its key {target.flash_key!r} holds something else than flash data, for which the other format needs this "
            "key: store it under another one before the copy"
        )
    if target.lists_no_flash or any(lists.values()):
        translated[target.flash_key] = lists
    try:
        require_unreserved(translated, target)
    except SerializationError as error:
        raise DamagedError(str(error)) from error
    return translated


def _lists(found: Any) -> dict[str, list[str]]:
    """The lists of flashed keys, as far as they are such."""
    lists = found if isinstance(found, dict) else {}
    return {which: _keys(lists.get(which)) for which in ("old", "new")}


def _keys(found: Any) -> list[str]:
    return [key for key in found if isinstance(key, str)] if isinstance(found, list) else []


def _take_messages(attributes: dict[str, Any], key: str, lists: dict[str, list[str]]) -> None:
    """Turn the other program's messages into flashed attributes.

    Raises:
        DamagedError: A message would take the place of an attribute.
    """
    messages = attributes.pop(key, None)
    if messages is None:
        return
    if not isinstance(messages, dict) or not all(isinstance(texts, list) for texts in messages.values()):
        attributes[key] = messages  # the program has put something else there
        return
    for kind, texts in messages.items():
        if not texts:
            continue
        there = attributes.get(kind, [])
        if not isinstance(there, list) or (kind in attributes and kind not in lists["new"] + lists["old"]):
            raise DamagedError(
                f"a message of connect-flash waits under {quote(kind)}, which is also an attribute's name, so that "
                "one of the two would be lost: copy again when the user has seen it"
            )
        attributes[kind] = there + texts
        lists["old"] = [key for key in lists["old"] if key != kind]
        lists["new"] = [*lists["new"], *([] if kind in lists["new"] else [kind])]
