"""Encryption of stored sessions: ours, the original's, and a program's own.

    encrypter = Encrypter(["a secret of 32 characters or more"])
    text = encrypter.encrypt('{"user":1}', session_id)    # {"v":2,"k":"…","ct":"…","mac":"…"}
    encrypter.decrypt(text, session_id)                   # '{"user":1}'

`Encrypter` uses AES-256 in counter mode and then HMAC-SHA256 over the result, each under a key of its own, derived
from the secret by HKDF. The start of the counter is 16 random bytes for each text. The MAC covers the session's id, the
version of the format, the name of the key and the base64 text itself, so that not a bit of a text can change, and no
text can be put under another id.

Why not AES-GCM, which does both in one? pycryptodome, where nothing faster is installed (see `node_session.aes`),
computes its authentication without help of the processor: 66 to 116 µs a text of 300 bytes, where counter mode and HMAC
take 16. And a MAC by HMAC holds under one key only, which counts where a text may be under any of several secrets.

Texts of the original can be read, too. It encrypts every text with the same key stream, so whoever has two of them
knows what both say; `LegacyEncrypter` writes that format for as long as a Node program reads the same store.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from secrets import token_bytes
from typing import Any, Protocol

from . import aes
from .errors import ConfigError, DamagedError, MismatchError, UnavailableError

# What is around the key's name (8 characters), the encrypted text and the MAC (43). It is looked for by position, as a
# regular expression takes longer than the decryption of a long text; what is in between is the MAC's business.
_FORM = ('{"v":2,"k":"', '","ct":"', '","mac":"', '"}')
_SHORTEST = len("".join(_FORM)) + 8 + 43

_STARTS = (_FORM[0], '{"ct":"')
_is_legacy = re.compile(r'\{"ct":"[A-Za-z0-9+/]*={0,2}","mac":"[A-Za-z0-9+/]{27}="\}').fullmatch


class AnyEncrypter(Protocol):
    """What a session needs of an encrypter."""

    def encrypt(self, text: str, session_id: str) -> str:
        """The text to store."""

    def decrypt(self, text: str, session_id: str) -> str:
        """The text that was encrypted.

        Raises:
            DamagedError: The text was not encrypted for this session under a known secret, or has been changed.
            MismatchError: It may be whole; but it is not encrypted, or otherwise than here.
        """

    def is_current(self, text: str) -> bool:
        """Whether a text that was decrypted is in the format and under the secret in which it would be written now."""


def choose(encrypt: bool | str, secrets: Sequence[str]) -> AnyEncrypter | None:
    """The encrypter that the option `encrypt` asks for; None for none."""
    if not encrypt:
        return None
    return LegacyEncrypter(secrets) if encrypt == "legacy" else Encrypter(secrets)


class Encrypter:
    """Authenticated encryption; see the module.

    Args:
        secrets: The first encrypts; all decrypt, the original's texts as well.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        keys = [_Keys(secret) for secret in secrets]
        self._first = keys[0]
        self._by_name = {each.name: each for each in reversed(keys)}
        self._legacy = LegacyEncrypter(secrets)
        self._head = f'{{"v":2,"k":"{self._first.name}",'

    def encrypt(self, text: str, session_id: str) -> str:
        """See `AnyEncrypter.encrypt`."""
        keys = self._first
        start = token_bytes(16)
        encrypted = start + keys.aes.apply(start, text.encode())
        head = f'{{"v":2,"k":"{keys.name}","ct":"{_to_base64(encrypted)}"'
        return f'{head},"mac":"{keys.mac(session_id, head)}"}}'

    def decrypt(self, text: str, session_id: str) -> str:
        """See `AnyEncrypter.decrypt`."""
        if not _is_ours(text):
            return self._legacy.decrypt(text, session_id)
        head, encoded, mac = text[:-53], text[28:-54], text[-45:-2]
        keys = self._by_name.get(text[12:20])
        if keys is None:
            raise _unknown_secret("encrypted under none of the secrets")
        if not hmac.compare_digest(keys.mac(session_id, head), mac):
            raise DamagedError("its encrypted text was changed, or is another session's")
        encrypted = _from_base64(encoded)
        return keys.aes.apply(encrypted[:16], encrypted[16:]).decode()

    def is_current(self, text: str) -> bool:
        """See `AnyEncrypter.is_current`."""
        return text.startswith(self._head)


class _Keys:
    """What is derived from one secret. A key for each purpose, so that none weakens another."""

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
        # An id has no brace and a head begins with one, so what is joined here can be taken apart in one way only.
        mac = self._keyed.copy()  # which spares making the key anew
        mac.update((session_id + head).encode())
        return _to_base64(mac.digest())


class LegacyEncrypter:
    """The format of npm's encrypter, as the original uses it: ``{"ct":"…","mac":"…"}``.

    AES-256 in counter mode, key and start of the counter from EVP_BytesToKey (MD5, no salt, one round) over the secret;
    HMAC-SHA1 over the base64 text.

    Args:
        secrets: The first encrypts, all decrypt.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [_LegacyKeys(secret) for secret in secrets]

    def encrypt(self, text: str, session_id: str) -> str:
        """See `AnyEncrypter.encrypt`; the id has no part in it."""
        keys = self._keys[0]
        encoded = base64.b64encode(keys.apply(text.encode())).decode()
        return f'{{"ct":"{encoded}","mac":"{keys.mac(encoded)}"}}'

    def decrypt(self, text: str, session_id: str) -> str:
        """See `AnyEncrypter.decrypt`; the id has no part in it."""
        if _is_ours(text):
            raise MismatchError("encrypted, but not in the original's format", "should encrypt be true, not 'legacy'?")
        try:
            parts = json.loads(text)
            encoded, mac = parts["ct"].encode("ascii"), parts["mac"].encode("ascii")
            encrypted = base64.b64decode(encoded, validate=True)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
            _refuse_plain(text)
            raise DamagedError("it is not an encrypted session") from None
        for keys in self._keys:
            if hmac.compare_digest(keys.mac(encoded.decode()).encode(), mac):
                try:
                    return keys.apply(encrypted).decode()
                except UnicodeDecodeError:
                    break
        raise _unknown_secret("encrypted under none of the secrets, or changed")

    def is_current(self, text: str) -> bool:
        """See `AnyEncrypter.is_current`."""
        if len(self._keys) == 1:
            return True
        parts = json.loads(text)
        return hmac.compare_digest(self._keys[0].mac(parts["ct"]), parts["mac"])


class _LegacyKeys:
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


class CustomEncrypter:
    """Adapts an encrypter of the program's own: an object with ``encrypt(text)`` and ``decrypt(text)``.

    Raises:
        ConfigError: It has no such methods.
    """

    def __init__(self, encrypter: Any) -> None:
        missing = [name for name in ("encrypt", "decrypt") if not callable(getattr(encrypter, name, None))]
        if missing:
            raise ConfigError(
                f"{type(encrypter).__name__} cannot be an encrypter: it has no method {', '.join(missing)}. "
                "An encrypter needs encrypt(text) and decrypt(text), which return text."
            )
        self._encrypter = encrypter

    def encrypt(self, text: str, session_id: str) -> str:
        """See `AnyEncrypter.encrypt`; the id is not passed on."""
        return self._text("encrypt", self._encrypter.encrypt(text))

    def decrypt(self, text: str, session_id: str) -> str:
        """See `AnyEncrypter.decrypt`; any exception but `UnavailableError` means that it refuses the text."""
        try:
            return self._text("decrypt", self._encrypter.decrypt(text))
        except UnavailableError:  # of a service that keeps its keys, say: the text may be whole
            raise
        except Exception as error:
            if not text:
                raise DamagedError("its text is empty") from error
            # Only the encrypter could tell a damaged text from one under another key, and it does not say.
            raise MismatchError(
                f"its encrypter refused it: {type(error).__name__}",
                "are the store's records encrypted, and by this encrypter with this key?",
            ) from error

    def is_current(self, text: str) -> bool:
        """See `AnyEncrypter.is_current`; only the encrypter itself could tell."""
        return True

    def _text(self, method: str, result: Any) -> str:
        if not isinstance(result, str):
            raise TypeError(
                f"{type(self._encrypter).__name__}.{method}() returned {type(result).__name__}; it must return str"
            )
        return result


def refuse_encrypted(text: str) -> None:
    """Look at a text that is to be read without an encrypter of this package.

    An encrypted text is JSON, too. Taken for a session, it would be lost with the first change.

    Raises:
        MismatchError: It is encrypted.
    """
    if text.startswith(_STARTS) and (_is_ours(text) or _is_legacy(text)):
        raise MismatchError("encrypted, although encrypt is not set", "is encrypt missing in this config?")


def _refuse_plain(text: str) -> None:
    try:
        is_plain = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return
    if is_plain:
        raise MismatchError(
            "not encrypted, although encrypt is set", "is encrypt set for a store whose records are not encrypted?"
        )


def _unknown_secret(message: str) -> MismatchError:
    return MismatchError(message, "is secret another one, or an old one missing from its list?")


def _is_ours(text: str) -> bool:
    """Whether a text has the form of `Encrypter`."""
    return len(text) >= _SHORTEST and (text[:12], text[20:28], text[-54:-45], text[-2:]) == _FORM and text.isascii()


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    return binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
