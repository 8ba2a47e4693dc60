"""The npm original's encryption, as long as a Node program reads the same store.

    encrypter = LegacyEncrypter(["a secret of 32 characters or more"])
    text = encrypter.encrypt('{"user":1}', session_id)    # {"ct":"…","mac":"…"}

It encrypts every text with the same key stream, so that two texts together tell what both say. It does not bind a text
to its session. `node_session.authenticated_encryption` has neither fault, and reads these texts, too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence

from . import aes
from .encrypted_text import is_authenticated, refuse_plain, unknown_secret
from .errors import DamagedError, MismatchError


class LegacyEncrypter:
    """The format of npm's package encrypter, as the original uses it.

    AES-256 in counter mode; the key and the start of the counter come from EVP_BytesToKey (MD5, no salt, one round) of
    the secret. HMAC-SHA1 of the base64 text.

    Args:
        secrets: The first one encrypts, all decrypt.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [_Keys(secret) for secret in secrets]

    def encrypt(self, text: str, session_id: str) -> str:
        """See `SessionEncrypter.encrypt`; the id is not used."""
        keys = self._keys[0]
        encoded = base64.b64encode(keys.apply(text.encode())).decode()
        return f'{{"ct":"{encoded}","mac":"{keys.mac(encoded)}"}}'

    def decrypt(self, text: str, session_id: str) -> str:
        """See `SessionEncrypter.decrypt`; the id is not used."""
        if is_authenticated(text):
            raise MismatchError("encrypted, but not in the original's format", "should encrypt be true, not 'legacy'?")
        try:
            parts = json.loads(text)
            encoded, mac = parts["ct"].encode("ascii"), parts["mac"].encode("ascii")
            encrypted = base64.b64decode(encoded, validate=True)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
            refuse_plain(text)
            raise DamagedError("it is not an encrypted session") from None
        for keys in self._keys:
            if hmac.compare_digest(keys.mac(encoded.decode()).encode(), mac):
                try:
                    return keys.apply(encrypted).decode()
                except UnicodeDecodeError:
                    break
        raise unknown_secret("encrypted under none of the secrets, or changed")

    def is_current(self, text: str) -> bool:
        """See `SessionEncrypter.is_current`."""
        if len(self._keys) == 1:
            return True
        parts = json.loads(text)
        return hmac.compare_digest(self._keys[0].mac(parts["ct"]), parts["mac"])


class _Keys:
    """The keys and the start of the counter that belong to one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("utf-8", "surrogatepass")
        derived = block = b""
        while len(derived) < 32 + 16:
            block = hashlib.md5(block + self._secret, usedforsecurity=False).digest()
            derived += block
        self._aes, self._start = aes.choose()(derived[:32]), derived[32:48]

    def apply(self, data: bytes) -> bytes:
        return self._aes.apply(self._start, data)

    def mac(self, encoded: str) -> str:
        return base64.b64encode(hmac.digest(self._secret, encoded.encode(), "sha1")).decode()
