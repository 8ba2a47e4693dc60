"""Responses and log lines for requests whose session cannot be loaded or saved."""

from __future__ import annotations

import asyncio
import sys

from tornado.web import HTTPError, RequestHandler

from .errors import UnavailableError
from .events import Events


def unavailable(error: UnavailableError) -> HTTPError:
    """Make the 503 for a request whose session cannot be loaded or saved now."""
    answer = HTTPError(503, "%s", error)
    answer.__cause__ = error
    return answer


def warn_of_early_end(handler: RequestHandler, events: Events) -> None:
    """Warn that a handler did not wait for its session."""
    name = name_of(handler)
    events.warn_once(
        name,
        "%s finished before its session was loaded, so it had none, and nothing is saved: return (or await) what "
        "start_session() gives, in prepare()",
        name,
    )


def name_of(handler: RequestHandler) -> str:
    """The full name of a handler's class."""
    return f"{type(handler).__module__}.{type(handler).__qualname__}"


def is_interrupted() -> bool:
    """Whether Tornado answers for a cancelled handler, as when the loop will end.

    Nobody would await or cancel a save that began now: it would run into a closed loop.
    """
    task = asyncio.current_task()
    if task is None or not isinstance(sys.exc_info()[1], asyncio.CancelledError):
        return False
    return sys.version_info >= (3, 11) and task.cancelling() > 0  # before 3.11 Tornado does not answer


def refuse(handler: RequestHandler, error: Exception) -> bool:
    """Answer with an error page in place of the handler's response.

    Returns:
        Whether the client gets it. If headers were sent already, the connection is closed, so that the client does not
        take a cut-off body for a whole one.
    """
    if isinstance(error, UnavailableError):
        error = unavailable(error)
    status = error.status_code if isinstance(error, HTTPError) else 500
    try:
        raise error
    except Exception:
        exc_info = sys.exc_info()
        handler.log_exception(*exc_info)
        if not handler._headers_written:
            handler.send_error(status, exc_info=exc_info)
            return True
    handler._finished = True
    handler.request.connection.close()  # type: ignore[union-attr]
    handler._log()
    handler.on_finish()
    return False
