"""The lifetime that a program gives to a session.

session.set_lifetime(30 * 24 * 60 * 60 * 1000)   # remember me for 30 days
session.lifetime                                 # 2592000000
"""

from __future__ import annotations

from . import lifetimes
from .ownership import Ownership


class OwnLifetime(Ownership):
    """Attributes with flash data, the token and an owner, and a lifetime under ``_lifetime``."""

    __slots__ = ()

    def set_lifetime(self, milliseconds: float | None) -> None:
        """Let this session live longer or shorter than the option `lifetime` says, in the store and in the browser.

            session.set_lifetime(30 * 24 * 60 * 60 * 1000)  # remember me for 30 days

        `regenerate` keeps it, `flush` and `invalidate` do not.

        Args:
            milliseconds: For how long it may be idle from now on; None: for as long as the option says.

        Raises:
            ValueError: It is no number above 0, or more than a century.
        """
        if milliseconds is not None:
            self[lifetimes.KEY] = lifetimes.check(milliseconds)
        elif lifetimes.KEY in self._content.attributes:
            del self[lifetimes.KEY]
