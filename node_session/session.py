"""The front door: a `NodeSession` starts the session of a request, and closes it with the response.

    sessions = NodeSession({"secret": "…", "driver": "file"})

    class Page(tornado.web.RequestHandler):
        async def prepare(self):
            await sessions.start_session(self.request, self)

        def get(self):
            self.write(self.request.session.get("name", "Nobody"))

A program makes one and uses it for all its requests. `node_session.web.SessionMixin` does the same with less typing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, WebSocketProtocol

from . import cookies, drivers, encryption, hints
from .callbacks import takes_callback
from .config import Config
from .drivers import Creator, Driver
from .encryption import CustomEncrypter, Encrypter
from .errors import SessionError, UnavailableError
from .immediate import is_immediate, run
from .origin import is_withheld
from .proxy import Trust, compile_trust, is_https
from .renewals import Renewals
from .report import OnEvent, Stats, Watch
from .response import HeldResponse, unavailable, warn_of_early_end
from .store import EncryptedStore, Store, Terms

logger = logging.getLogger("node_session")

# A sweep is followed by a rest of this many times its own length, so that however often the lottery is won and
# however large the store is, removing expired sessions takes a tenth of one thread at most.
_REST_AFTER_SWEEP = 9

_BOTH = (False, True)

# Milliseconds, a hundred years: what a sweep is told where sessions do not expire. There is still the file driver's
# litter of killed processes to remove.
_FOR_EVER = 100 * 365 * 24 * 60 * 60 * 1000.0


# An unchanged session is renewed when this part of its lifetime has passed since it was last, so that it may end so
# much too early, and a session that is asked for many times a second is not written as often.
_RENEWED_PART = 0.01


class NodeSession:
    """Sessions for a Tornado application.

    Args:
        config: The original's config dict; every option is described in `node_session.config.Config`.
        encrypter: Used when ``encrypt`` is true, in place of the package's own: an object with ``encrypt(text)`` and
            ``decrypt(text)`` that return text.
        on_event: Called with a name and a dict of attributes when something happens to a session, and when a request
            has ended (see `node_session.report`); for traces and metrics. It should be quick: requests wait for it.

    Attributes:
        on_event: The same; it can be set at any time.

    Raises:
        ConfigError: Something in the config cannot be used; all of it is named.
    """

    def __init__(
        self, config: Mapping[str, Any] | Config, encrypter: Encrypter | None = None, *, on_event: OnEvent | None = None
    ) -> None:
        self.config = config if isinstance(config, Config) else Config.from_dict(config)
        self._watch = Watch(self.config.driver, on_event)
        self._encrypter = encryption.choose(self.config.encrypt, self.config.secret)
        if encrypter is not None:
            self.set_encrypter(encrypter)
        self._bound_to = self.config.cookie if self.config.bind_name else ""
        # By whether it is for https only, and whether it ends with the browser.
        self._set_cookies = {(secure, ends): self._make_set_cookie(secure, ends) for secure in _BOTH for ends in _BOTH}
        self._has_warned_of_http = False
        self._has_warned_of_forged = False
        self._terms = Terms(
            strict=self.config.strict,
            save_timeout=self.config.save_timeout,
            save_untouched=self.config.save_uninitialized,
            absolute_lifetime=self.config.absolute_lifetime,
            grace=self.config.regenerate_grace,
            renew_after=self.config.lifetime * _RENEWED_PART,
            max_size=self.config.max_size,
        )
        self._renewals = Renewals(self.config.lifetime, lambda session: self._touch(session, session.touch()))
        self._trust: Trust | None = None
        if self.config.trust_proxy:
            self._trust = self.config.trust_proxy_fn or compile_trust(self.config.trust_proxy)
        self._driver: Driver | None = None
        self._making: asyncio.Future[Driver] | None = None
        self._sweep_again_at = 0.0
        self._background: set[asyncio.Task[None]] = set()  # the loop itself keeps no strong references

    def __repr__(self) -> str:
        return f"<NodeSession {self.config.cookie} on {self.config.driver}>"

    if not TYPE_CHECKING:  # type checkers are to find such names themselves

        def __getattr__(self, name: str) -> Any:
            return hints.look_up(self, name, has_keys=False)

    def ends_with_browser(self, session: Store) -> bool:
        """Whether a session's cookie is one that ends with the browser: the option ``expireOnClose``.

        Override this method to decide for each session, as for "remember this device". How long the record lives is
        for `lifetime` to say in either case.
        """
        return self.config.expire_on_close

    @classmethod
    def register_handler(cls, name: str, creator: Creator) -> None:
        """Make a driver of your own known, under a name for ``config["driver"]``. npm: hidden in the manager.

        Args:
            name: To be used by configs that are read from now on. A built-in name is replaced.
            creator: Called with the `Config`, inside the running loop, when the first session is asked for. It
                returns the driver, or an awaitable of one: a `node_session.drivers.Driver`, or any object with
                ``read(id)``, ``write(id, text)`` and ``destroy(id)``.
        """
        drivers.register(name, creator)

    def set_encrypter(self, encrypter: Encrypter) -> None:
        """Use another encrypter from now on. npm: `setEncrypter`."""
        self._encrypter = CustomEncrypter(encrypter)

    @property
    def stats(self) -> Stats:
        """How many sessions were created, loaded, saved and so on, since this `NodeSession` was made."""
        return self._watch.stats

    @property
    def on_event(self) -> OnEvent | None:
        """Who is told of what happens; see the class."""
        return self._watch.on_event

    @on_event.setter
    def on_event(self, on_event: OnEvent | None) -> None:
        self._watch.on_event = on_event

    @takes_callback("nothing", unless=lambda sessions, request, handler: handler._finished)
    async def start_session(self, request: HTTPServerRequest, handler: RequestHandler) -> Store:
        """Load the session of a request, and see to it that it is saved before the response leaves.

        Await it in the handler's `prepare`, or return it from there. Afterwards the session is ``request.session``.
        npm: `startSession`.

        Args:
            request: The handler's request.
            handler: Its response is held until the session is saved, and carries the cookie.
            callback: Called without arguments when the session is there; not if the handler did not wait for it, and
                has finished before. Then a warning says so.

        Returns:
            The session. A second call for the same request returns the same one.

        Raises:
            tornado.web.HTTPError: 503, the store cannot be reached. Nothing is written then.
        """
        started = getattr(request, "session", None)
        if started is not None and isinstance(started, Store):
            if not started.is_started:
                raise SessionError("start_session() is already at work for this request: await it before you go on")
            return started
        if handler._finished:
            warn_of_early_end(handler, self._watch)
        found = self._find_cookie(request)
        response: HeldResponse | None = None
        try:
            driver = self._driver if self._driver is not None else await self.driver()
            session = self._store(driver, found.id, found.others)
            response = HeldResponse(
                handler, session, lambda session: self._cookie_line(request, found, session), self._after
            )
            session.has_cookie = found.value is not None  # until it takes another id
            request.session = session  # type: ignore[attr-defined]
            await session.start()
            if found.forged and found.id is None:
                session.trace.found = "forged"
            if (
                not session.has_cookie
                and session.is_new
                and is_withheld(self.config.same_site, request.method or "", request.headers)
            ):
                session.is_withheld = True
            if isinstance(handler, WebSocketHandler):
                session.ages_flash = False
                _save_before_handshake(handler, response)
        except BaseException as error:
            if response is not None:
                response.abandon()
            if isinstance(error, UnavailableError):
                raise unavailable(error) from error
            raise
        finally:
            if handler._finished:
                warn_of_early_end(handler, self._watch)
        response.open()
        if not handler._finished:
            self._renewals.add(request, session)
        return session

    @takes_callback("result")
    async def get_session(self, request: HTTPServerRequest) -> Store:
        """The session of a request, without loading it: call `start` on it, and `save`. npm: `getSession`.

        No response waits for it and no cookie is sent. It is what `start_session` is made of.

        Args:
            request: Any request; only its cookie is read.
            callback: Called with the session.
        """
        found = self._find_cookie(request)
        return self._store(await self.driver(), found.id, found.others)

    async def sweep(self) -> int:
        """Remove the expired sessions; a program does so by itself, as often as the option `lottery` says.

        Returns:
            How many were removed; 0 for a store that expires them by itself.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        removed = await (await self.driver()).gc(self.config.lifetime or _FOR_EVER)
        if removed:
            self._watch.note("removed", count=removed)
        logger.debug("removed %d expired sessions", removed)
        return removed

    async def close(self) -> None:
        """Wait for what is going on in the background, and release the driver's files and connections.

        Call it when no request is under way, as one that ends later opens the store again.
        """
        loop = asyncio.get_running_loop()
        while here := [task for task in self._background if task.get_loop() is loop]:  # others may not run any more
            await asyncio.wait(here)
        self._sweep_again_at = 0.0
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def driver(self) -> Driver:
        """The driver, which keeps the records; made if need be, as by the first session that is asked for.

        Raises:
            UnavailableError: It cannot be made now.
        """
        if self._driver is not None:
            return self._driver
        making = self._making
        # Done without a driver, it has failed; in another loop, nobody knows whether that one still runs.
        if making is None or making.done() or making.get_loop() is not asyncio.get_running_loop():
            making = self._making = asyncio.ensure_future(self._make_driver())
        return await asyncio.shield(making)  # others may be waiting for it

    async def _make_driver(self) -> Driver:
        self._driver = driver = await drivers.create(self.config)
        return driver

    def _store(self, driver: Driver, id: str | None, others: tuple[str, ...] = ()) -> Store:
        config, terms, watch = self.config, self._terms, self._watch
        if config.encrypt and self._encrypter is not None:
            return EncryptedStore(config.cookie, driver, self._encrypter, id, others=others, terms=terms, watch=watch)
        return Store(config.cookie, driver, id, others=others, terms=terms, watch=watch)

    def _make_set_cookie(self, secure: bool, ends_with_browser: bool) -> cookies.SetCookie:
        config = self.config
        return cookies.SetCookie(
            config.cookie,
            lifetime=0 if ends_with_browser else config.lifetime,
            path=config.path,
            domain=config.domain,
            secure=secure,
            http_only=config.http_only,
            # Without Secure browsers would refuse the cookie for these two, so over http it comes without (`auto`).
            same_site=None if config.same_site == "none" and not secure else config.same_site,
            partitioned=config.partitioned and secure,
        )

    def _find_cookie(self, request: HTTPServerRequest) -> cookies.Found:
        header = request.headers.get("Cookie")
        if header is not None and "," in header:  # of several Cookie headers Tornado makes one, with commas
            header = ";".join(request.headers.get_list("Cookie"))
        found = cookies.find(header, self.config.cookie, self.config.secret, self._bound_to)
        if found.forged:
            self._watch.note("forged")
            self._tell_of_forged(request, found)
        return found

    def _tell_of_forged(self, request: HTTPServerRequest, found: cookies.Found) -> None:
        text, level = "a %s cookie with a wrong signature was ignored, from %s", logging.INFO
        # With a good cookie beside it, the secret is not what is wrong. Only the first is a warning, as anybody can
        # send such cookies.
        if found.id is None and not self._has_warned_of_forged:
            self._has_warned_of_forged = True
            level = logging.WARNING
            text += (
                ". If users are logged out: the secret has changed, or is not the same in all programs that share the "
                "sessions. Keep the old one as the second in the list `secret`. Further such cookies are logged as INFO"
            )
        logger.log(level, text, self.config.cookie, request.remote_ip)

    def _sign(self, id: str) -> str:
        return cookies.sign(id, self.config.secret[0], self._bound_to)

    def _cookie_line(self, request: HTTPServerRequest, found: cookies.Found, session: Store) -> str | None:
        trace = session.trace
        is_unsent = session.is_gone or session.is_untouched
        is_deleted = is_unsent and not session.is_gone and session.is_ended and found.id is not None
        if is_unsent and not is_deleted:
            trace.cookie = "not sent: " + self._why_not(session)
            return None
        secure = bool(self.config.secure)
        if secure and not self._is_secure(request):
            if self.config.secure is True:
                trace.cookie = "not sent: it is for https only"
                self._warn_of_http(request)
                return None
            secure = False
        if is_deleted:
            trace.cookie = "deleted"
            return self._set_cookies[secure, False].deletion
        trace.cookie = "sent"
        id = session.get_id()
        value = found.value if found.value is not None and id == found.id else self._sign(id)
        return self._set_cookies[secure, self.ends_with_browser(session)].line(value)

    def _why_not(self, session: Store) -> str:
        if session.is_gone:
            return "the session is gone"
        if session.is_withheld:
            return "another site made this request, from which sameSite withholds the user's own cookie"
        return "nothing is in the session"

    def _warn_of_http(self, request: HTTPServerRequest) -> None:
        if not self._has_warned_of_http:
            self._has_warned_of_http = True
            logger.warning(
                "the session cookie is for https only, but %s asks over http: no cookie is sent, and new sessions are "
                "not stored. Behind a proxy that ends https, set trustProxy; for both, set secure to 'auto'",
                request.remote_ip,
            )

    def _is_secure(self, request: HTTPServerRequest) -> bool:
        if self._trust is not None:
            # The peer of the connection: remote_ip may be what a header says (Tornado's xheaders).
            peer = getattr(getattr(request.connection, "context", None), "address", None)
            address = peer[0] if isinstance(peer, tuple) else ""
            if self._trust(address, 0):
                return is_https(request.headers.get("X-Forwarded-Proto"), request.protocol)
        return request.protocol == "https"

    def _after(self, request: HTTPServerRequest, session: Store, untouched: bool) -> None:
        """What can wait until the response has left."""
        self._renewals.discard(request)
        if untouched and session.wants_touch and not session.get_handler().renews_on_read:
            self._renew(request, session)
        else:
            self._watch.close(session, request.method or "", request.path)
        first, of = self.config.lottery
        if random.random() * of < first and time.monotonic() >= self._sweep_again_at:  # noqa: S311 - no secret
            self._sweep_again_at = float("inf")  # one sweep at a time
            self._in_background(self._sweep(), "remove expired sessions")

    def _renew(self, request: HTTPServerRequest, session: Store) -> None:
        async def renew() -> None:
            try:
                await session.touch()
            finally:
                self._watch.close(session, request.method or "", request.path)

        self._touch(session, renew())

    def _touch(self, session: Store, touch: Coroutine[Any, Any, None]) -> None:
        if is_immediate(session.get_handler().touch):
            try:
                run(touch)
            except Exception as error:
                _warn("renew a session", error)
        else:
            self._in_background(touch, "renew a session")

    async def _sweep(self) -> None:
        started = time.monotonic()
        try:
            await self.sweep()
        finally:
            now = time.monotonic()
            self._sweep_again_at = now + _REST_AFTER_SWEEP * (now - started)

    def _in_background(self, work: Coroutine[Any, Any, None], purpose: str) -> None:
        async def run() -> None:
            try:
                await work
            except Exception as error:
                _warn(purpose, error)

        task = asyncio.ensure_future(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _save_before_handshake(handler: WebSocketHandler, response: HeldResponse) -> None:
    """Have a WebSocket's session saved when all is ready for the handshake, and `get` still can wait."""
    get_protocol = handler.get_websocket_protocol

    def get_websocket_protocol() -> WebSocketProtocol | None:
        protocol = get_protocol()
        if protocol is not None:
            accept = protocol.accept_connection

            async def accept_connection(handler: WebSocketHandler) -> None:
                await response.save_before_handshake()
                await accept(handler)

            protocol.accept_connection = accept_connection  # type: ignore[method-assign]
        return protocol

    handler.get_websocket_protocol = get_websocket_protocol  # type: ignore[method-assign]


def _warn(purpose: str, error: Exception) -> None:
    # Nobody waits for it and nothing is lost, so this is one line, not a traceback.
    logger.warning("could not %s: %s: %s", purpose, type(error).__name__, error)
