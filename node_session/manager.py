"""The entry point: `NodeSession` starts a request's session, and has it saved.

    sessions = NodeSession({"secret": "…", "driver": "file"})

    class Page(tornado.web.RequestHandler):
        async def prepare(self):
            await sessions.start_session(self.request, self)

        def get(self):
            self.write(self.request.session.get("name", "Nobody"))

A program makes one and uses it for all its requests. With `node_session.web.SessionMixin`, handlers need no `prepare`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from . import drivers, encryption, formats, hints
from .accounts import Accounts
from .background import Background
from .callbacks import with_result, without_arguments
from .config import Config
from .cookie_choices import CookieChoices
from .drivers import Driver
from .encryption import CustomEncrypter, Encrypter
from .errors import ConfigError
from .events import Events, OnEvent, Stats
from .once import Once
from .owners import Owners
from .policy import Policy, renew_after
from .records import Records
from .session import Session
from .starting import Starter
from .sweeping import Sweeper
from .transport import Transport

logger = logging.getLogger("node_session")

Creator = Callable[[Config], "Driver | Awaitable[Driver] | Any"]
"""Function from a config to a driver; see `NodeSession.register_handler`."""


class NodeSession(CookieChoices, Accounts):
    """Sessions for a Tornado application.

    Args:
        config: The original's config dict; `node_session.config.Config` describes every option.
        encrypter: Used in place of the package's own if ``encrypt`` is true: an object with ``encrypt(text)`` and
            ``decrypt(text)``, which return text.
        on_event: Called with a name and a dict of attributes for each event of a session, and at the end of each
            request (see `node_session.events`); for traces and metrics. It should be quick: requests wait for it.

    Attributes:
        config: The options, checked.
        format: The form of the cookie and the records; see `node_session.formats`.

    Raises:
        ConfigError: The config has errors; the message names all of them.
        ImportError: The client library of the database is there, but cannot be imported.
    """

    def __init__(
        self, config: Mapping[str, Any] | Config, encrypter: Encrypter | None = None, *, on_event: OnEvent | None = None
    ) -> None:
        self.config = config if isinstance(config, Config) else Config.from_dict(config)
        drivers.load(self.config)
        self._events = Events(self.config.driver, on_event)
        self.format = formats.make(self.config.format, self.config)
        self._encrypter = encryption.choose(self.config.encrypt, self.config.secret)
        self._records = Once(self._make_records)
        self._sweeper = Sweeper(self.config, self._records, self._events)
        self._background = Background(self.config, self._events, self._sweeper.in_steps)
        transport = Transport(self.config, self._events, self)
        self._starter = Starter(
            self.config.cookie, self._records, transport, self._background, self._events, self.config.flash_on
        )
        if encrypter is not None:
            self.set_encrypter(encrypter)

    def __repr__(self) -> str:
        return f"<NodeSession {self.config.cookie} on {self.config.driver}>"

    if not TYPE_CHECKING:  # type checkers must report unknown names themselves

        def __getattr__(self, name: str) -> Any:
            return hints.look_up(self, name, has_keys=False)

    @classmethod
    def register_handler(cls, name: str, creator: Creator) -> None:
        """Register a driver of your own. npm: hidden in the manager.

        Args:
            name: A name for ``config["driver"]``, in configs that are read from now on. It may replace a built-in one.
            creator: Called with the `Config`, inside the running loop, for the first session. It returns the driver,
                or an awaitable of it: a `node_session.drivers.Driver`, or any object with ``read(id)``,
                ``write(id, text)`` and ``destroy(id)``.
        """
        drivers.register(name, creator)

    def set_encrypter(self, encrypter: Encrypter) -> None:
        """Use another encrypter from now on. npm: `setEncrypter`."""
        self._encrypter = CustomEncrypter(encrypter)
        if self._records.made is not None and self.config.encrypt:
            self._records.made.encrypter = self._encrypter

    @property
    def stats(self) -> Stats:
        """Counters of sessions created, loaded, saved and so on, since this was made."""
        return self._events.stats

    @property
    def on_event(self) -> OnEvent | None:
        """The event listener; see the class. It may be replaced at any time."""
        return self._events.on_event

    @on_event.setter
    def on_event(self, on_event: OnEvent | None) -> None:
        self._events.on_event = on_event

    # ---------------------------------------------------------------- sessions

    def start_session(
        self, request: HTTPServerRequest, handler: RequestHandler, callback: Callable[[], object] | None = None
    ) -> Awaitable[Session]:
        """Load a request's session, and have its response save it. npm: `startSession`.

        Await it in the handler's `prepare`, or return it from there. Afterwards the session is ``request.session``.

        Args:
            request: The handler's request.
            handler: Its response is held until the session is saved, and carries the cookie.
            callback: Called without arguments when the session is loaded; not if the handler has already finished,
                since it did not wait. Then a warning says so.

        Returns:
            An awaitable of the session. A second call for the same request returns the same session.

        Raises:
            tornado.web.HTTPError: 503, the store cannot be reached; nothing was written.
        """
        starting = self._starter.start(request, handler)
        return starting if callback is None else without_arguments(starting, callback, lambda: handler._finished)

    def get_session(
        self, request: HTTPServerRequest, callback: Callable[[Session], object] | None = None
    ) -> Awaitable[Session]:
        """Make a request's session without loading it. npm: `getSession`.

        Call `start` and `save` on it: no response waits for it, and no cookie is sent.

        Args:
            request: Any request; only its cookie is read.
            callback: Called with the session.

        Returns:
            An awaitable of the session.
        """
        return with_result(self._starter.get(request), callback)

    async def driver(self) -> Driver:
        """The driver, which keeps the records; made by the first call or session.

        Raises:
            UnavailableError: It cannot be made now.
        """
        return (await self._records.get()).driver

    async def sweep(self) -> int:
        """Remove the expired sessions now; requests do so as the option `lottery` says.

        Returns:
            The number removed; 0 for a store that expires records by itself.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        return await self._sweeper.sweep()

    async def close(self) -> None:
        """Wait for background work, and release the driver's files and connections.

        Call it when no request is under way: one that ends later opens the store again.
        """
        await self._background.finish()
        records = self._records.forget()
        if records is not None:
            await records.graces.finish()
            await records.driver.close()

    async def _make_records(self) -> Records:
        driver = await drivers.create(self.config)
        encrypter = self._encrypter if self.config.encrypt else None
        owners, policy = Owners(self.config.secret), _policy_of(self.config)
        records = Records(driver, policy, encrypter, self._events, owners=owners, format=self.format)
        records.on_lifetime = self._background.lifetime_noted
        return records


def sessions_of(application: Application) -> NodeSession:
    """Find an application's `NodeSession`; made now, if its setting is a config dict.

    Raises:
        ConfigError: It has neither.
    """
    configured = application.settings.get("node_session")
    if isinstance(configured, NodeSession):
        return configured
    if isinstance(configured, Mapping):
        made = application.settings["node_session"] = NodeSession(configured)
        return made
    raise ConfigError(
        "SessionMixin needs Application(..., node_session=…) with a NodeSession or a config dict, "
        f"not {type(configured).__name__}"
    )


def _policy_of(config: Config) -> Policy:
    return Policy(
        lifetime=config.lifetime,
        strict=config.strict,
        save_timeout=config.save_timeout,
        save_uninitialized=config.save_uninitialized,
        absolute_lifetime=config.absolute_lifetime,
        regenerate_grace=config.regenerate_grace,
        renew_after=renew_after(config.lifetime),
        max_size=config.max_size,
        max_devices=config.max_devices,
        device_details=config.device_details,
    )
