"""The cookie's transport: find it in a request, verify it, write the response's."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from tornado.httputil import HTTPServerRequest

from . import checks, cookies
from .config import Config, refuse_prefix
from .cookie_choices import CookieChoices
from .cookies import Found, SetCookie
from .errors import ConfigError
from .events import Events
from .lifetimes import KEY as OWN_LIFETIME
from .lifetimes import own_lifetime
from .origin import is_withheld
from .proxy import Trust, compile_trust, is_https
from .session import Session
from .state import GONE
from .work import UnitOfWork

T = TypeVar("T")

logger = logging.getLogger("node_session")

_BOTH = (False, True)

# The number of kinds of cookies that are kept: hosts, and lifetimes that sessions have of their own.
_MOST_WRITERS = 256


class Transport:
    """Reader and writer of the cookie of a program's sessions.

    Args:
        config: The program's.
        events: Receives forged cookies.
        choices: Decides for each cookie. Only its overridden methods for the domain and the path are called.

    Attributes:
        set_cookies: Writers of Set-Cookie lines, by two flags: for https only, and ending with the browser.
        is_private: Whether shared caches are told to keep no response of a session: the option `cacheControl`.
    """

    def __init__(self, config: Config, events: Events, choices: CookieChoices) -> None:
        self._config = config
        self._events = events
        self._choices = choices
        self._ids = choices.format.ids
        self._ends_with_browser = choices.ends_with_browser
        self._bound_to = config.cookie if config.bind_name else ""
        kind = type(choices)
        self._is_same_for_all = (
            kind.cookie_domain is CookieChoices.cookie_domain and kind.cookie_path is CookieChoices.cookie_path
        )
        self.set_cookies = {(secure, ends): self._make(secure, ends) for secure in _BOTH for ends in _BOTH}
        self.is_private = config.cache_control == "private"
        self._make_once = functools.lru_cache(_MOST_WRITERS)(self._make)
        self._trust: Trust | None = None
        if config.trust_proxy:
            self._trust = config.trust_proxy_fn or compile_trust(config.trust_proxy)
        self._has_warned_of_http = False
        self._has_warned_of_forged = False

    def find(self, request: HTTPServerRequest) -> Found:
        """Find the session's cookie in a request."""
        header = request.headers.get("Cookie")
        if header is not None and "," in header:  # Tornado joins several Cookie headers with commas
            header = ";".join(request.headers.get_list("Cookie"))
        found = cookies.find(header, self._config.cookie, self._config.secret, self._bound_to, self._ids)
        if found.forged:
            self._events.note("forged")
            self._tell_of_forged(request, found)
        return found

    def is_withheld(self, request: HTTPServerRequest) -> bool:
        """Whether another site made the request, so that browsers withhold the cookie."""
        return is_withheld(self._config.same_site, request.method or "", request.headers)

    def line(self, request: HTTPServerRequest, found: Found, session: Session, work: UnitOfWork) -> str | None:
        """The Set-Cookie line for a response sent now; None for no cookie.

        Args:
            request: The request that is answered.
            found: Its cookie.
            session: Its session.
            work: The session's. Its trace notes whether the cookie is sent, or why not.
        """
        trace = work.trace
        is_deleted = False
        if work.state is GONE or work.is_untouched or work.is_passive:
            is_deleted = work.state is not GONE and work.is_ended and found.id is not None
            if not is_deleted:
                trace.cookie = "not sent: " + _why_not(work)
                return None
        secure = bool(self._config.secure)
        if secure and not self.is_secure(request):
            if self._config.secure is True:
                trace.cookie = "not sent: it is for https only"
                self._warn_of_http(request)
                return None
            secure = False
        if is_deleted:
            trace.cookie = "deleted"
            return self._writer(request, secure, False, None).deletion
        trace.cookie = "sent"
        id, value = work.id, found.value
        if value is None or id != found.id:
            value = cookies.sign(id, self._config.secret[0], self._bound_to)
        ends = self._ends_with_browser(session)
        if self._is_same_for_all and OWN_LIFETIME not in work.content.attributes:
            return self.set_cookies[secure, ends].line(value)
        return self._writer(request, secure, ends, own_lifetime(work.content.attributes)).line(value)

    def _writer(self, request: HTTPServerRequest, secure: bool, ends: bool, own_lifetime: float | None) -> SetCookie:
        """The writer for one request; see `_make`."""
        if self._is_same_for_all:
            return self._make_once(secure, ends, own_lifetime)
        domain = _checked(checks.cookie_domain, "cookie_domain", self._choices.cookie_domain(request))
        path = _checked(checks.cookie_path, "cookie_path", self._choices.cookie_path(request))
        refusal = refuse_prefix(self._config.cookie, path, domain)
        if refusal is not None:
            raise ConfigError(f"cookie_domain() and cookie_path() of the NodeSession: {refusal}")
        return self._make_once(secure, ends, own_lifetime, domain, path)

    def _make(
        self,
        secure: bool,
        ends_with_browser: bool,
        own_lifetime: float | None = None,
        domain: str | None = None,
        path: str | None = None,
    ) -> SetCookie:
        """Make a writer.

        Args:
            secure: Whether its cookies are for https only.
            ends_with_browser: Whether they end with the browser.
            own_lifetime: In milliseconds, if the session has one.
            domain: Counts together with `path`.
            path: None: the options count.
        """
        config = self._config
        lifetime = config.lifetime if own_lifetime is None else own_lifetime
        return SetCookie(
            config.cookie,
            lifetime=0 if ends_with_browser else lifetime,
            path=config.path if path is None else path,
            domain=config.domain if path is None else domain,
            secure=secure,
            http_only=config.http_only,
            # Browsers refuse SameSite=None and Partitioned without Secure, so over http (`auto`) both are left out.
            same_site=None if config.same_site == "none" and not secure else config.same_site,
            partitioned=config.partitioned and secure,
        )

    def is_secure(self, request: HTTPServerRequest) -> bool:
        """Whether a request came by https, as far as the proxies before us can be trusted."""
        if self._trust is not None:
            # The connection's peer: with Tornado's xheaders, remote_ip comes from a header.
            peer = getattr(getattr(request.connection, "context", None), "address", None)
            address = peer[0] if isinstance(peer, tuple) else ""
            if self._trust(address, 0):
                return is_https(request.headers.get("X-Forwarded-Proto"), request.protocol)
        return request.protocol == "https"

    def _tell_of_forged(self, request: HTTPServerRequest, found: Found) -> None:
        text, level = "a %s cookie with a wrong signature was ignored, from %s", logging.INFO
        # With a valid cookie beside it, the secret is right. Only the first is a warning, since anybody can send such
        # cookies.
        if found.id is None and not self._has_warned_of_forged:
            self._has_warned_of_forged = True
            level = logging.WARNING
            text += (
                ". If users are logged out: the secret has changed, or is not the same in all programs that share the "
                "sessions. Keep the old one as the second in the list `secret`. Further such cookies are logged as INFO"
            )
        logger.log(level, text, self._config.cookie, request.remote_ip)

    def _warn_of_http(self, request: HTTPServerRequest) -> None:
        if not self._has_warned_of_http:
            self._has_warned_of_http = True
            logger.warning(
                "the session cookie is for https only, but %s asks over http: no cookie is sent, and new sessions are "
                "not stored. Behind a proxy that ends https, set trustProxy; for both, set secure to 'auto'",
                request.remote_ip,
            )


def _checked(check: Callable[[Any], T], method: str, value: Any) -> T:
    """Check what an overridden method of `NodeSession` returned, as the option of this meaning.

    Raises:
        ConfigError: It may not have this value.
    """
    if inspect.iscoroutine(value):
        value.close()  # or Python warns of it as well
    try:
        return check(value)
    except ValueError as problem:
        raise ConfigError(f"what {method}() of the NodeSession returns {problem}") from None


def _why_not(work: UnitOfWork) -> str:
    if work.state is GONE:
        return "the session is gone"
    if work.is_withheld:
        return "another site made this request, from which sameSite withholds the user's own cookie"
    return "the request is passive" if work.is_passive else "nothing is in the session"
