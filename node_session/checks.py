"""Checks of single config values: value → valid value, or a clear `ValueError`.

    milliseconds(300_000)    # 300000
    milliseconds("5m")       # ValueError: must be a number of milliseconds from 0 to …, not '5m'

An option's check stands on its field in `Config`. A message begins after the option's name, and quotes the value,
unless it may hold a password.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from . import drivers, formats
from .cookies import is_attribute_value, is_token
from .proxy import compile_trust
from .quoting import quote

SameSite = Literal["lax", "strict", "none"]
FlashOn = Literal["request", "navigation"]

_LONGEST_PREFIX = 200

# Browsers keep a cookie for 400 days at most; far beyond a century, the dates in headers cannot be written.
_CENTURY = 100 * 365 * 24 * 60 * 60 * 1000


def secret(value: Any) -> tuple[str, ...]:
    """One secret, or a list of them."""
    secrets = value if isinstance(value, (list, tuple)) else [value]
    if not secrets or not all(isinstance(each, str) and each for each in secrets):
        # Never quoted: it may be a typing error away from the real secret.
        shown = type(value).__name__ if value else "an empty one"
        raise ValueError(f"must be a non-empty string or a list of them, not {shown}")
    return tuple(secrets)


def driver(value: Any) -> str:
    """The name of a built-in driver, or of one that the program has registered."""
    if value in drivers.names():
        return str(value)
    meant = drivers.nearest(value)
    advice = f"did you mean {meant}? Known are" if meant else "choose one of"
    raise ValueError(
        f"{quote(value)} is not known; {advice} {', '.join(map(quote, drivers.names()))}, "
        "or register yours first with NodeSession.register_handler(name, creator)"
    )


def format(value: Any) -> str:
    """The name of a format."""
    if isinstance(value, str) and value in formats.FORMATS:
        return value
    raise ValueError(f"{quote(value)} is not known; choose one of {', '.join(map(repr, formats.FORMATS))}")


def milliseconds(value: Any) -> float:
    """A length of time."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _CENTURY:
        raise ValueError(f"must be a number of milliseconds from 0 to {_CENTURY} (a century), not {quote(value)}")
    return value  # type: ignore[no-any-return]


def some_milliseconds(value: Any) -> float:
    """A length of time that cannot be 0."""
    if milliseconds(value) < 1:
        raise ValueError(f"must be 1 millisecond or more, and is best some seconds (5000), not {quote(value)}")
    return value  # type: ignore[no-any-return]


def size(value: Any) -> int:
    """A number of bytes."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be a whole number of bytes such as 4000000, or 0 for no limit, not {quote(value)}")
    return value


def number(value: Any) -> int:
    """A number of things."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be a whole number such as 5, or 0 for no limit, not {quote(value)}")
    return value


def device_details(value: Any) -> tuple[str, ...]:
    """A list of what to keep about a device."""
    details = value if isinstance(value, (list, tuple)) else [None]
    if not all(isinstance(each, str) and each in ("address", "userAgent") for each in details):
        raise ValueError(f"must be a list of 'address' and 'userAgent', or [] for neither, not {quote(value)}")
    return tuple(details)


def boolean(value: Any) -> bool:
    """True or false, and nothing that Python takes for it."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {quote(value)}")
    return value


def boolean_or(word: str) -> Callable[[Any], bool | str]:
    """Make a check for true, false, or one word."""

    def check(value: Any) -> bool | str:
        if isinstance(value, bool) or (isinstance(value, str) and value == word):
            return value
        raise ValueError(f"must be true, false or {word!r}, not {quote(value)}")

    return check


def folder(value: Any) -> Path:
    """The absolute path of a folder, which need not exist yet."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"must be the path of a folder, not {quote(value)}")
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve() would follow links
    try:
        os.fsencode(absolute)
        is_taken = absolute.exists() and not absolute.is_dir()
    except (OSError, ValueError) as error:  # a name too long, a parent that may not be searched, text that is no name
        raise ValueError(f"{quote(path)} cannot be used: {getattr(error, 'strerror', None) or 'not a name'}") from None
    if is_taken:
        raise ValueError(f"{quote(path)} is not a folder")
    return absolute


def connection(value: Any) -> Mapping[str, Any] | Literal[False]:
    """The settings of a connection; the driver checks them."""
    if value is None or value is False:
        return False
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a dict or false, not {type(value).__name__}")  # never quoted: a URL has a password
    return value


def table(value: Any) -> str:
    """The name of a table; the driver checks its spelling."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be the name of a table, not {quote(value)}")
    return value


def prefix(value: Any) -> str | None:
    """The beginning of keys, empty or not."""
    if value is None or (isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_PREFIX):
        return value
    raise ValueError(f"must be text without control characters such as 'sess:', not {quote(value)}")


def odds(value: Any) -> tuple[int, int]:
    """Two whole numbers: the first of the second."""
    pair = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(pair) != 2 or any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in pair):
        raise ValueError(f"must be two whole numbers such as [2, 100], not {quote(value)}")
    if max(pair) > _CENTURY:  # a limit that no float has trouble with
        raise ValueError(f"must be two numbers of a sensible size such as [2, 100], not {quote(value)}")
    if pair[1] == 0:
        raise ValueError(f"the second number must be 1 or more, not {quote(value)}; [0, 1] never draws")
    return pair


def cookie_name(value: Any) -> str:
    """A name that RFC 6265 allows."""
    if isinstance(value, Mapping):
        raise ValueError(
            "is the cookie's name; the members of Express' `cookie` are options of their own, maxAge is lifetime"
        )
    if not isinstance(value, str) or not is_token(value):
        raise ValueError(f"must be a name of letters, digits and !#$%&'*+-.^_`|~, not {quote(value)}")
    return value


def cookie_path(value: Any) -> str:
    """A path that cannot bring another attribute into the header."""
    if value is None:
        return "/"
    if not isinstance(value, str) or not is_attribute_value(value):
        raise ValueError(f"must be a path such as '/', without ';' and control characters, not {quote(value)}")
    return value


def cookie_domain(value: Any) -> str | None:
    """A domain that cannot bring another attribute into the header."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_attribute_value(value):
        raise ValueError(f"must be a domain such as 'example.org' or null, not {quote(value)}")
    return value


def same_site(value: Any) -> SameSite | None:
    """One of three words, in any case."""
    if value is None or value is False:
        return None
    choices: dict[str, SameSite] = {"lax": "lax", "strict": "strict", "none": "none"}
    if isinstance(value, str) and value.lower() in choices:
        return choices[value.lower()]
    raise ValueError(f"must be 'lax', 'strict', 'none' or null, not {quote(value)}")


def flash_on(value: Any) -> FlashOn:
    """One of two words."""
    if value in ("request", "navigation"):
        return value  # type: ignore[no-any-return]
    raise ValueError(f"must be 'request' or 'navigation', not {quote(value)}")


def cache_control(value: Any) -> Literal["private"] | None:
    """One word, or nothing."""
    if value is None or value is False:
        return None
    if value == "private":
        return "private"
    raise ValueError(f"must be 'private' or null, not {quote(value)}; a handler sets any other Cache-Control itself")


def trust(value: Any) -> Any:
    """The proxies to trust, as `node_session.proxy.compile_trust` takes them."""
    if value or isinstance(value, (int, float)):
        compile_trust(value)
    return value


def trust_function(value: Any) -> Callable[[str, int], bool] | None:
    """A function of an address and its hop."""
    if value is not None and not callable(value):
        raise ValueError(f"must be a function (address, index) -> bool, not {quote(value)}")
    return value  # type: ignore[no-any-return]
