"""check and table: is a config fit to be used?"""

from __future__ import annotations

import argparse
import json
import stat
import time
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NamedTuple

from .. import drivers, ids
from ..config import Config, camel_case
from ..drivers import Driver, databases
from ..drivers.file_folder import folder_problem
from ..drivers.hashed import HashedDriver
from ..errors import ConfigError, SessionError, UnavailableError
from .outcome import ATTENTION, DONE, UNAVAILABLE, WRONG, Outcome, columns
from .records import open_driver, read_config

# What the original does where our default is another. Its own options have our defaults, and what it does not know
# at all is off in it.
_ORIGINAL: dict[str, Any] = {"sameSite": None, "strict": False}


# What one config alone does not tell.
_NOTE = (
    "applications with the same secret and the same store take each other's cookies, whatever their names: give their "
    "configs as well to compare them, or set bindName"
)


class _Probe(NamedTuple):
    problem: str
    code: int
    milliseconds: float


async def check(options: argparse.Namespace) -> Outcome:
    """Tell whether a config can be used."""
    try:
        config, warnings = read_config(options.config)
        others = [(path, read_config(path)[0]) for path in options.others]
    except ConfigError as error:
        return Outcome(f"PROBLEM  {error}", {"ok": False, "problems": [str(error)]}, WRONG)
    warnings += _risks(config)
    warnings += [f"{path}: {why}" for path, other in others if (why := _take_each_other(config, other))]
    notes = [_NOTE] if not others and not config.bind_name and config.driver != "memory" else []
    probe = await _probe(config)
    differences = _differences(config)
    text = [f"{options.config}: {_describe(config)}"]
    if differences:
        text += ["differs from the defaults of node-session:", columns(list(_spell(differences)))]
    text += [f"WARNING  {each}" for each in warnings]
    text += [f"NOTE     {each}" for each in notes]
    if probe.problem:
        text.append(f"PROBLEM  {probe.problem}")
    else:
        text.append(f"OK       a record was written, read, replaced and removed in {probe.milliseconds:.1f} ms")
    data = {
        "ok": not probe.problem,
        "problems": [probe.problem] if probe.problem else [],
        "warnings": warnings,
        "notes": notes,
        "differences": {name: {"here": here, "original": there} for name, (here, there) in differences.items()},
        "milliseconds": round(probe.milliseconds, 3),
    }
    return Outcome("\n".join(text), data, probe.code or (ATTENTION if options.strict and warnings else DONE))


async def table(options: argparse.Namespace) -> Outcome:
    """Print the SQL that makes the table of the database driver, or run it."""
    config, _ = read_config(options.config)
    sql = databases.ddl(config) if config.driver == "database" else None
    if sql is None:
        return Outcome(f"{_describe(config)}: nothing is needed", {"needed": False})
    if not options.create:
        return Outcome(sql, {"needed": True, "sql": sql})
    driver: Any = await drivers.create(config)
    driver = driver.driver if isinstance(driver, HashedDriver) else driver
    try:
        await driver.create_table()
    finally:
        await driver.close()
    return Outcome(f"the table {config.table!r} is there", {"needed": True, "created": True})


async def _probe(config: Config) -> _Probe:
    """Write, read, replace and remove a record of our own."""
    started = time.monotonic()
    id, text = ids.generate(), '{"probe":"Jörg \U0001f600"}'
    try:
        driver = await open_driver(config)
        try:
            await _round_trip(driver, id, text)
        finally:
            await driver.close()
    except UnavailableError as error:
        return _Probe(f"the store cannot be used: {error}", UNAVAILABLE, 0)
    except SessionError as error:
        return _Probe(str(error), WRONG, 0)
    except Exception as error:  # of a driver of the user's own, say; whatever it is, it is what we were asked for
        return _Probe(f"the driver fails: {type(error).__name__}: {error}", WRONG, 0)
    return _Probe("", DONE, (time.monotonic() - started) * 1000)


async def _round_trip(driver: Driver, id: str, text: str) -> None:
    version = await driver.write(id, text, None)
    try:
        for expected in (text, text * 2):
            record = await driver.read(id)
            if record is None or record.payload != expected:
                raise SessionError("what was written is not what is read again")
            version = await driver.write(id, text * 2, version)
        await driver.touch(id)
    finally:
        await driver.destroy(id)
    if await driver.read(id) is not None:
        raise SessionError("a record that was destroyed can still be read")


def _describe(config: Config) -> str:
    if config.driver in ("file", "native"):
        return f"driver {config.driver}, in {config.files}"
    adapter = (config.connection or {}).get("adapter")
    return f"driver {config.driver}" + (f", adapter {adapter}" if adapter else "")


def _differences(config: Config) -> dict[str, tuple[Any, Any]]:
    """The options that are not what the original would have by default: here, and there."""
    found = {}
    for each in fields(Config):
        name, here = camel_case(each.name), getattr(config, each.name)
        if name in ("secret", "connection", "trustProxyFn"):  # they have no default to differ from, or are secret
            continue
        default = each.default if each.default is not MISSING else Path.cwd() / "sessions"
        there = _ORIGINAL.get(name, default)
        if here != there and (name, here) != ("driver", "native"):
            found[name] = (_plain(here), _plain(there))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def _spell(differences: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, str, str]]:
    for name, (here, there) in differences.items():
        yield f"  {name}", json.dumps(here, default=str), f"(there: {json.dumps(there)})"


def _risks(config: Config) -> Iterator[str]:
    """What a config allows that an attacker, or an accident, could use."""
    if not config.secure:
        yield "secure: the cookie is sent over http too, where anybody on the way reads it; set it to true or 'auto'"
    if not config.http_only:
        yield "httpOnly: any script of a page can read the cookie; leave it on"
    if config.same_site in (None, "none"):
        yield "sameSite: other sites' requests carry the cookie; set it to 'lax', or see that csrf is on"
    if not config.csrf:
        yield "csrf: handlers have to compare the token themselves (session.verify_token); set it to true"
    if not config.strict:
        yield "strict: an id that an attacker has planted is taken over (session fixation); leave it on"
    if config.domain is not None:
        yield f"domain: every host under {config.domain} gets the cookie, and can plant one"
    if config.trust_proxy is True:
        yield "trustProxy: any client may say that its request is https; name your proxies' addresses"
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


def _take_each_other(one: Config, other: Config) -> str:
    """Why two applications accept each other's cookies, and what helps; empty if they do not."""
    if set(one.secret).isdisjoint(other.secret) or _store(one) != _store(other) or one.bind_name != other.bind_name:
        return ""
    if not one.bind_name:
        cure = "set bindName in both"
    elif one.cookie == other.cookie:
        cure = f"give it another cookie than {one.cookie!r}"
    else:
        return ""
    return f"has the same secret and the same store, so that each accepts the other's cookies; {cure}, or part them"


def _store(config: Config) -> tuple[Any, ...]:
    """What two configs have in common if a session of one is found by the other."""
    if config.driver in ("file", "native"):
        return (config.hash_ids, config.files)
    connection = dict(config.connection or {})
    adapter = str(connection.pop("adapter", "")).removeprefix("sails-")
    where = [connection.get(name) for name in ("host", "port", "database", "url")]
    return (config.hash_ids, config.driver, config.table, adapter, where, connection == {} and config.files)


def _is_open_to_others(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False
