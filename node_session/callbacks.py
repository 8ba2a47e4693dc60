"""The callback form of an operation, as a decorator, so that each operation is written once.

The original takes callbacks. Here every such method returns an awaitable, and takes the callback too: with one, the
operation starts at once, as it does in Node, whether or not the caller awaits what is returned.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

R = TypeVar("R")
P = ParamSpec("P")

Callback = Callable[..., Any]


def takes_callback(
    gives: Literal["nothing", "error", "result"],
    unless: Callable[..., bool] | None = None,
) -> Callable[[Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]], Callable[..., Awaitable[R]]]:
    """Let an async method take `callback` after its own arguments.

    Args:
        gives: What the callback is called with: nothing, the error (None if there was none, and an error then goes
            to the callback only), or the result.
        unless: Given the operation's arguments when it is over: whether it came too late to call anybody back. Then the
            callback form tells of no error either, as nobody may be waiting for it.
    """

    def decorate(operation: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> Callable[..., Awaitable[R]]:
        position = len(inspect.signature(operation).parameters)

        async def call_back(coroutine: Coroutine[Any, Any, R], callback: Callback, is_late: Callable[[], bool]) -> R:
            error = None
            result = cast(R, None)
            try:
                result = await coroutine
            except Exception as raised:
                if gives != "error" and not is_late():
                    raise
                error = raised
            if is_late():
                return result
            answer = callback(*{"nothing": (), "error": (error,), "result": (result,)}[gives])
            if inspect.isawaitable(answer):
                await answer
            return result

        @functools.wraps(operation)
        def method(*args: Any, callback: Callback | None = None, **kwargs: Any) -> Awaitable[R]:
            if callback is None and len(args) > position:
                *args, callback = args  # type: ignore[assignment]
            coroutine = operation(*args, **kwargs)
            if callback is None:
                return coroutine
            is_late = functools.partial(unless, *args, **kwargs) if unless is not None else bool  # bool() is False
            return asyncio.ensure_future(call_back(coroutine, callback, is_late))

        return method

    return decorate
