"""The methods of `NodeSession` that a program overrides to decide about a cookie."""

from __future__ import annotations

from tornado.httputil import HTTPServerRequest

from .config import Config
from .formats import Format
from .session import Session, work_of


class CookieChoices:
    """What can differ from cookie to cookie; by default, the options decide.

    Attributes:
        config: The options.
        format: The form of the records, which may say when a cookie ends.
    """

    config: Config
    format: Format

    def ends_with_browser(self, session: Session) -> bool:
        """Whether a session's cookie ends with the browser: the option `expireOnClose`.

        Override this method to decide for each session, as for "remember this device". In either case the record lives
        for the option `lifetime`, or for what `Session.set_lifetime` says. In the format express-session, the record
        says it.
        """
        if not self.format.has_envelope:
            return self.config.expire_on_close
        work = work_of(session)
        return self.format.ends_with_browser(work.envelope, work.content.attributes)

    def cookie_domain(self, request: HTTPServerRequest) -> str | None:
        """The domain of a request's cookie: the option `domain`.

        Override this method, and `cookie_path`, if one program serves many hosts. It must always return the same for
        one host, or a browser has two cookies of one name.
        """
        return self.config.domain

    def cookie_path(self, request: HTTPServerRequest) -> str:
        """The path of a request's cookie: the option `path`. See `cookie_domain`."""
        return self.config.path
