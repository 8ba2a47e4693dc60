"""The drivers keep sessions: one module each, and `registry`, which names them."""

from __future__ import annotations

from .base import Driver, Entry, Record
from .file import FileDriver
from .memory import MemoryDriver
from .plain import PlainDriver
from .registry import Creator, create, load, names, nearest, problems, register

__all__ = [
    "Creator",
    "Driver",
    "Entry",
    "FileDriver",
    "MemoryDriver",
    "PlainDriver",
    "Record",
    "create",
    "load",
    "names",
    "nearest",
    "problems",
    "register",
]
