"""A session's CSRF token, which tells its own forms from those of other sites.

session.get_token()                     # 'kq3v…', for a hidden field of a form
session.verify_token(form["_token"])    # True
"""

from __future__ import annotations

import hmac
from typing import Any

from . import ids
from .flash import Flash


class CsrfToken(Flash):
    """Attributes with flash data and the token, which has the key ``_token``."""

    __slots__ = ()

    def get_token(self) -> str:
        """The CSRF token; made if there is none. npm: `getToken`, undefined after `flush`."""
        token = self._content.attributes.get("_token")
        if not isinstance(token, str) or not token:  # verify_token() would refuse it
            self.regenerate_token()
            token = self._content.attributes["_token"]
        return str(token)

    def regenerate_token(self) -> None:
        """Make a new CSRF token. npm: `regenerateToken`."""
        self.put("_token", ids.generate())

    def _find_no_token(self, default: Any) -> Any:
        return self.get_token() if self._content.makes_token_when_asked else default

    def verify_token(self, token: object) -> bool:
        """Whether `token` is this session's CSRF token; compared in constant time."""
        own = self._content.attributes.get("_token")
        if not isinstance(token, str) or not isinstance(own, str) or not own:
            return False
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), own.encode("utf-8", "surrogatepass"))
