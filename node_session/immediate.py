"""Coroutines that never wait, and need no task.

    class MemoryDriver(Driver):
        @never_waits
        async def touch(self, id): ...

    if is_immediate(driver.touch):
        run(driver.touch(id))

A driver's methods are coroutines, as most of them wait for a disk or a network. Where the caller is none, as in
Tornado's `finish`, a coroutine needs a task, which costs ten times what touching a dict does. The mark is on the
method, not on its class: an override in a subclass, which may wait, does not inherit it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


def never_waits(method: F) -> F:
    """Mark a coroutine function that does all it does at once. That is a promise: `run` cannot wait."""
    method.never_waits = True  # type: ignore[attr-defined]
    return method


def is_immediate(method: Callable[..., Any]) -> bool:
    """Whether a method is marked by `never_waits`."""
    return getattr(method, "never_waits", False)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits.

    Raises:
        RuntimeError: It wanted to wait, and was broken off.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    name = getattr(coroutine, "__qualname__", coroutine)
    raise RuntimeError(f"{name} is marked by @never_waits, but wants to wait: take the mark away")
