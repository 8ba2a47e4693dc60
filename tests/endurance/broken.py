"""Servers that do something wrong, to show that the judgement notices."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

from concurrency.careless import forget_versions
from tornado.web import HTTPError

from .handlers import Push

LEAKED: list[object] = []


def _leak(make: Callable[[], object]) -> None:
    """Let each tenth push keep something for ever."""
    post = Push.post

    async def leaking(self: Push) -> None:
        await post(self)
        if random.random() < 0.1:
            LEAKED.append(make())

    Push.post = leaking


def _refuse() -> None:
    """Let each tenth push be a 503."""

    async def refusing(self: Push) -> None:
        if random.random() < 0.1:
            raise HTTPError(503)
        await post(self)

    post, Push.post = Push.post, refusing


BROKEN: dict[str, Callable[[str], None]] = {
    "versions": forget_versions,
    "tasks": lambda driver: _leak(lambda: asyncio.ensure_future(asyncio.Event().wait())),
    "files": lambda driver: _leak(Path(os.devnull).open),
    "memory": lambda driver: _leak(lambda: [[] for _ in range(10_000)]),
    "errors": lambda driver: _leak(lambda: logging.error("on purpose")),
    "answers": lambda driver: _refuse(),
}
