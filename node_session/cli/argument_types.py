"""The values of arguments: text as it is typed to what a command works with."""

from __future__ import annotations

import argparse
import re

_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def milliseconds(text: str) -> float:
    """The milliseconds in ``90s``, ``30m``, ``12h``, ``7d`` or ``2w``."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time; write 90s, 30m, 12h, 7d or 2w")
    return float(match[1]) * _MILLISECONDS[match[2]]


def key_value(text: str) -> tuple[str, str]:
    """The two sides of ``user.name=Ann``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as user.name=Ann")
    return key, value


def id_start(text: str) -> str:
    """The start of an id, not an empty one, which any id begins with."""
    if not text:  # for example of a variable that is not set
        raise argparse.ArgumentTypeError("is empty; give the session's id, or its first characters")
    return text


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, such as 20")
    return int(text)
