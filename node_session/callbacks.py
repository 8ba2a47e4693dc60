"""The callback form of an operation, so that each operation is written once.

The original takes callbacks. Here every such method returns an awaitable, and takes the callback, too. With a callback,
the operation starts immediately, as it does in Node, whether or not the caller awaits the result.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")

Callback = Callable[[], object]
ErrorCallback = Callable[[Exception | None], object]


def without_arguments(
    operation: Coroutine[Any, Any, T], callback: Callback | None, is_late: Callable[[], bool] = bool
) -> Awaitable[T]:
    """Run an operation, and call back without arguments if it succeeds.

    Args:
        operation: The operation.
        callback: A function, asynchronous or not; None: the caller awaits the operation.
        is_late: Whether it is too late to call back; called when the operation is over. Then no error is raised
            either, since nobody may be waiting for it.
    """
    if callback is None:
        return operation

    async def call_back() -> T:
        try:
            result = await operation
        except Exception:
            if not is_late():
                raise
            return cast(T, None)
        if not is_late():
            await _settle(callback())
        return result

    return asyncio.ensure_future(call_back())


def with_result(operation: Coroutine[Any, Any, T], callback: Callable[[T], object] | None) -> Awaitable[T]:
    """Run an operation, and call back with its result."""
    if callback is None:
        return operation

    async def call_back() -> T:
        result = await operation
        await _settle(callback(result))
        return result

    return asyncio.ensure_future(call_back())


def with_error(operation: Coroutine[Any, Any, None], callback: ErrorCallback | None) -> Awaitable[None]:
    """Run an operation, and call back with its error, or None, in place of raising it."""
    if callback is None:
        return operation

    async def call_back() -> None:
        error = None
        try:
            await operation
        except Exception as raised:
            error = raised
        await _settle(callback(error))

    return asyncio.ensure_future(call_back())


async def _settle(answer: object) -> None:
    if inspect.isawaitable(answer):
        await answer
