"""AES-256 in counter mode, by whichever package does it fastest.

    aes = choose()(key)
    aes.apply(start, b"what is to be encrypted, or decrypted, which is the same")

The package cryptography, which is OpenSSL, is used where it is installed; otherwise pycryptodome. They write the same
bytes, but for 300 of them one takes 0.8 µs and the other 13, most of it to set up what cryptography can use again.

Nothing is imported before an encrypter is made: most programs encrypt nothing.
"""

from __future__ import annotations

from typing import Any, Protocol


class CounterMode(Protocol):
    """What encryption needs of AES."""

    def __init__(self, key: bytes) -> None:
        """Take a key of 32 bytes."""

    def apply(self, start: bytes, data: bytes) -> bytes:
        """Encrypt, or decrypt, with a counter of 128 bits, which starts with these 16 bytes."""


def choose() -> type[CounterMode]:
    """The class to use in this environment."""
    try:
        from cryptography.hazmat.primitives.ciphers import CipherContext
    except ImportError:
        return PyCryptodome
    return OpenSSL if hasattr(CipherContext, "reset_nonce") else PyCryptodome  # it has been there since 43


class OpenSSL:
    """By the package cryptography, from 43 on."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16)))
        self._idle: list[Any] = []

    def apply(self, start: bytes, data: bytes) -> bytes:
        """See `CounterMode.apply`."""
        try:  # what is in use is not in the list, so that no other thread can change its counter meanwhile
            context = self._idle.pop()
        except IndexError:
            context = self._cipher.encryptor()
        context.reset_nonce(start)
        result: bytes = context.update(data)
        self._idle.append(context)
        return result


class PyCryptodome:
    """By pycryptodome, which is always there."""

    def __init__(self, key: bytes) -> None:
        from Crypto.Cipher import AES

        self._aes = AES
        self._key = key

    def apply(self, start: bytes, data: bytes) -> bytes:
        """See `CounterMode.apply`."""
        cipher = self._aes.new(self._key, self._aes.MODE_CTR, nonce=b"", initial_value=start)
        return cipher.encrypt(data)
