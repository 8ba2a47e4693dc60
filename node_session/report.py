"""What became of a session in a request, and of all sessions of a program: for logs, traces and the debug panel.

    print(session.report)                    # session x7Bq2a… found in file in 85 µs; changed cart; saved in 160 µs; …
    sessions.stats.merged                    # 3
    NodeSession(config, on_event=lambda name, attributes: get_current_span().add_event(name, attributes))

As it goes, a session notes a few words and numbers (`Trace`). Everything else is made when somebody asks for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from . import ids, quoting, serializer
from .errors import MismatchError, SerializationError

if TYPE_CHECKING:
    from .store import Store

logger = logging.getLogger("node_session")

_MOST_STEPS = 20

# So many of a session's changed keys are told to a log.
_MOST_KEYS = 20

OnEvent = Callable[[str, dict[str, Any]], object]


class Trace:
    """What a session notes as it goes. The defaults are the class's, so that making one costs next to nothing."""

    base: str | None = None  # the text that our changes are changes of; None: there was none
    found = "new"
    saved = "left alone"
    cookie = "not sent"
    conflicts = 0
    merged = 0
    loading = 0.0  # seconds
    saving = 0.0


@dataclass(frozen=True)
class Report:
    """What became of a session so far. Made by `session.report`; nothing in it changes any more.

    Attributes:
        id: The session's id, shortened.
        driver: Where it is kept: ``config["driver"]``.
        found: What its cookie led to. ``found``: a record. ``new``: there was no cookie. ``forged``: there was one,
            but its signature is wrong. ``expired``: it was signed, but there is no record any more. ``damaged``: there
            is one, but it is no session; see the log.
        changed: What this request changed, as keys: ``cart.mug``. A list that was changed is one key. So is what is
            more than 20 deep; a name of more than 80 characters is cut.
        saved: ``saved``; ``touched``: unchanged, its last activity renewed; ``left alone``: nothing was written, or not
            yet; ``gone``: another request has destroyed it, so it was not saved; ``failed``: the store was down;
            ``withheld``: another site made the request, and browsers withhold the user's cookie from it, so this
            session, which is not the user's, is neither stored nor sent.
        conflicts: How often another request was first to save.
        merged: How often its changes and ours were merged.
        cookie: ``sent``, or ``not sent`` and why.
        size: Bytes of the stored text, before any encryption; 0 for none.
        load_microseconds: How long loading took.
        save_microseconds: How long writing took; 0 where nothing was written.
    """

    id: str
    driver: str
    found: str
    changed: tuple[str, ...]
    saved: str
    conflicts: int
    merged: int
    cookie: str
    size: int
    load_microseconds: int
    save_microseconds: int

    def __str__(self) -> str:
        changed = (key if key.isprintable() else repr(key) for key in _some(self.changed))  # one line stays one line
        parts = [
            f"{'found in ' + self.driver if self.found == 'found' else self.found} in {self.load_microseconds} µs",
            f"changed {', '.join(changed) or 'nothing'}",
            f"saved in {self.save_microseconds} µs" if self.saved == "saved" else self.saved,
            *([f"conflicts {self.conflicts}, merged {self.merged}"] if self.conflicts or self.merged else []),
            f"cookie {self.cookie}",
            f"{self.size} bytes",
        ]
        return f"session {self.id} {'; '.join(parts)}"

    def as_attributes(self) -> dict[str, Any]:
        """The fields under names, and with values, that OpenTelemetry takes as they are."""
        values = {f"node_session.{each.name}": getattr(self, each.name) for each in fields(self)}
        return values | {"node_session.changed": _some(self.changed)}


def _some(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Keys for a log: a few, and none of them long. Who may choose keys could make lines of megabytes."""
    some = tuple(map(quoting.quote_if_long, keys[:_MOST_KEYS]))
    return some if len(keys) <= _MOST_KEYS else (*some, f"{len(keys) - _MOST_KEYS} more")


@dataclass
class Stats:
    """How often what has happened, since the `NodeSession` was made.

    Attributes:
        created: New sessions were stored.
        loaded: A cookie led to a record.
        saved: A session was written, whether new or changed.
        touched: An unchanged session's last activity was renewed.
        conflicted: Another request was first to save.
        merged: Its changes and ours were merged.
        not_resurrected: A session was not saved, as another request had destroyed it.
        expired: A signed cookie led to no record any more, or to a session past its `absoluteLifetime`.
        damaged: A record was no session, or one that this config cannot read.
        forged: A cookie's signature was wrong.
        removed: Expired records were removed by gc; a store that expires them by itself is not counted.
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


class Watch:
    """Counts what happens to the sessions of one `NodeSession`, and tells whoever listens.

    Args:
        driver: The name to report.
        on_event: Called with an event's name, ``node_session.`` and a name of `Stats`, and its attributes; and with
            ``node_session.request`` and the attributes of the `Report` when a request has ended.
    """

    def __init__(self, driver: str, on_event: OnEvent | None = None) -> None:
        self.driver = driver
        self.on_event = on_event
        self.stats = Stats()
        self._warned: set[str] = set()
        self._mismatches: Counter[str] = Counter()

    def warn_of_mismatch(self, id: str, error: MismatchError) -> None:
        """Log that this config cannot read a record: the 1st of a kind, the 10th, the 100th, and so on.

        A slip in the config concerns every record; a line for each would bury the one that names the cure.
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

    def note(self, event: str, session: Store | None = None, count: int = 1) -> None:
        """Something has happened, `count` times."""
        stats = self.stats
        setattr(stats, event, getattr(stats, event) + count)
        if self.on_event is not None:
            attributes: dict[str, Any] = {"node_session.driver": self.driver}
            if session is not None:
                attributes["node_session.id"] = ids.shorten(session.get_id())
            if count != 1:
                attributes["node_session.count"] = count
            self.tell(event, attributes)

    def warn_once(self, place: str, message: str, *args: object) -> None:
        """Log a warning about a place in the program: one, however often it is passed."""
        if place not in self._warned:
            self._warned.add(place)
            logger.warning(message, *args)

    def close(self, session: Store, method: str, path: str) -> None:
        """A request has ended: tell all that became of its session."""
        if self.on_event is None and not logger.isEnabledFor(logging.DEBUG):
            return
        report = session.report
        logger.debug("%s %s: %s", method, path, report)
        if self.on_event is not None:
            about = {"http.request.method": method, "url.path": path}
            self.tell("request", about | report.as_attributes())

    def tell(self, event: str, attributes: dict[str, Any]) -> None:
        """Call the listener. Whatever is wrong with it, no session suffers."""
        try:
            assert self.on_event is not None  # noqa: S101 - for the type checker
            self.on_event("node_session." + event, attributes)
        except Exception:
            logger.exception("on_event failed at %r; the session is not affected", event)


def make_report(session: Store, trace: Trace, driver: str, stored: str | None) -> Report:
    """See `Store.report`."""
    return Report(
        id=ids.shorten(session.get_id()),
        driver=driver,
        found=trace.found,
        changed=changed_keys(trace.base, session.all()),
        saved="withheld" if session.is_withheld else trace.saved,
        conflicts=trace.conflicts,
        merged=trace.merged,
        cookie=trace.cookie,
        size=len(stored.encode()) if stored is not None else 0,
        load_microseconds=round(trace.loading * 1e6),
        save_microseconds=round(trace.saving * 1e6),
    )


def changed_keys(base: str | None, attributes: dict[str, Any]) -> tuple[str, ...]:
    """The keys in which attributes differ from a stored text; None: from nothing."""
    before = serializer.loads(base) if base is not None else {}
    try:
        after = serializer.loads(serializer.dumps(attributes))  # as it is stored: a tuple is a list, a date is text
    except SerializationError:
        after = attributes
    return tuple(_differences(before, after, ""))


def _differences(before: dict[str, Any], after: dict[str, Any], prefix: str, steps: int = 1) -> Iterator[str]:
    for key in dict.fromkeys([*before, *after]):  # without repetition, in order
        old, new = before.get(key), after.get(key)
        name = quoting.cut(str(key))  # or a long one would be told once for each key below it
        if isinstance(old, dict) and isinstance(new, dict) and steps < _MOST_STEPS:
            yield from _differences(old, new, f"{prefix}{name}.", steps + 1)
        elif old != new or (key in before) != (key in after):
            yield f"{prefix}{name}"
