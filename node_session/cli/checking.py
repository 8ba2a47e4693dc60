"""check: whether a config can be used, and is safe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from .. import formats
from ..config import Config, camel_case
from ..errors import ConfigError
from .config_file import describe, read_config
from .outcome import ATTENTION, DONE, WRONG, Outcome
from .probe import probe
from .risks import can_bind, risks, shared_cookies
from .spelling import columns

# By format, the values of the other program for options whose default is not the format's. Options that it does not
# know are off in it.
_OTHERS: dict[str, dict[str, Any]] = {
    "node-session": {"sameSite": None, "strict": False},
    "express-session": {"driver": "memory", "sameSite": None},
}

# What one config alone cannot show.
_NOTE = (
    "applications with the same secret and the same store take each other's cookies, whatever their names: give their "
    "configs as well to compare them"
)


async def check(options: argparse.Namespace) -> Outcome:
    """Tell whether a config can be used."""
    try:
        config, warnings = read_config(options.config)
        others = [(path, read_config(path)[0]) for path in options.others]
    except ConfigError as error:
        return Outcome(f"PROBLEM  {error}", {"ok": False, "problems": [str(error)]}, WRONG)
    warnings += risks(config)
    warnings += [f"{path}: {why}" for path, other in others if (why := shared_cookies(config, other))]
    note = f"{_NOTE}, or set bindName" if can_bind(config) else _NOTE
    notes = [note] if not others and not config.bind_name and config.driver != "memory" else []
    problem, code, milliseconds = await probe(config)
    differences = _differences(config)
    text = [f"{options.config}: {describe(config)}"]
    if differences:
        text += [f"differs from the defaults of {config.format}:", columns(list(_spell(differences)))]
    text += [f"WARNING  {each}" for each in warnings]
    text += [f"NOTE     {each}" for each in notes]
    if problem:
        text.append(f"PROBLEM  {problem}")
    else:
        text.append(f"OK       a record was written, read, replaced and removed in {milliseconds:.1f} ms")
    data = {
        "ok": not problem,
        "problems": [problem] if problem else [],
        "warnings": warnings,
        "notes": notes,
        "differences": {name: {"here": here, "original": there} for name, (here, there) in differences.items()},
        "milliseconds": round(milliseconds, 3),
    }
    return Outcome("\n".join(text), data, code or (ATTENTION if options.strict and warnings else DONE))


def _differences(config: Config) -> dict[str, tuple[Any, Any]]:
    """Find the options that differ from the other program's defaults: here, and there."""
    given = {each: getattr(config, each) for each in ("driver", "connection")}
    defaults = formats.FORMATS[config.format].defaults(given)
    found = {}
    for each in fields(Config):
        name, here = camel_case(each.name), getattr(config, each.name)
        if name in ("secret", "connection", "trustProxyFn", "format"):  # they have no default, or are secret
            continue
        default = each.default if each.default is not MISSING else Path.cwd() / "sessions"
        there = _OTHERS[config.format].get(name, defaults.get(each.name, default))
        if here != there and (name, here) != ("driver", "native"):
            found[name] = (_plain(here), _plain(there))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def _spell(differences: dict[str, tuple[Any, Any]]) -> Iterator[tuple[str, str, str]]:
    for name, (here, there) in differences.items():
        yield f"  {name}", json.dumps(here, default=str), f"(there: {json.dumps(there)})"
