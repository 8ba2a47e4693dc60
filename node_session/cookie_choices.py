"""The methods of `NodeSession` that a program overrides to decide about a cookie."""

from __future__ import annotations

from tornado.httputil import HTTPServerRequest

from .config import Config
from .session import Session


class CookieChoices:
    """What can differ from cookie to cookie; by default, the options decide.

    Attributes:
        config: The options.
    """

    config: Config

    def ends_with_browser(self, session: Session) -> bool:
        """Whether a session's cookie ends with the browser: the option `expireOnClose`.

        Override this method to decide for each session, as for "remember this device". In either case the record lives
        for the option `lifetime`, or for what `Session.set_lifetime` says.
        """
        return self.config.expire_on_close

    def cookie_domain(self, request: HTTPServerRequest) -> str | None:
        """The domain of a request's cookie: the option `domain`.

        Override this method, and `cookie_path`, if one program serves many hosts. It must always return the same for
        one host, or a browser has two cookies of one name.
        """
        return self.config.domain

    def cookie_path(self, request: HTTPServerRequest) -> str:
        """The path of a request's cookie: the option `path`. See `cookie_domain`."""
        return self.config.path
