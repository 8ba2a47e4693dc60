"""The formats of sessions: how ids, cookies and records look, so that another program can share them.

    format = formats.make("express-session", config)
    format.ids.generate()                  # 32 characters, as express-session makes them

A program has one format: the option `format`. Everything in which two formats differ is asked of this object; `base`
says what. For the drivers, the format's name is a layout of a store: its tables, keys and file names.
"""

from __future__ import annotations

from .base import Format, FormatOptions, Opened
from .express import ExpressSession
from .node_session import NODE_SESSION, NodeSessionFormat

FORMATS: dict[str, type[Format]] = {each.name: each for each in (NodeSessionFormat, ExpressSession)}
"""The formats by name; the first is the default."""

__all__ = ["FORMATS", "NODE_SESSION", "Format", "FormatOptions", "Opened", "make"]


def make(name: str, options: FormatOptions) -> Format:
    """Make the format of a program."""
    return FORMATS[name](options)
