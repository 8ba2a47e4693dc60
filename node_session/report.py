"""The report of a session's fate in a request: for logs, traces and the panel.

    print(session.report)     # session x7Bq2a… found in file in 85 µs; changed cart; saved in 160 µs; …

A session notes a few words and numbers (`Trace`). The rest is computed when a report is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from . import ids, quoting, serializer
from .errors import SerializationError

_MOST_STEPS = 20

# The maximum number of changed keys that a log shows.
_MOST_KEYS = 20


class Trace:
    """A session's notes about itself. The class has the defaults: making one is cheap."""

    base: str | None = None  # the stored text that our changes are based on; None: there was none
    found = "new"
    saved = "left alone"
    cookie = "not sent"
    conflicts = 0
    merged = 0
    loading = 0.0  # seconds
    saving = 0.0


@dataclass(frozen=True)
class Report:
    """A snapshot of what happened to a session so far, made by `session.report`.

    Attributes:
        id: The session's id, shortened.
        driver: The driver that keeps it: ``config["driver"]``.
        found: The result of the search. ``found``: a record. ``new``: there was no cookie. ``forged``: the cookie's
            signature is wrong. ``expired``: the cookie was signed, but there is no record any more. ``damaged``: the
            record is not a session; see the log.
        changed: The keys that this request changed: ``cart.mug``. A changed list is one key, and so is a value more
            than 20 deep; a name of more than 80 characters is cut.
        saved: ``saved``; ``touched``: unchanged, its last activity renewed; ``left alone``: nothing was written, or not
            yet; ``destroyed``: the record was, and no other is stored; ``gone``: another request has destroyed it, so
            it was not saved; ``failed``: the store was down, or the log says what else; ``withheld``: another site made
            the request, and browsers withhold the user's cookie from it, so this session, which is not the user's, is
            neither stored nor sent.
        conflicts: The number of times that another request saved first.
        merged: The number of times that its changes and ours were merged.
        cookie: ``sent``; ``deleted``, as its record was destroyed; or ``not sent`` and the reason.
        size: Bytes of the stored text, before any encryption; 0 if there is none.
        load_microseconds: The time that loading took.
        save_microseconds: The time that writing took; 0 if nothing was written.
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
        """The fields as attributes that OpenTelemetry takes unchanged."""
        values = {f"node_session.{each.name}": getattr(self, each.name) for each in fields(self)}
        return values | {"node_session.changed": _some(self.changed)}


def _some(keys: tuple[str, ...]) -> tuple[str, ...]:
    """A few keys for a log, none of them long: users may choose keys of megabytes."""
    some = tuple(map(quoting.quote_if_long, keys[:_MOST_KEYS]))
    return some if len(keys) <= _MOST_KEYS else (*some, f"{len(keys) - _MOST_KEYS} more")


def make_report(
    trace: Trace, *, id: str, driver: str, attributes: dict[str, Any], stored: str | None, is_withheld: bool
) -> Report:
    """Make the report of a session; see `Session.report`."""
    return Report(
        id=ids.shorten(id),
        driver=driver,
        found=trace.found,
        changed=changed_keys(trace.base, attributes),
        saved="withheld" if is_withheld else trace.saved,
        conflicts=trace.conflicts,
        merged=trace.merged,
        cookie=trace.cookie,
        size=len(stored.encode()) if stored is not None else 0,
        load_microseconds=round(trace.loading * 1e6),
        save_microseconds=round(trace.saving * 1e6),
    )


def changed_keys(base: str | None, attributes: dict[str, Any]) -> tuple[str, ...]:
    """The keys in which attributes differ from a stored text; None: there is no text."""
    before = serializer.loads(base) if base is not None else {}
    try:
        after = serializer.loads(serializer.dumps(attributes))  # as it is stored: a tuple is a list, a date is text
    except SerializationError:
        after = attributes
    return tuple(_differences(before, after, ""))


def _differences(before: dict[str, Any], after: dict[str, Any], prefix: str, steps: int = 1) -> Iterator[str]:
    for key in dict.fromkeys([*before, *after]):  # without repetition, in order
        old, new = before.get(key), after.get(key)
        name = quoting.cut(str(key))  # otherwise a long one would be repeated for each key below it
        if isinstance(old, dict) and isinstance(new, dict) and steps < _MOST_STEPS:
            yield from _differences(old, new, f"{prefix}{name}.", steps + 1)
        elif old != new or (key in before) != (key in after):
            yield f"{prefix}{name}"
