"""table: the SQL of the table that the database driver needs."""

from __future__ import annotations

import argparse
from typing import Any

from .. import drivers
from ..drivers import databases
from ..drivers.hashed import HashedDriver
from .config_file import describe, read_config
from .outcome import Outcome


async def table(options: argparse.Namespace) -> Outcome:
    """Print the SQL that makes the table of the database driver, or run it."""
    config, _ = read_config(options.config)
    sql = databases.ddl(config) if config.driver == "database" else None
    if sql is None:
        return Outcome(f"{describe(config)}: nothing is needed", {"needed": False})
    if not options.create:
        return Outcome(sql, {"needed": True, "sql": sql})
    driver: Any = await drivers.create(config)
    driver = driver.driver if isinstance(driver, HashedDriver) else driver
    try:
        await driver.create_table()
    finally:
        await driver.close()
    return Outcome(f"the table {config.table!r} is there", {"needed": True, "created": True})
