"""Coroutines that need no task, since they never wait.

    class MemoryDriver(Driver):
        @never_waits
        async def write(self, id, payload, version): ...

    if is_immediate(driver.write):
        rest = begin(save(session))   # None: it is saved

A driver's methods are coroutines, since most drivers wait for a disk or a network. Tornado's `finish` is not a
coroutine, so a save there needs a task, which costs 74,000 instructions: as much as all our work for a request that
only reads. The mark is on the method, not on its class: an override in a subclass, which may wait, does not inherit it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


def never_waits(method: F) -> F:
    """Mark a coroutine function that never waits, so that it needs no task."""
    method.never_waits = True  # type: ignore[attr-defined]
    return method


def is_immediate(method: Callable[..., Any]) -> bool:
    """Whether a method is marked by `never_waits`."""
    return getattr(method, "never_waits", False)


def begin(coroutine: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
    """Run a coroutine until it waits.

    Returns:
        The rest of it, to await; None if it is done. If the coroutine has failed, awaiting the rest raises the error.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    except Exception as error:
        return _fail(error)
    return _rest(coroutine, waits_for)


async def _fail(error: Exception) -> None:
    raise error


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Do the work of `yield from` for a coroutine that already waits."""
    while True:
        thrown: BaseException | None = None
        try:
            yield waits_for  # tasks send nothing
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # it is cancelled, for example
            thrown = error
        try:
            waits_for = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
        except StopIteration:
            return
