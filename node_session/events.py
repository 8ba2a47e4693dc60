"""Counters and events of a program's sessions, for metrics and traces.

sessions.stats.merged                    # 3
NodeSession(config, on_event=lambda name, attributes: get_current_span().add_event(name, attributes))
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from . import ids
from .errors import MismatchError
from .report import Report

logger = logging.getLogger("node_session")

OnEvent = Callable[[str, dict[str, Any]], object]


@dataclass
class Stats:
    """Counters since the `NodeSession` was made.

    Attributes:
        created: New sessions were stored.
        loaded: A cookie led to a record.
        saved: A session was written, whether new or changed.
        touched: An unchanged session's last activity was renewed.
        conflicted: Another request was first to save.
        merged: Its changes and ours were merged.
        not_resurrected: A session was not saved, since another request had destroyed it.
        expired: A signed cookie led to no record any more, or to a session past its `absoluteLifetime`.
        damaged: A record was not a session, or this config could not read it.
        forged: A cookie's signature was wrong.
        removed: gc removed expired records; records that a store removes by itself are not counted.
    """

    created: int = 0
    loaded: int = 0
    saved: int = 0
    touched: int = 0
    conflicted: int = 0
    merged: int = 0
    not_resurrected: int = 0
    expired: int = 0
    damaged: int = 0
    forged: int = 0
    removed: int = 0


class Reported(Protocol):
    """An object with a report: a session."""

    @property
    def report(self) -> Report:
        """Its report."""


class Events:
    """Counter of the events of a program's sessions; it tells the event listener.

    Args:
        driver: The name to report.
        on_event: Called with an event's name, ``node_session.`` and a name of `Stats`, and the event's attributes; also
            with ``node_session.request`` and the attributes of the `Report` at the end of each request.
    """

    def __init__(self, driver: str, on_event: OnEvent | None = None) -> None:
        self.driver = driver
        self.on_event = on_event
        self.stats = Stats()
        self._warned: set[str] = set()
        self._mismatches: Counter[str] = Counter()

    def note(self, event: str, id: str | None = None, count: int = 1) -> None:
        """Count an event, and tell the listener.

        Args:
            event: A name of `Stats`.
            id: The session's, if the event concerns one.
            count: The number of times it happened.
        """
        counters = self.stats.__dict__
        counters[event] += count
        if self.on_event is not None:
            attributes: dict[str, Any] = {"node_session.driver": self.driver}
            if id is not None:
                attributes["node_session.id"] = ids.shorten(id)
            if count != 1:
                attributes["node_session.count"] = count
            self.tell(event, attributes)

    def tell(self, event: str, attributes: dict[str, Any]) -> None:
        """Call the listener. Its errors are only logged."""
        if self.on_event is None:
            return
        try:
            self.on_event("node_session." + event, attributes)
        except Exception:
            logger.exception("on_event failed at %r; the session is not affected", event)

    def request_ended(self, session: Reported, method: str, path: str) -> None:
        """Pass the session's report to the listener and the log."""
        if self.on_event is None and not logger.isEnabledFor(logging.DEBUG):
            return
        report = session.report
        logger.debug("%s %s: %s", method, path, report)
        self.tell("request", {"http.request.method": method, "url.path": path} | report.as_attributes())

    def warn_once(self, place: str, message: str, *args: object) -> None:
        """Log a warning about a place in the program, once for each place."""
        if place not in self._warned:
            self._warned.add(place)
            logger.warning(message, *args)

    def warn_of_mismatch(self, id: str, error: MismatchError) -> None:
        """Log the 1st, 10th, 100th … record of a kind that this config cannot read.

        A mistake in the config concerns every record. A line for each would bury the one that names the cure.
        """
        self._mismatches[str(error)] += 1
        count = self._mismatches[str(error)]
        if str(count).strip("0") == "1":
            logger.error(
                "session %s cannot be read (%s); %s A fresh session is started, the record is left as it is "
                "(such records so far: %d; the next line comes at %d)",
                ids.shorten(id),
                error,
                error.cure,
                count,
                count * 10,
            )
