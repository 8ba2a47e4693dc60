"""Encrypted texts in a store: recognize them; errors if the config does not fit.

is_authenticated('{"v":2,"k":"…","ct":"…","mac":"…"}')   # True: by `node_session.authenticated_encryption`
is_legacy('{"ct":"…","mac":"…"}')                        # True: by `node_session.legacy_encryption`
"""

from __future__ import annotations

import json
import re

from .errors import MismatchError

# The parts around the key's name (8 characters), the encrypted text and the MAC (43). They are compared by position,
# since a regular expression takes longer than the decryption of a long text. The MAC covers what is between them.
_PARTS = ('{"v":2,"k":"', '","ct":"', '","mac":"', '"}')
_SHORTEST = len("".join(_PARTS)) + 8 + 43

_STARTS = (_PARTS[0], '{"ct":"')
_is_legacy = re.compile(r'\{"ct":"[A-Za-z0-9+/]*={0,2}","mac":"[A-Za-z0-9+/]{27}="\}').fullmatch


def is_authenticated(text: str) -> bool:
    """Whether a text has the form that `AuthenticatedEncrypter` writes."""
    return len(text) >= _SHORTEST and (text[:12], text[20:28], text[-54:-45], text[-2:]) == _PARTS and text.isascii()


def is_legacy(text: str) -> bool:
    """Whether a text has the form that the npm original and `LegacyEncrypter` write."""
    return _is_legacy(text) is not None


def refuse_encrypted(text: str) -> None:
    """Raise an error if a text is encrypted, before it is read as a plain one.

    An encrypted text is JSON, too. Taken for a session, it would be lost with the first change.

    Raises:
        MismatchError: It is encrypted.
    """
    if text.startswith(_STARTS) and (is_authenticated(text) or is_legacy(text)):
        raise MismatchError("encrypted, although encrypt is not set", "is encrypt missing in this config?")


def refuse_plain(text: str) -> None:
    """Raise an error if a text that cannot be decrypted is a plain session.

    Raises:
        MismatchError: It is one.
    """
    try:
        is_plain = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return
    if is_plain:
        raise MismatchError(
            "not encrypted, although encrypt is set", "is encrypt set for a store whose records are not encrypted?"
        )


def unknown_secret(message: str) -> MismatchError:
    """Make the error for a text that no secret of the config decrypts."""
    return MismatchError(message, "is secret another one, or an old one missing from its list?")
