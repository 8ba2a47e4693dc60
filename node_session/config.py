"""Every option: its default, its meaning, its unit, its check. A config is read once and is not a raw dict afterwards.

Options are spelt as in the original (camelCase), so that one JSON file configures a Node and a Tornado program; here
they become the fields of `Config` (snake_case). Options that the original does not know are ignored by it.
"""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from . import drivers
from .cookies import is_attribute_value, is_token
from .errors import ConfigError, ConfigWarning
from .proxy import compile_trust

SameSite = Literal["lax", "strict", "none"]

# Browsers keep a cookie for 400 days at most; far beyond a century, the dates in headers cannot be written.
_CENTURY = 100 * 365 * 24 * 60 * 60 * 1000

# In seconds.
_QUARTER = 15 * 60
_DAY = 24 * 60 * 60


@dataclass(frozen=True, kw_only=True)
class Config:
    """The options of a `NodeSession`, checked. Made by `Config.from_dict`.

    A driver's creator receives one; `connection` is passed through as it is, for the driver's own settings.
    """

    secret: tuple[str, ...] = field(repr=False)
    """Signs cookies and encrypts sessions; required. A random string of 32 characters or more, or a list of them:
    the first signs and encrypts, all verify and decrypt."""

    driver: str = "file"
    """Where sessions are kept: `memory`, `file` (alias `native`), `database`, `redis`, or a name given to
    `NodeSession.register_handler`."""

    lifetime: float = 300_000
    """Milliseconds a session may be idle before it expires. 0: the cookie ends with the browser, the record never."""

    expire_on_close: bool = False
    """The cookie ends when the browser is closed; the record still lives for `lifetime`."""

    files: Path = field(default_factory=lambda: Path.cwd() / "sessions")
    """Folder of the file driver. Made, with its parents, when the first session is saved. One that is there belongs to
    the program's user or to root, and nobody else can write into it."""

    connection: Mapping[str, Any] | Literal[False] = field(default=False, repr=False)
    """Where the database or Redis is: see `node_session.drivers.connection.Connection`. False: an SQLite file
    beside `files`, or Redis on this host."""

    table: str = "sessions"
    """Table or collection of the database; for Redis what the keys begin with."""

    lottery: tuple[int, int] = (2, 100)
    """`[2, 100]`: after 2 of 100 requests, expired records are removed."""

    cookie: str = "node_session"
    """Name of the cookie."""

    path: str = "/"
    """Path of the cookie."""

    domain: str | None = None
    """Domain of the cookie; null: this host only."""

    secure: bool | Literal["auto"] = False
    """Send the cookie over https only; `auto`: over both, and marked as for https only where the request is https."""

    http_only: bool = True
    """Hide the cookie from JavaScript."""

    same_site: SameSite | None = "lax"
    """When the browser sends the cookie along from other sites: `lax`, `strict` or `none`; null leaves it out."""

    partitioned: bool = False
    """A cookie of its own for each site that embeds this one (needs `secure`)."""

    csrf: bool = False
    """`SessionMixin` refuses requests that change something and do not bring the session's CSRF token."""

    save_uninitialized: bool = True
    """Store a session, and send its cookie, even if nothing was put into it. False leaves nothing behind of robots and
    health checks; the CSRF token is then made when it is asked for."""

    absolute_lifetime: float = 0
    """Milliseconds after which a session ends, however active it is; 0: never. Kept in the session as `_created`."""

    regenerate_grace: float = 10_000
    """Milliseconds for which requests that still bring the cookie of a session that was regenerated with destroy=True
    can read what it held. They change nothing, get no cookie, and so do not undo the new one. 0: the old cookie is
    worth nothing immediately, and such a request begins an empty session."""

    bind_name: bool = False
    """Let the cookie's signature cover its name, so that another application's cookie under the same secret is none of
    ours. Not together with the npm original; turned on, everybody has to log in again."""

    hash_ids: bool = False
    """Keep records under a hash of their id, so that who reads the store cannot take over its sessions. Not together
    with the npm original, which would not find them."""

    encrypt: bool | Literal["legacy"] = False
    """Encrypt stored sessions; `legacy` in the original's format, to share a store with it."""

    strict: bool = True
    """A signed id that has no record is replaced by a fresh one; false adopts it, as the original does."""

    durable: bool = False
    """The file driver and SQLite wait until the disk has each record, so that it survives a power cut too."""

    save_timeout: float = 5_000
    """Milliseconds a save may go on merging with what other requests save at the same time."""

    max_size: int = 4_000_000
    """Bytes that a session's JSON text may take, before it is encrypted; 0: any number. A larger one is not written:
    `TooLargeError`. One that is stored already may be changed as long as it gets no larger."""

    trust_proxy: Any = False
    """Whose X-Forwarded-Proto to believe: true, a number of hops, addresses and networks, or a function."""

    trust_proxy_fn: Callable[[str, int], bool] | None = None
    """Used in place of a function made from `trustProxy`, where that is set."""

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Config:
        """Check a config dict.

        Args:
            options: As the original takes it; the names are in camelCase.

        Raises:
            ConfigError: Something in it cannot be used. The message names all that is wrong.

        Warns:
            ConfigWarning: An option nobody knows (the nearest known one is named), or a doubtful value.
        """
        if not isinstance(options, Mapping):
            # Not quoted: a JSON text, for example, has the secret in it.
            raise ConfigError(f"the configuration is a dict of options, not {type(options).__name__}")
        known = {camel_case(each.name): each for each in fields(cls)}
        for name in options:
            if name not in known:
                warnings.warn(_unknown(str(name), list(known)), ConfigWarning, stacklevel=3)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, each in known.items():
            value = options.get(name, MISSING)
            if value is MISSING:
                if name == "secret":
                    problems.append("secret: this option is required; set it to a random string of 32 characters")
                continue
            try:
                values[each.name] = _CHECKS[name](value)
            except ValueError as problem:
                problems.append(f"{name}: {problem}")
        if not problems:
            config = cls(**values)
            problems = [*config._contradictions(), *drivers.problems(config)]
        if problems:
            raise ConfigError("; ".join(problems))
        for doubt in config._doubts():
            warnings.warn(doubt, ConfigWarning, stacklevel=3)
        return config

    def _doubts(self) -> Iterator[str]:
        if self.lifetime == 0:
            yield "lifetime: 0 keeps every session for ever; for a cookie that ends with the browser use expireOnClose"
        for name, value in (("lifetime", self.lifetime), ("absoluteLifetime", self.absolute_lifetime)):
            if value and (value < 1000 or _looks_like_seconds(value)):
                yield _short_lifetime(name, value)
        for name, value in (("regenerateGrace", self.regenerate_grace), ("saveTimeout", self.save_timeout)):
            if 0 < value <= 30:
                yield f"{name}: is in milliseconds; did you mean {value:.15g} seconds? That is {value * 1000:.15g}"
        if 0 < self.max_size < 1000:
            yield f"maxSize: is in bytes; {self.max_size} of them are hardly a session (4 MB are 4000000)"
        if min(map(len, self.secret)) < 32:
            yield f"secret: is short; use a random string of 32 characters or more, as {_RANDOM_SECRET} prints"
        if not _DOCUMENTED_SECRETS.isdisjoint(self.secret):
            yield f"secret: everybody can read this one in the documentation; use one that {_RANDOM_SECRET} prints"

    def _contradictions(self) -> list[str]:
        name = self.cookie.lower()  # as browsers compare prefixes
        wanted: list[tuple[bool, str]] = [
            (
                self.hash_ids and self.encrypt == "legacy",
                "hashIds: not with encrypt: 'legacy', as the npm original cannot find such records",
            ),
            (
                self.bind_name and self.encrypt == "legacy",
                "bindName: not with encrypt: 'legacy', as the npm original cannot verify such cookies",
            ),
            (self.same_site == "none" and not self.secure, "sameSite: browsers ignore 'none' without secure: true"),
            (self.partitioned and not self.secure, "partitioned: browsers ignore it without secure: true"),
            (
                name.startswith(("__secure-", "__host-", "__http-")) and self.secure is not True,
                f"cookie: browsers refuse {self.cookie!r} without secure: true",
            ),
            (
                name.startswith("__host-") and (self.path != "/" or self.domain is not None),
                f"cookie: browsers refuse {self.cookie!r} with a domain or a path other than '/'",
            ),
            (
                name.startswith(("__http-", "__host-http-")) and not self.http_only,
                f"cookie: browsers refuse {self.cookie!r} without httpOnly: true",
            ),
        ]
        return [problem for wrong, problem in wanted if wrong]


# Of node-session's README, and of ours; whoever copied one has no secret.
_DOCUMENTED_SECRETS = frozenset(
    {
        "Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD",
        "replace this by a random string of 32 or more",
        "replace this by the secret that your Node program has",
    }
)
_RANDOM_SECRET = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105


def camel_case(name: str) -> str:
    """The original's spelling of an option: `expire_on_close` → `expireOnClose`."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _unknown(name: str, known: list[str]) -> str:
    spelling = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.replace("_", "").lower(), spelling, n=1)
    advice = f"did you mean {spelling[near[0]]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown session option {name!r} is ignored: {advice}"


def _looks_like_seconds(value: float) -> bool:
    """Whether a number of milliseconds is odd, and round if it is meant as seconds: 3600, 86400, 2592000.

    There is no limit below which every lifetime would be a slip: three seconds are one for a test, while two weeks in
    seconds are twenty minutes in milliseconds. So what tells is that nobody chooses 3.6 seconds, or 43.2 minutes.
    """
    return (value % _QUARTER == 0 and value % 1000 != 0) or (value % _DAY == 0 and value % 60_000 != 0)


def _short_lifetime(name: str, value: float) -> str:
    if value < 1000:
        return f"{name}: is in milliseconds; {value:g} of them are hardly a session (five minutes are 300000)"
    return f"{name}: is in milliseconds; did you mean {value:.15g} seconds? That is {value * 1000:.15g}"


# Each check returns the value to keep, or raises a ValueError that says what was expected.


def _secret(value: Any) -> tuple[str, ...]:
    secrets = value if isinstance(value, (list, tuple)) else [value]
    if not secrets or not all(isinstance(each, str) and each for each in secrets):
        # The only option whose value is not quoted: it may be a typing error away from the real secret.
        shown = type(value).__name__ if value else "an empty one"
        raise ValueError(f"must be a non-empty string or a list of them, not {shown}")
    return tuple(secrets)


def _driver(value: Any) -> str:
    if value in drivers.names():
        return str(value)
    meant = drivers.nearest(value)
    advice = f"did you mean {meant}? Known are" if meant else "choose one of"
    raise ValueError(
        f"{value!r} is not known; {advice} {', '.join(map(repr, drivers.names()))}, "
        "or register yours first with NodeSession.register_handler(name, creator)"
    )


def _milliseconds(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _CENTURY:
        raise ValueError(f"must be a number of milliseconds from 0 to {_CENTURY} (a century), not {value!r}")
    return value  # type: ignore[no-any-return]


def _bytes(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be a whole number of bytes such as 4000000, or 0 for no limit, not {value!r}")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


def _secure(value: Any) -> bool | Literal["auto"]:
    if value is True or value is False:
        return bool(value)
    if value == "auto":
        return "auto"
    raise ValueError(f"must be true, false or 'auto', not {value!r}")


def _folder(value: Any) -> Path:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"must be the path of a folder, not {value!r}")
    folder = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve() would follow links
    try:
        os.fsencode(folder)
        is_taken = folder.exists() and not folder.is_dir()
    except (OSError, ValueError) as error:  # a name too long, a parent nobody may look into, text that is no name
        raise ValueError(f"{path!r} cannot be used: {getattr(error, 'strerror', None) or 'not a name'}") from None
    if is_taken:
        raise ValueError(f"{path!r} is not a folder")
    return folder


def _connection(value: Any) -> Mapping[str, Any] | Literal[False]:
    if value is None or value is False:
        return False
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a dict or false, not {type(value).__name__}")
    return value


def _table(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be the name of a table, not {value!r}")
    return value


def _lottery(value: Any) -> tuple[int, int]:
    odds = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(odds) != 2 or any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in odds):
        raise ValueError(f"must be two whole numbers such as [2, 100], not {value!r}")
    if max(odds) > _CENTURY:  # a limit that no float has trouble with
        raise ValueError(f"must be two numbers of a sensible size such as [2, 100], not {value!r}")
    if odds[1] == 0:
        raise ValueError(f"the second number must be 1 or more, not {value!r}; [0, 1] never draws")
    return odds


def _cookie(value: Any) -> str:
    if not isinstance(value, str) or not is_token(value):
        raise ValueError(f"must be a name of letters, digits and !#$%&'*+-.^_`|~, not {value!r}")
    return value


def _path(value: Any) -> str:
    if value is None:
        return "/"
    if not isinstance(value, str) or not is_attribute_value(value):
        raise ValueError(f"must be a path such as '/', without ';' and control characters, not {value!r}")
    return value


def _domain(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_attribute_value(value):
        raise ValueError(f"must be a domain such as 'example.org' or null, not {value!r}")
    return value


def _same_site(value: Any) -> SameSite | None:
    if value is None or value is False:
        return None
    choices: dict[str, SameSite] = {"lax": "lax", "strict": "strict", "none": "none"}
    if isinstance(value, str) and value.lower() in choices:
        return choices[value.lower()]
    raise ValueError(f"must be 'lax', 'strict', 'none' or null, not {value!r}")


def _encrypt(value: Any) -> bool | Literal["legacy"]:
    if value is True or value is False:
        return bool(value)
    if value == "legacy":
        return "legacy"
    raise ValueError(f"must be true, false or 'legacy', not {value!r}")


def _trust_proxy(value: Any) -> Any:
    if value or isinstance(value, (int, float)):
        compile_trust(value)
    return value


def _function(value: Any) -> Callable[[str, int], bool] | None:
    if value is not None and not callable(value):
        raise ValueError(f"must be a function (address, index) -> bool, not {value!r}")
    return value  # type: ignore[no-any-return]


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "secret": _secret,
    "driver": _driver,
    "lifetime": _milliseconds,
    "expireOnClose": _bool,
    "files": _folder,
    "connection": _connection,
    "table": _table,
    "lottery": _lottery,
    "cookie": _cookie,
    "path": _path,
    "domain": _domain,
    "secure": _secure,
    "httpOnly": _bool,
    "sameSite": _same_site,
    "partitioned": _bool,
    "csrf": _bool,
    "saveUninitialized": _bool,
    "absoluteLifetime": _milliseconds,
    "regenerateGrace": _milliseconds,
    "bindName": _bool,
    "hashIds": _bool,
    "encrypt": _encrypt,
    "strict": _bool,
    "durable": _bool,
    "saveTimeout": _milliseconds,
    "maxSize": _bytes,
    "trustProxy": _trust_proxy,
    "trustProxyFn": _function,
}
