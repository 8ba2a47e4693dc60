"""Changes that no response saves: noticed where they are made, told when nobody can save them any more.

    self.redirect("/")
    self.session.flash("status", "Saved.")   # too late: a warning names this line

A handler's session is saved with its response, so what comes later is for the program to save: by `transaction`, or by
`save`. Whether it does, nobody knows before the session has been let go of. So it is then that the warning comes, as
asyncio's does for an exception that was never retrieved. What is changed in place, in a list or dict of the session,
is not noticed.
"""

from __future__ import annotations

import sys

from .quoting import quote
from .report import Watch

# Not where a change is made from, but what it is made by.
_PASSED_BY = ("node_session", "collections", "_collections_abc")


class LateChanges:
    """The changes of one session since its response, until they are saved.

    Args:
        watch: Knows which places have been warned of: each is once.
    """

    __slots__ = ("_changes", "_watch")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._changes: dict[str, str] = {}  # the first key that was changed, by place

    def note(self, key: str) -> None:
        """A key is being changed, by the caller's caller."""
        self._changes.setdefault(find_place(), key)

    def settle(self) -> None:
        """They were saved, or whoever tried has got an error."""
        self._changes.clear()

    def __del__(self) -> None:
        for place, key in self._changes.items():
            warn_of_loss(
                self._watch,
                place,
                [key],
                "after its response",
                "change it before finish(), redirect() or render(), or save it there: async with session.transaction()",
            )


def warn_of_loss(watch: Watch, place: str, keys: list[str], when: str, cure: str) -> None:
    """Say what was lost: once for a place."""
    named = ", ".join(quote(key) for key in keys[:10])
    watch.warn_once(place, "%s: the session's %s was changed %s, and not saved: %s", place, named, when, cure)


def find_place() -> str:
    """The line of the program, ``file:line``, that has led here."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_BY:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
