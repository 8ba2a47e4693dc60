"""This package's encryption: without the secret, nobody can read or change a text.

    encrypter = AuthenticatedEncrypter(["a secret of 32 characters or more"])
    text = encrypter.encrypt('{"user":1}', session_id)    # {"v":2,"k":"…","ct":"…","mac":"…"}
    encrypter.decrypt(text, session_id)                   # '{"user":1}'

AES-256 in counter mode, then HMAC-SHA256 of the result. HKDF derives a key for each of them from the secret. The
counter of each text starts with 16 random bytes. The MAC covers the session's id, the version of the format, the name
of the key and the base64 text itself, so that no bit of a text can be changed, and no text can be put under another id.

Why not AES-GCM, which is both in one? Without the package cryptography (see `node_session.aes`), pycryptodome computes
its authentication without the processor's instructions for it: 66 to 116 µs for a text of 300 bytes, where counter mode
and HMAC take 16. Also, an HMAC is valid under one key only, which matters if a text may be under any of several
secrets.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from secrets import token_bytes

from . import aes
from .encrypted_text import is_authenticated, unknown_secret
from .errors import DamagedError
from .legacy_encryption import LegacyEncrypter


class AuthenticatedEncrypter:
    """Authenticated encryption, bound to the session's id.

    Args:
        secrets: The first one encrypts, all decrypt. Texts of the npm original are decrypted as well.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        keys = [_Keys(secret) for secret in secrets]
        self._first = keys[0]
        self._by_name = {each.name: each for each in reversed(keys)}
        self._legacy = LegacyEncrypter(secrets)
        self._head = f'{{"v":2,"k":"{self._first.name}",'

    def encrypt(self, text: str, session_id: str) -> str:
        """See `SessionEncrypter.encrypt`."""
        keys = self._first
        start = token_bytes(16)
        encrypted = start + keys.aes.apply(start, text.encode())
        head = f'{{"v":2,"k":"{keys.name}","ct":"{_to_base64(encrypted)}"'
        return f'{head},"mac":"{keys.mac(session_id, head)}"}}'

    def decrypt(self, text: str, session_id: str) -> str:
        """See `SessionEncrypter.decrypt`."""
        if not is_authenticated(text):
            return self._legacy.decrypt(text, session_id)
        head, encoded, mac = text[:-53], text[28:-54], text[-45:-2]
        keys = self._by_name.get(text[12:20])
        if keys is None:
            raise unknown_secret("encrypted under none of the secrets")
        if not hmac.compare_digest(keys.mac(session_id, head), mac):
            raise DamagedError("its encrypted text was changed, or is another session's")
        encrypted = _from_base64(encoded)
        return keys.aes.apply(encrypted[:16], encrypted[16:]).decode()

    def is_current(self, text: str) -> bool:
        """See `SessionEncrypter.is_current`."""
        return text.startswith(self._head)


class _Keys:
    """The keys of one secret: one for each purpose, so that none weakens another."""

    def __init__(self, secret: str) -> None:
        from Crypto.Hash import SHA256
        from Crypto.Protocol.KDF import HKDF

        master = secret.encode("utf-8", "surrogatepass")

        def derive(purpose: bytes, length: int) -> bytes:
            key = HKDF(master, length, b"node_session", SHA256, context=purpose)
            return key if isinstance(key, bytes) else key[0]

        self.aes = aes.choose()(derive(b"session encryption", 32))
        self._keyed = hmac.new(derive(b"session authentication", 32), digestmod="sha256")
        self.name = _to_base64(derive(b"key name", 6))

    def mac(self, session_id: str, head: str) -> str:
        # An id has no brace and a head begins with one, so that two different pairs never join to the same text.
        mac = self._keyed.copy()  # faster than to begin with the key each time
        mac.update((session_id + head).encode())
        return _to_base64(mac.digest())


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    return binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
