"""The content of a session, and its changes since it was loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from .changes import Changes
from .events import Events
from .formats import NODE_SESSION, Format
from .late import LateChanges


class Client(Protocol):
    """A request, as far as the list of its user's devices tells of it."""

    @property
    def remote_ip(self) -> str | None:
        """The client's address."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers."""


class Former(NamedTuple):
    """A device that a session was, until its owner logged out or another one logged in.

    Attributes:
        owner: Its owner.
        device: Its id.
        is_log_out: Whether all its sessions end.
    """

    owner: str
    device: str
    is_log_out: bool


class Content:
    """The content of a session, shared by its `Session` and the code that saves it.

    The defaults are the class's, so that making one costs next to nothing.
    """

    attributes: dict[str, Any]
    """The session's values by key."""

    changes: Changes
    """The changes that a comparison of before and after cannot find."""

    is_pristine = True
    """Whether nothing was changed, and no list or dict was handed out in which something could be. Saving then need not
    compare before and after: 21,000 instructions at 0.3 KB, a tenth of all that a reading request costs here."""

    is_late = False
    """Whether no response will come that could save a change, so that each is noted."""

    format: Format = NODE_SESSION
    """The format of the records."""

    late: LateChanges | None = None
    """The late changes; made by the first one."""

    events: Events | None = None
    """Receives warnings of late changes."""

    ages_flash = True
    """Whether the next save ages the flash data.

    One save a request does so, but none in a WebSocket, which shows no page."""

    passing: list[str] | None = None
    """The keys that `now` has set since the last aging: they go with this request, even if it ages nothing."""

    flashed_lists: dict[str, Any] | None = None
    """The lists of flashed keys, as `node_session.flash` remembers them."""

    makes_token_when_asked = False
    """Whether the CSRF token is made when it is used, as without `saveUninitialized`."""

    find_client: Callable[[], Client | None] | None = None
    """Finds the request that the session serves, as long as it is there."""

    new_device: str | None = None
    """The device that `set_owner` has made in this request, so that it may not be in its owner's list yet."""

    is_unverified = False
    """Whether the session was entered in its owner's list, and not yet looked for there after its write."""

    former: Former | None = None
    """The device to take out of its owner's list."""

    def __init__(self) -> None:
        self.attributes = {}
        self.changes = Changes()

    def note_late(self, key: str) -> None:
        """Note that a key is being changed although no response will come."""
        if self.late is None and self.events is not None:
            self.late = LateChanges(self.events)
        if self.late is not None:
            self.late.note(key)

    def settle_late(self) -> None:
        """Forget the late changes: they were saved, or the program got an error."""
        if self.late is not None:
            self.late.settle()
