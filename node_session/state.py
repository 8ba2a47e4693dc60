"""The states of a session, and the transitions between them.

| state     | is left by                                                                                         |
|-----------|----------------------------------------------------------------------------------------------------|
| UNSTARTED | start: a record found → STORED; none → NEW; one that has moved on, in its grace → GONE             |
| NEW       | written → STORED; regenerated during that write → MOVING; found destroyed → GONE; its old record   |
|           | destroyed and nothing to write → ENDED                                                             |
| STORED    | regenerate → MOVING; found destroyed → GONE; `set_id`, `set_exists(False)` → NEW                   |
| MOVING    | new record written → MOVED; old one settled, but nothing to write → NEW; found destroyed → GONE    |
| MOVED     | old record settled → STORED; regenerate → MOVING; found destroyed → GONE                           |
| ENDED     | used again after a log-out, and written → STORED; regenerated during that write → MOVING; found    |
|           | destroyed → GONE                                                                                   |
| GONE      | regenerate or invalidate → NEW: somebody logs in with an old cookie                                |

MOVING and MOVED differ from STORED because a process may be killed between the two writes of a move.
"""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """The state of a session; see the module."""

    # An IntEnum, since a plain Enum computes its hash in Python code, and each request does that.

    UNSTARTED = 0
    """Not loaded yet: it can be neither used nor saved."""

    NEW = 1
    """Never stored, under this id or another."""

    STORED = 2
    """There is a record under its id."""

    MOVING = 3
    """Regenerated: its record is still under the old id."""

    MOVED = 4
    """Its record is under the new id, and the old record is still to be settled."""

    ENDED = 5
    """This request has destroyed its record and stored no other."""

    GONE = 6
    """Destroyed, expired or moved on by others: it is not saved, its cookie not sent."""


UNSTARTED, NEW, STORED, MOVING, MOVED, ENDED, GONE = State

WAYS: dict[State, set[State]] = {
    UNSTARTED: {NEW, STORED, GONE},
    NEW: {STORED, MOVING, ENDED, GONE},
    STORED: {NEW, MOVING, GONE},
    MOVING: {NEW, MOVED, GONE},
    MOVED: {STORED, MOVING, GONE},
    ENDED: {STORED, MOVING, GONE},
    GONE: {NEW},
}
"""The table as code: the states that can follow each state, apart from itself."""
