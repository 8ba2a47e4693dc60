"""The `connection` option: a database's address and our account, checked once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ssl import SSLContext, create_default_context
from typing import Any
from urllib.parse import unquote, urlsplit

POOL_SIZE = 10


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The address of a database. Nothing secret of it shows in its repr or in `where`."""

    adapter: str
    """The database, by the original's name for it or a plain one."""

    host: str = "127.0.0.1"
    """Name or address of the server."""

    port: int | None = None
    """None: the database's usual one."""

    user: str | None = None
    """Who we are there."""

    password: str | None = field(default=None, repr=False)
    """An empty one is no password, as in the example of the original."""

    database: str | None = None
    """Name of the database; for SQLite the path of its file; for Redis a number."""

    url: str | None = field(default=None, repr=False)
    """All of the above in one, in place of it."""

    client: Any = field(default=None, repr=False)
    """A client that the program has made, in place of one of our own (MongoDB)."""

    ssl: bool | SSLContext = False
    """Speak TLS; true: with the checks of Python's default context."""

    prepared_statements: bool = True
    """False for a PgBouncer in transaction mode, on which PostgreSQL's prepared statements collide."""

    stringify: bool = True
    """False if new records of the format express-session are documents, as with connect-mongo's option (MongoDB)."""

    timeout: float = 5_000
    """Milliseconds a database may take to answer, connecting and waiting for a connection included."""

    pool_size: int | None = None
    """Connections a process opens at most, for each of its event loops; None: 10, of Redis 50."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any], adapter: str) -> tuple[Connection | None, list[str]]:
        """Check the options; gives a connection or the problems.

        No problem quotes a password or a URL.
        """
        problems = []
        values: dict[str, Any] = {"adapter": adapter}
        for name, value in options.items():
            if name in _CHECKS:
                expected, check = _CHECKS[name]
                if value is None or check(value):
                    values[_FIELDS.get(name, name)] = value
                else:
                    shown = repr(value)
                    if name == "url" and isinstance(value, str):
                        shown = "this one (not shown: it may hold a password)"
                    elif name in ("password", "url", "client"):
                        shown = type(value).__name__
                    problems.append(f"{name}: must be {expected}, not {shown}")
            elif name != "adapter":
                # Other options may be Waterline's: the same dict configures the original. Only a slip is a problem.
                meant = _meant_by(str(name))
                if meant is not None:
                    problems.append(f"{name}: is not known; did you mean {meant!r}?")
        if problems:
            return None, problems
        for name in ("port", "database"):
            if isinstance(values.get(name), (int, str)):
                values[name] = int(values[name]) if name == "port" else str(values[name])
        return cls(**{name: value for name, value in values.items() if value is not None and value != ""}), []

    @property
    def tls(self) -> SSLContext | None:
        """The context for TLS; None: no TLS."""
        return create_default_context() if self.ssl is True else self.ssl or None

    @property
    def seconds(self) -> float:
        """The time limit, in seconds."""
        return self.timeout / 1000

    def parsed(self, default_port: int) -> Connection:
        """Put the parts of the URL, if there is one, into their fields."""
        if self.url is None:
            return self if self.port else _replace(self, port=default_port)
        parts = urlsplit(self.url)
        return _replace(
            self,
            url=None,
            host=parts.hostname or self.host,
            port=parts.port or default_port,
            user=unquote(parts.username) if parts.username else self.user,
            password=unquote(parts.password) if parts.password else self.password,
            database=unquote(parts.path.lstrip("/")) or self.database,
        )

    @property
    def urls(self) -> list[str]:
        """One URL for each of the servers that the URL names, with commas."""
        parts = urlsplit(self.url or "")
        user, at, hosts = parts.netloc.rpartition("@")
        return [parts._replace(netloc=f"{user}{at}{host}").geturl() for host in hosts.split(",")]

    @property
    def where(self) -> str:
        """The name of the database for messages, without user and password."""
        if self.url is not None:
            parts = urlsplit(self.url)
            return f"{self.adapter} at {parts.netloc.rpartition('@')[2]}{parts.path}"
        port = "" if self.port is None else f":{self.port}"
        return f"{self.adapter} at {self.host}{port}" + (f"/{self.database}" if self.database else "")


def _meant_by(name: str) -> str | None:
    """Guess which option is meant by an unknown name; None: it may be Waterline's."""
    if name in _WATERLINE:
        return None
    plain = name.replace("_", "").replace("-", "").lower()
    spelling = {each.lower(): each for each in (*_CHECKS, "adapter")}
    near = difflib.get_close_matches(plain, spelling, n=1, cutoff=0.8)
    return _OTHER_NAMES.get(plain) or (spelling[near[0]] if near else None)


def _replace(connection: Connection, **changes: Any) -> Connection:
    return Connection(**{**connection.__dict__, **changes})


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_port(value: object) -> bool:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) is not None:
        value = int(value)
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _is_url(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or not parts.scheme:
            return False
        # A password with a sign that ends the host would be shown as the path.
        if "@" in parts.path + parts.query + parts.fragment:
            return False
        # Some name several hosts, whose ports urlsplit cannot parse; with one host it raises on a bad port.
        hosts = parts.netloc.rpartition("@")[2].split(",")
        return all(urlsplit("//" + host).port != 0 for host in hosts)
    except ValueError:
        return False


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 3_600_000


# What other libraries call them. No adapter of Waterline has an option of these names.
_OTHER_NAMES = {
    "hostname": "host",
    "server": "host",
    "username": "user",
    "pass": "password",
    "passwd": "password",
    "pwd": "password",
    "db": "database",
    "dbname": "database",
    "uri": "url",
    "dsn": "url",
    "tls": "ssl",
    "driver": "adapter",
    "dialect": "adapter",
}

# Options of Waterline's adapters that are spelt much like one of ours.
_WATERLINE = frozenset({"wtimeout"})

_FIELDS = {"poolSize": "pool_size", "preparedStatements": "prepared_statements"}

_CHECKS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "host": ("the name or address of a server", _is_text),
    "port": ("a number from 1 to 65535", _is_port),
    "user": ("a string", _is_text),
    "password": ("a string", _is_text),
    "database": (
        "a name, a path or a number",
        lambda value: isinstance(value, (str, int)) and not isinstance(value, bool),
    ),
    "url": (
        "a URL such as 'postgresql://user:password@host:5432/database' or 'redis://:password@host:6379/0', signs like "
        "'/', '?', '#', '@' of a password percent-encoded",
        _is_url,
    ),
    "client": ("a client object", lambda value: not isinstance(value, (str, int, float, list, dict))),
    "ssl": ("true, false or an ssl.SSLContext", lambda value: isinstance(value, (bool, SSLContext))),
    "preparedStatements": ("true or false", lambda value: isinstance(value, bool)),
    "stringify": ("true or false", lambda value: isinstance(value, bool)),
    "timeout": ("a number of milliseconds, 3600000 at most", _is_time),
    "poolSize": ("a whole number from 1 on", _is_count),
}
