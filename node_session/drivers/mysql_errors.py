"""The errors of MySQL and MariaDB, by their numbers."""

from __future__ import annotations

from asyncmy.errors import MySQLError

from .server_client import TOO_LONG, TOO_SMALL, ServerClient

_DUPLICATE_KEY, _NO_TABLE, _DEADLOCK, _HELD = 1062, 1146, 1213, 1205
_CURES: dict[object, str] = {1406: TOO_LONG, 1264: TOO_SMALL}
_READ_ONLY = (1290, 1792, 1836, 1047)  # the last one: a node that has left its Galera cluster
_LOST = (1053, 1927, 2006, 2013, 2055)  # shut down, killed, gone


class RefusedError(MySQLError):
    """An error that we raise ourselves; nothing was done."""


class MysqlErrors(ServerClient):
    """Understands the errors of asyncmy."""

    failures = (MySQLError, RuntimeError)  # the latter, if a package that its kind of password needs is missing

    def _is_duplicate(self, error: Exception) -> bool:
        return _code(error) == _DUPLICATE_KEY

    def _is_no_table(self, error: Exception) -> bool:
        return _code(error) == _NO_TABLE

    def _is_broken_off(self, error: Exception) -> bool:
        return _code(error) == _DEADLOCK

    def _cure(self, error: Exception) -> str:
        return _CURES.get(_code(error), "")

    def _is_held(self, error: Exception) -> bool:
        return _code(error) == _HELD

    def _is_read_only(self, error: BaseException) -> bool:
        return _code(error) in _READ_ONLY

    def _is_lost(self, error: BaseException) -> bool:
        return _code(error) in _LOST or isinstance(error, OSError)

    def _leaves_it_usable(self, error: BaseException) -> bool:
        code = _code(error)  # asyncmy has numbers of its own, from 2000 on
        return isinstance(error, RefusedError) or (isinstance(code, int) and code >= 1000 and not 2000 <= code < 3000)


def _code(error: BaseException) -> object:
    return error.args[0] if isinstance(error, MySQLError) and error.args else None
