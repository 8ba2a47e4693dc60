"""Every error this package raises, in one small tree.

Catch `SessionError` to catch them all. Most also derive from the built-in error that a caller would expect (a bad value
is a `ValueError`, a value that JSON cannot hold is a `TypeError`), so that handling them needs no import.
"""

from __future__ import annotations


class SessionError(Exception):
    """Base of every error of this package."""


class ConfigError(SessionError, ValueError):
    """The config cannot be used. The message lists all its errors, not just the first."""


class ConfigWarning(UserWarning):
    """The config can be used, but probably does not say what its author meant."""


class PathError(SessionError, ValueError):
    """A value cannot be stored under this key, such as a name inside a list."""


class SerializationError(SessionError, TypeError):
    """The session holds a value that cannot be stored.

    JSON has no form for it, it is nested too deep, or it has a key ``__proto__``. The message names the key. Nothing
    was written.
    """


class TooLargeError(SerializationError):
    """The session takes more bytes than the option `maxSize` allows.

    The message names the largest key. Nothing was written; the stored record stays.
    """


class DamagedError(SessionError, ValueError):
    """A record is not a session: cut off, not JSON, of another shape, tampered with.

    Args:
        message: The problem.
        idle: Milliseconds since the record's last activity, if a driver raises this and knows it.

    Attributes:
        idle: As given.
        version: The driver's version of the record; None if unknown.
    """

    version: object = None

    def __init__(self, message: str, idle: float = float("inf")) -> None:
        super().__init__(message)
        self.idle = idle


class MismatchError(DamagedError):
    """A record was written with another `encrypt` or `secret` than this config has.

    It may be whole, so it stays, and can be read again when the config is corrected.

    Args:
        message: The form of the record.
        cure: The option to correct.
    """

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


class NotTextError(DamagedError):
    """A record is not text."""


class UnsupportedError(SessionError):
    """A record is another program's, in a form that the option `format` does not support.

    It may be whole, so it stays. The message names the cause. Over HTTP: 500; nothing is written, no cookie is sent.
    """


class ConflictError(SessionError):
    """A driver did not write, since the record is no longer the one that was read."""


class UnavailableError(SessionError):
    """The store cannot be reached or does not answer in time.

    Over HTTP: 503. Nothing is lost, nothing is written.
    """


class UnreadableError(UnavailableError):
    """A record may exist, but the store cannot tell: not to be taken for "no session"."""


class GoneError(SessionError):
    """The session was destroyed by another request or has expired: it cannot be saved."""


class HeadersSentError(SessionError, RuntimeError):
    """The session's id was to change after the response's headers were sent.

    The client would never get the new id.
    """
