"""A session's owner: the user who is logged in.

    session.set_owner("ann")    # at login
    session.owner               # 'ann'

It is kept under the keys ``_owner`` and ``_device``. The save that follows enters the session in the owner's list of
devices; see `node_session.enlisting`.
"""

from __future__ import annotations

from . import owners
from .content import Former
from .csrf_token import CsrfToken
from .owners import DEVICE, OWNER


class Ownership(CsrfToken):
    """Attributes with flash data, the CSRF token, and an owner."""

    __slots__ = ()

    @property
    def owner(self) -> str | None:
        """The owner given to `set_owner`; None: nobody is logged in."""
        owned = owners.owned(self._content.attributes)
        return None if owned is None else owned.owner

    def set_owner(self, owner: str | None) -> None:
        """Say who is logged in, so that `NodeSession.devices` and `NodeSession.log_out` find this session.

        Call it at login, after `regenerate`. At log-out `invalidate` does the rest.

        Args:
            owner: A text that stays the same for this user, such as a user name or number; None: nobody is logged in
                any more.

        Raises:
            ValueError: It is empty, longer than 1,000 characters, or no text.
        """
        content = self._content
        if owner is None:
            self._note_former(is_log_out=False)
            self.forget([OWNER, DEVICE])
        elif owners.check_owner(owner) != self.owner:
            self._note_former(is_log_out=False)
            content.new_device = owners.make_device()
            self.put({OWNER: owner, DEVICE: content.new_device})

    def _note_former(self, *, is_log_out: bool) -> None:
        """Note the present owner and device, which the next save takes out of the list."""
        content = self._content
        owned = owners.owned(content.attributes)
        if owned is not None and owned.device != content.new_device:
            content.former = Former(*owned, is_log_out)
