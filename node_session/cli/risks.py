"""The risks of a config: what an attacker, or an accident, could use."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..config import Config
from ..drivers.file_folder import folder_problem


def risks(config: Config) -> Iterator[str]:
    """Name the risks of one config."""
    if not config.secure:
        yield "secure: the cookie is also sent over http, where anybody on the way reads it; set it to true or 'auto'"
    if not config.http_only:
        yield "httpOnly: any script of a page can read the cookie; leave it on"
    if config.same_site in (None, "none"):
        yield "sameSite: other sites' requests carry the cookie; set it to 'lax', or make sure that csrf is on"
    if not config.csrf:
        yield "csrf: handlers must compare the token themselves (session.verify_token); set it to true"
    if not config.strict:
        yield "strict: an id that an attacker has planted is accepted (session fixation); leave it on"
    if config.domain is not None:
        yield f"domain: every host under {config.domain} gets the cookie, and can plant one"
    if config.trust_proxy is True:
        yield "trustProxy: any client can claim that its request is https; name your proxies' addresses"
    if config.encrypt == "legacy":
        yield "encrypt: 'legacy' uses one key stream for all records; set it to true when Node is switched off"
    if config.lottery[0] == 0:
        yield "lottery: expired records are never removed; run `python -m node_session gc` from time to time"
    if config.driver == "memory":
        yield "driver: memory is for one process, and every session is gone when it ends"
    if config.driver in ("file", "native"):
        if _is_open_to_others(config.files):
            yield f"files: other users of this machine can look into {config.files}; chmod 700 it"
        if (problem := folder_problem(str(config.files))) is not None:  # for root, who may look into it all the same
            yield f"files: {config.files}: {problem}"


def shared_cookies(one: Config, other: Config) -> str:
    """The warning that two applications accept each other's cookies; or empty."""
    if set(one.secret).isdisjoint(other.secret) or _store(one) != _store(other) or one.bind_name != other.bind_name:
        return ""
    if not (can_bind(one) and can_bind(other)):
        cure = "give one of them another secret"
    elif not one.bind_name:
        cure = "set bindName in both"
    elif one.cookie == other.cookie:
        cure = f"give it another cookie than {one.cookie!r}"
    else:
        return ""
    return f"has the same secret and the same store, so that each accepts the other's cookies; {cure}, or part them"


def can_bind(config: Config) -> bool:
    """Whether the option bindName can be set."""
    return config.format == "node-session"


def _store(config: Config) -> tuple[Any, ...]:
    """The values that two configs have in common if they use one store."""
    if config.driver in ("file", "native"):
        return (config.hash_ids, config.files)
    connection = dict(config.connection or {})
    adapter = str(connection.pop("adapter", "")).removeprefix("sails-")
    where = [connection.get(name) for name in ("host", "port", "database", "url")]
    keys = f"{config.table}:" if config.prefix is None else config.prefix
    return (config.hash_ids, config.driver, keys, adapter, where, connection == {} and config.files)


def _is_open_to_others(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False
