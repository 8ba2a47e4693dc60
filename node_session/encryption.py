"""The encrypter of stored sessions: the config's choice, or a program's own.

    encrypter = choose(config.encrypt, config.secret)     # a `SessionEncrypter`, or None
    encrypter = CustomEncrypter(VaultEncrypter())         # the same, made of a program's own `Encrypter`

The formats are in `node_session.authenticated_encryption` (``encrypt: true``) and `node_session.legacy_encryption`
(``encrypt: "legacy"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .authenticated_encryption import AuthenticatedEncrypter
from .encrypted_text import refuse_encrypted
from .errors import ConfigError, DamagedError, MismatchError, UnavailableError
from .legacy_encryption import LegacyEncrypter

__all__ = ["CustomEncrypter", "Encrypter", "SessionEncrypter", "choose", "refuse_encrypted"]


class Encrypter(Protocol):
    """An encrypter of a program's own, for `NodeSession` and `set_encrypter`.

    Both methods are called in the event loop, so they should be quick. `UnavailableError` says that the service that
    keeps the keys does not answer; the client gets a 503, and the record stays as it is.
    """

    def encrypt(self, text: str, /) -> str:
        """Return the text to store."""

    def decrypt(self, text: str, /) -> str:
        """Return the text that was encrypted; raise any exception if there is none."""


class SessionEncrypter(Protocol):
    """An encrypter as sessions use it: it may bind a text to the session's id."""

    def encrypt(self, text: str, session_id: str) -> str:
        """Return the text to store."""

    def decrypt(self, text: str, session_id: str) -> str:
        """Return the text that was encrypted.

        Raises:
            DamagedError: The text was not encrypted for this session under a known secret, or has been changed.
            MismatchError: It may be whole, but it is not encrypted, or in another format or under another key.
        """

    def is_current(self, text: str) -> bool:
        """Whether a decrypted text has the format and the secret of a new one."""


def choose(encrypt: bool | str, secrets: Sequence[str]) -> SessionEncrypter | None:
    """Make the encrypter that the option `encrypt` asks for; None for no encryption."""
    if not encrypt:
        return None
    return LegacyEncrypter(secrets) if encrypt == "legacy" else AuthenticatedEncrypter(secrets)


class CustomEncrypter:
    """A `SessionEncrypter` made of a program's own `Encrypter`.

    Raises:
        ConfigError: A method is missing.
    """

    def __init__(self, encrypter: Encrypter) -> None:
        missing = [name for name in ("encrypt", "decrypt") if not callable(getattr(encrypter, name, None))]
        if missing:
            raise ConfigError(
                f"{type(encrypter).__name__} cannot be an encrypter: it has no method {', '.join(missing)}. "
                "An encrypter needs encrypt(text) and decrypt(text), which return text."
            )
        self._encrypter = encrypter

    def encrypt(self, text: str, session_id: str) -> str:
        """See `SessionEncrypter.encrypt`; the id is not passed on."""
        return self._checked("encrypt", self._encrypter.encrypt(text))

    def decrypt(self, text: str, session_id: str) -> str:
        """See `SessionEncrypter.decrypt`.

        Any exception but `UnavailableError` means that the encrypter refuses the text.
        """
        try:
            return self._checked("decrypt", self._encrypter.decrypt(text))
        except UnavailableError:  # for example of a service that keeps its keys: the text may be whole
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
        """See `SessionEncrypter.is_current`; only the encrypter itself could tell."""
        return True

    def _checked(self, method: str, result: object) -> str:
        if not isinstance(result, str):
            raise TypeError(
                f"{type(self._encrypter).__name__}.{method}() returned {type(result).__name__}; it must return str"
            )
        return result
