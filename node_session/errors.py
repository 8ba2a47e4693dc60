"""Every error this package raises, in one small tree.

Whoever wants to catch them all catches `SessionError`. Most also derive from the built-in error a caller would
expect (a bad value is a `ValueError`, a value JSON cannot hold a `TypeError`), so that no import is needed to
handle them.
"""

from __future__ import annotations


class SessionError(Exception):
    """Base of every error of this package."""


class ConfigError(SessionError, ValueError):
    """The configuration cannot be used. The message lists everything that is wrong with it, not just the first."""


class ConfigWarning(UserWarning):
    """The configuration can be used, but probably does not say what its author meant."""


class PathError(SessionError, ValueError):
    """A value cannot be stored under this key, such as a name inside a list."""


class SerializationError(SessionError, TypeError):
    """The session holds a value that JSON has no form for, that is nested too deep, or a key ``__proto__``.

    The message names the key. Nothing was written.
    """


class TooLargeError(SerializationError):
    """The session takes more bytes than the option `maxSize` allows. The message names the key that takes most.

    Nothing was written; what was stored before stays.
    """


class DamagedError(SessionError, ValueError):
    """A record was read, but its text is not a session: cut off, not JSON, of the wrong shape, or tampered with.

    Args:
        message: What is wrong with it.
        idle: Milliseconds since the record's last activity, where a driver raises this and knows that.
    """

    def __init__(self, message: str, idle: float = float("inf")) -> None:
        super().__init__(message)
        self.idle = idle


class MismatchError(DamagedError):
    """A record may be whole, but this config cannot read it: `encrypt` or `secret` is not the one it was written with.

    It is left where it is, so that it can be read again when the config is corrected.

    Args:
        message: What the record is.
        cure: What to look at in the config.
    """

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


class ConflictError(SessionError):
    """A driver did not write, since the record is no longer the one that was read."""


class UnavailableError(SessionError):
    """The store cannot be reached or does not answer in time. Over HTTP: 503; nothing is lost, nothing is written."""


class UnreadableError(UnavailableError):
    """A record may be there, but the store cannot tell. Never to be taken for "no session"."""


class GoneError(SessionError):
    """The session was destroyed by another request or has expired, so that nothing can be saved in it any more."""


class HeadersSentError(SessionError, RuntimeError):
    """The session's id changed after the response's headers had gone out, so the client would never learn of it."""
