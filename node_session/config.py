"""Every option of a program: its default, meaning, unit and check in one place.

    config = Config.from_dict({"secret": "…", "lifetime": 3_600_000})
    config.lifetime                     # 3600000; what the dict leaves out is at its default, or at its format's

Options are spelt as in the original (camelCase), so that one JSON file configures a Node and a Tornado program; here
they become the fields of `Config` (snake_case). The original ignores options that it does not know. A field's
annotation names its type, its check (`node_session.checks`) and its doubts (`node_session.doubts`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from . import checks, doubts, drivers, formats
from .checks import FlashOn, SameSite
from .errors import ConfigError, ConfigWarning
from .quoting import quote


@dataclass(frozen=True, kw_only=True)
class Config:
    """The checked options of a `NodeSession`. Made by `Config.from_dict`.

    A driver's creator receives one; `connection` is passed through unchanged, for the driver's own settings.
    """

    secret: Annotated[tuple[str, ...], checks.secret, doubts.short, doubts.documented] = field(repr=False)
    """Signs cookies and encrypts sessions; required. A random string of 32 characters or more, or a list of them:
    the first signs and encrypts, all verify and decrypt."""

    driver: Annotated[str, checks.driver] = "file"
    """Where sessions are kept: `memory`, `file` (alias `native`), `database`, `redis`, or a name given to
    `NodeSession.register_handler`."""

    format: Annotated[str, checks.format] = "node-session"
    """Which program's sessions: `node-session`, or `express-session`, whose defaults then count for the options of
    cookie, store and lifetime (see `node_session.formats`)."""

    lifetime: Annotated[float, checks.milliseconds, doubts.endless, doubts.in_seconds] = 300_000
    """Milliseconds a session may be idle before it expires. 0: the cookie ends with the browser, the record never."""

    expire_on_close: Annotated[bool, checks.boolean] = False
    """The cookie ends when the browser is closed; the record still lives for `lifetime`."""

    files: Annotated[Path, checks.folder] = field(default_factory=lambda: Path.cwd() / "sessions")
    """Folder of the file driver. The first save creates it, with its parents. An existing one must belong to the
    program's user or to root, and nobody else may be able to write into it."""

    connection: Annotated[Mapping[str, Any] | Literal[False], checks.connection] = field(default=False, repr=False)
    """Where the database or Redis is: see `node_session.drivers.connection.Connection`. False: an SQLite file beside
    `files`, or Redis on this host."""

    table: Annotated[str, checks.table] = "sessions"
    """Table or collection of the database; in Redis the keys begin with it and a colon."""

    prefix: Annotated[str | None, checks.prefix] = None
    """The beginning of the keys in Redis, in place of `table` and the colon."""

    lottery: Annotated[tuple[int, int], checks.odds] = (2, 100)
    """`[2, 100]`: after 2 of 100 requests, expired records are removed."""

    cookie: Annotated[str, checks.cookie_name] = "node_session"
    """Name of the cookie."""

    path: Annotated[str, checks.cookie_path] = "/"
    """Path of the cookie."""

    domain: Annotated[str | None, checks.cookie_domain] = None
    """Domain of the cookie; null: this host only."""

    secure: Annotated[bool | Literal["auto"], checks.boolean_or("auto")] = False
    """Send the cookie over https only; `auto`: over both, marked for https only if the request is https."""

    http_only: Annotated[bool, checks.boolean] = True
    """Hide the cookie from JavaScript."""

    same_site: Annotated[SameSite | None, checks.same_site] = "lax"
    """When the browser sends the cookie along from other sites: `lax`, `strict` or `none`; null leaves it out."""

    partitioned: Annotated[bool, checks.boolean] = False
    """A cookie of its own for each site that embeds this one (needs `secure`)."""

    csrf: Annotated[bool | Literal["csrf-sync"], checks.boolean_or("csrf-sync")] = False
    """`SessionMixin` refuses requests that change something without the session's CSRF token. `csrf-sync`: new sessions
    of the format express-session get a token of that package, not one of csurf."""

    save_uninitialized: Annotated[bool, checks.boolean] = True
    """Store a session, and send its cookie, even if it is empty. False: robots and health checks leave nothing behind,
    and the CSRF token is made when a handler asks for it."""

    flash_on: Annotated[FlashOn, checks.flash_on] = "request"
    """On which requests flash data ages: on each `request`; or only on a `navigation`, which shows a page, and not on
    pictures, a script's calls, HEAD, OPTIONS and prefetches."""

    cache_control: Annotated[Literal["private"] | None, checks.cache_control] = None
    """`private`: a session's response says `Cache-Control: private` and `Vary: Cookie`, for caches between here and the
    browser, unless its handler has said otherwise."""

    absolute_lifetime: Annotated[float, checks.milliseconds, doubts.in_seconds] = 0
    """Milliseconds after which a session ends, however active it is; 0: never. Kept in the session as `_created`."""

    regenerate_grace: Annotated[float, checks.milliseconds, doubts.a_few_seconds] = 10_000
    """Milliseconds for which a request with the cookie of a session that was regenerated with destroy=True can still
    read what that session held. It changes nothing and gets no cookie, so it does not undo the new one. 0: the old
    cookie is worthless immediately, and such a request begins an empty session."""

    bind_name: Annotated[bool, checks.boolean] = False
    """The cookie's signature covers its name, so that another application's cookie under the same secret is invalid
    here. The npm original cannot verify it; turning it on logs everybody out."""

    other_ids: Annotated[bool, checks.boolean] = False
    """Take sessions with ids of any form, such as those copied from another format; new ids stay as they are."""

    hash_ids: Annotated[bool, checks.boolean] = False
    """Keep records under a hash of their id, so that a reader of the store cannot take over its sessions. The npm
    original cannot find such records."""

    encrypt: Annotated[bool | Literal["legacy"], checks.boolean_or("legacy")] = False
    """Encrypt stored sessions; `legacy`: in the original's format, to share a store with it."""

    strict: Annotated[bool, checks.boolean] = True
    """Replace a signed id that has no record by a fresh one; false adopts it, as the original does."""

    durable: Annotated[bool, checks.boolean] = False
    """The file driver and SQLite wait until the disk has each record, so that it survives a power cut too."""

    save_timeout: Annotated[float, checks.milliseconds, doubts.a_few_seconds] = 5_000
    """Milliseconds for which a save goes on merging with concurrent saves of other requests."""

    close_sockets_within: Annotated[float, checks.some_milliseconds, doubts.a_few_seconds] = 5_000
    """Milliseconds in which a WebSocket whose handler says `close_with_session = True` is closed after its session has
    ended. Each process looks up the sessions of all these sockets together, a little more often than that."""

    max_size: Annotated[int, checks.size, doubts.in_megabytes] = 4_000_000
    """Bytes of a session's JSON text, before encryption; 0: no limit. A larger session is not written:
    `TooLargeError`. One that is stored already may change as long as it does not grow."""

    max_devices: Annotated[int, checks.number] = 0
    """The maximum number of devices on which an owner (`set_owner`) is logged in; 0: no limit. At the next login the
    longest unused one is logged out."""

    device_details: Annotated[tuple[str, ...], checks.device_details] = ("address", "userAgent")
    """What `devices` tells of each client: its `address`, its `userAgent`, both, or neither (`[]`)."""

    trust_proxy: Annotated[Any, checks.trust] = False
    """Whose X-Forwarded-Proto to believe: true, a number of hops, addresses and networks, or a function."""

    trust_proxy_fn: Annotated[Callable[[str, int], bool] | None, checks.trust_function] = None
    """Used in place of a function made from `trustProxy`, if that is set."""

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Config:
        """Check a config dict.

        Args:
            options: As the original takes it; the names are in camelCase.

        Raises:
            ConfigError: A value cannot be used. The message names every problem.

        Warns:
            ConfigWarning: An unknown option (the message names the nearest known one), or a doubtful value.
        """
        if not isinstance(options, Mapping):
            # Not quoted: a JSON text, for example, has the secret in it.
            raise ConfigError(f"the configuration is a dict of options, not {type(options).__name__}")
        known = [camel_case(each.name) for each in fields(cls)]
        for name in options:
            if name not in known:
                warnings.warn(doubts.unknown_option(name, known), ConfigWarning, stacklevel=3)
        values, problems = _check(options)
        if not problems:
            defaults = formats.FORMATS[values.get("format", cls.format)].defaults(values)
            config = cls(**{**defaults, **values})
            problems = [*_contradictions(config), *drivers.problems(config)]
        if problems:
            raise ConfigError("; ".join(problems))
        for doubt in _doubts(config):
            warnings.warn(doubt, ConfigWarning, stacklevel=3)
        return config


def camel_case(name: str) -> str:
    """The original's spelling of an option: `expire_on_close` → `expireOnClose`."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


# What follows each field's type: its check, and its doubts. An option without a check fails here, at import.
_CHECKS = {name: hint.__metadata__ for name, hint in get_type_hints(Config, include_extras=True).items()}


def _check(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The checked values by field, and every problem."""
    values, problems = {}, []
    if "secret" not in options:
        problems.append("secret: this option is required; set it to a random string of 32 characters")
    for name, (check, *_) in _CHECKS.items():
        option = camel_case(name)
        if option in options:
            try:
                values[name] = check(options[option])
            except ValueError as problem:
                problems.append(f"{option}: {problem}")
    return values, problems


def _doubts(config: Config) -> Iterator[str]:
    for name, (_, *doubts_of_option) in _CHECKS.items():
        for find_doubt in doubts_of_option:
            doubt = find_doubt(getattr(config, name))
            if doubt is not None:
                yield f"{camel_case(name)}: {doubt}"


def _contradictions(config: Config) -> Iterator[str]:
    """Options that cannot work together."""
    yield from formats.FORMATS[config.format].contradictions(config)
    if config.encrypt == "legacy" and config.hash_ids:
        yield "hashIds: not with encrypt: 'legacy', as the npm original cannot find such records"
    if config.encrypt == "legacy" and config.bind_name:
        yield "bindName: not with encrypt: 'legacy', as the npm original cannot verify such cookies"
    if config.same_site == "none" and not config.secure:
        yield "sameSite: browsers ignore 'none' without secure: true"
    if config.partitioned and not config.secure:
        yield "partitioned: browsers ignore it without secure: true"
    prefix = config.cookie.lower()  # as browsers compare it
    refused = f"cookie: browsers refuse {quote(config.cookie)}"
    if prefix.startswith(("__secure-", "__host-", "__http-")) and config.secure is not True:
        yield f"{refused} without secure: true"
    if refusal := refuse_prefix(config.cookie, config.path, config.domain):
        yield f"cookie: {refusal}"
    if prefix.startswith(("__http-", "__host-http-")) and not config.http_only:
        yield f"{refused} without httpOnly: true"


def refuse_prefix(cookie: str, path: str, domain: str | None) -> str | None:
    """The reason why browsers refuse a cookie of this name for this path and domain, if they do."""
    if cookie.lower().startswith("__host-") and (path != "/" or domain is not None):
        return f"browsers refuse {quote(cookie)} with a domain or a path other than '/'"
    return None
