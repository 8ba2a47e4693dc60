"""Config files, as the command line is given them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import ConfigError, ConfigWarning


def read_config(path: str) -> tuple[Config, list[str]]:
    """Read the config in a file.

    Returns:
        The config, and the warnings to its author.

    Raises:
        ConfigError: There is no such file, it is not JSON, or it is no config.
    """
    options = read_json(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            config = Config.from_dict(options)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return config, [str(each.message) for each in caught if issubclass(each.category, ConfigWarning)]


def read_json(path: str) -> Any:
    """Read a JSON file.

    Raises:
        ConfigError: There is no such file, or it is not JSON.
    """
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deep to be a config") from None
    except ValueError as error:
        # The error tells the place. The text around it may be the secret.
        raise ConfigError(f"{path}: is not JSON: {error}") from None


def describe(config: Config) -> str:
    """Name the store of a config, for a person."""
    if config.driver in ("file", "native"):
        return f"driver {config.driver}, in {config.files}"
    adapter = (config.connection or {}).get("adapter")
    return f"driver {config.driver}" + (f", adapter {adapter}" if adapter else "")
