"""A session's CSRF token, which tells its own forms from those of other sites.

session.get_token()                     # 'kq3v…', for a hidden field of a form
session.verify_token(form["_token"])    # True
"""

from __future__ import annotations

from typing import Any

from .flash import Flash
from .formats import FORMATS
from .ids import shorten

# Of each format, since a session may have come from another one.
_KEYS = {key for format in FORMATS.values() for key in format.token_keys}


def shorten_tokens(attributes: dict[str, Any]) -> None:
    """Shorten the CSRF tokens in a session's content, and what they are made of: all are secrets."""
    for key in _KEYS.intersection(attributes):
        if isinstance(attributes[key], str):
            attributes[key] = shorten(attributes[key])


class CsrfToken(Flash):
    """Attributes with flash data and the token, which has the key ``_token``, or those of the option `format`."""

    __slots__ = ()

    def get_token(self) -> str:
        """The CSRF token; made if there is none. npm: `getToken`, undefined after `flush`."""
        content = self._content
        token = content.format.token_of(content.attributes)
        if token is None:
            self.regenerate_token()
            token = content.format.token_of(content.attributes)
        return str(token)

    def regenerate_token(self) -> None:
        """Make a new CSRF token. npm: `regenerateToken`."""
        self.put(self._content.format.new_tokens(self._content.attributes))

    def _find_no_token(self, default: Any) -> Any:
        return self.get_token() if self._content.makes_token_when_asked else default

    def verify_token(self, token: object) -> bool:
        """Whether `token` is this session's CSRF token; compared in constant time."""
        content = self._content
        return isinstance(token, str) and content.format.accepts(content.attributes, token)
