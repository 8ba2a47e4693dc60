"""AES-256 in counter mode, by the fastest package that is installed.

    aes = choose()(key)
    aes.apply(start, b"text")   # encrypts, and decrypts: in this mode it is the same

The package cryptography (OpenSSL) is used if it is installed, otherwise pycryptodome. They write the same bytes. For
300 of them cryptography takes 0.8 µs and pycryptodome 13, most of it to set up a cipher that cryptography uses again.

Neither is imported before an encrypter is made, since most programs encrypt nothing.
"""

from __future__ import annotations

from typing import Any, Protocol


class CounterMode(Protocol):
    """AES-256 in counter mode under one key."""

    def __init__(self, key: bytes) -> None:
        """Take a key of 32 bytes."""

    def apply(self, start: bytes, data: bytes) -> bytes:
        """Encrypt or decrypt, with a counter of 128 bits that starts with 16 bytes."""


def choose() -> type[CounterMode]:
    """Return the class to use in this environment."""
    try:
        from cryptography.hazmat.primitives.ciphers import CipherContext
    except ImportError:
        return PyCryptodome
    return OpenSSL if hasattr(CipherContext, "reset_nonce") else PyCryptodome  # since 43


class OpenSSL:
    """Counter mode by the package cryptography, from version 43 on."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16)))
        self._idle: list[Any] = []

    def apply(self, start: bytes, data: bytes) -> bytes:
        """See `CounterMode.apply`."""
        try:  # a context in use is not in the list, so that no other thread can change its counter
            context = self._idle.pop()
        except IndexError:
            context = self._cipher.encryptor()
        context.reset_nonce(start)
        result: bytes = context.update(data)
        self._idle.append(context)
        return result


class PyCryptodome:
    """Counter mode by pycryptodome, which is always installed."""

    def __init__(self, key: bytes) -> None:
        from Crypto.Cipher import AES

        self._aes = AES
        self._key = key

    def apply(self, start: bytes, data: bytes) -> bytes:
        """See `CounterMode.apply`."""
        cipher = self._aes.new(self._key, self._aes.MODE_CTR, nonce=b"", initial_value=start)
        return cipher.encrypt(data)
