"""Changes after the response, which are lost: a warning names their line.

    self.redirect("/")
    self.session.flash("status", "Saved.")   # too late: a warning names this line

A response saves its handler's session, so the program must save later changes itself: by `transaction`, or by `save`.
Whether it does is known only when the session is freed. The warning comes then, like asyncio's for an exception that
was never retrieved. Changes in place, in a list or dict of the session, are not noticed.
"""

from __future__ import annotations

import sys

from .events import Events
from .quoting import quote

# The top-level packages that make a change on behalf of the program's own line.
_PASSED_BY = ("node_session", "collections", "_collections_abc")


class LateChanges:
    """The changes of one session since its response, until they are saved.

    Args:
        events: Warns of each place once.
    """

    __slots__ = ("_changes", "_events")

    def __init__(self, events: Events) -> None:
        self._events = events
        self._changes: dict[str, str] = {}  # the first key that was changed, by place

    def note(self, key: str) -> None:
        """Note that the program changes a key, and the line that does it."""
        self._changes.setdefault(find_place(), key)

    def settle(self) -> None:
        """Forget the changes: they were saved, or the program got an error."""
        self._changes.clear()

    def __del__(self) -> None:
        for place, key in self._changes.items():
            warn_of_loss(
                self._events,
                place,
                [key],
                "after its response",
                "change it before finish(), redirect() or render(), or save it there: async with session.transaction()",
            )


def warn_of_loss(events: Events, place: str, keys: list[str], when: str, cure: str) -> None:
    """Warn of lost changes, once for each place."""
    named = ", ".join(quote(key) for key in keys[:10])
    events.warn_once(place, "%s: the session's %s was changed %s, and not saved: %s", place, named, when, cure)


def find_place() -> str:
    """Find the program's line that led here, as ``file:line``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_BY:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
