"""A visitor of your application, for its tests.

    @pytest.mark.gen_test
    async def test_cart(visitor):
        await visitor.become({"user": {"name": "Ann"}})    # logged in, without the form
        await visitor.post("/cart", {"sku": "mug"})        # with the session's CSRF token
        await visitor.assert_has("cart[0].sku", "mug")
        await visitor.assert_flashed("status", "Added.")

The fixture `visitor` comes with the package (see `node_session.testing.plugin`). Without it, in a
`tornado.testing.AsyncHTTPTestCase` for example: ``Visitor(self.http_client, self.get_url(""), sessions)``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from .. import cookies
from ..manager import NodeSession
from ..session import Session, work_of
from .browser import Browser

_ANY = object()
_GET = RequestStartLine("GET", "/", "HTTP/1.0")


class Visitor(Browser):
    """A browser that can also read and change its stored session.

    Args:
        client: Sends the requests.
        url: The application's, as ``http://127.0.0.1:3000``.
        sessions: The application's.

    Attributes:
        sessions: The application's, for what a visitor has no method for: its driver, for example.
    """

    def __init__(self, client: AsyncHTTPClient, url: str, sessions: NodeSession) -> None:
        super().__init__(client, url)
        self.sessions = sessions

    # ---------------------------------------------------------------- the session

    @property
    def id(self) -> str | None:
        """The id in the session's cookie; None without a valid one."""
        config = self.sessions.config
        return cookies.find(
            self.headers.get("Cookie"), config.cookie, config.secret, self._bound_to, self.sessions.format.ids
        ).id

    @property
    def cookie(self) -> str | None:
        """The value of the session's cookie; None: it has none. It may be set."""
        return self.cookies.get(self.sessions.config.cookie)

    @cookie.setter
    def cookie(self, value: str | None) -> None:
        self.cookies.pop(self.sessions.config.cookie, None)
        if value is not None:
            self.cookies[self.sessions.config.cookie] = value

    def use_id(self, id: str) -> None:
        """Take the cookie of the session with this id, signed with the program's secret."""
        self.cookie = cookies.sign(id, self.sessions.config.secret[0], self._bound_to)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Change the stored session between two requests, or begin one.

            async with visitor.session() as session:
                session.put("cart", [])

        This does not age flash data.
        """
        session = await self._load()
        yield session
        await session.save()
        if self.id != session.get_id():
            self.use_id(session.get_id())

    async def become(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Begin a new session with these values, for example as a logged-in user.

        Args:
            values: By key; a key may be a path (``user.name``).
            more: Further ones.
        """
        self.cookie = None
        async with self.session() as session:
            session.put({**(values or {}), **more})

    async def stored(self, id: str | None = None) -> dict[str, Any] | None:
        """Read what is stored, without changing anything.

        Args:
            id: Of another session than the visitor's.

        Returns:
            The session's content; None if there is none.
        """
        id = id or self.id
        if id is None:
            return None
        session = await self._load(id)
        return session.all() if work_of(session).version is not None else None

    async def token(self) -> str:
        """Return the session's CSRF token, and store one that it makes; a visitor without a session begins one."""
        async with self.session() as session:
            return session.get_token()

    # ---------------------------------------------------------------- assertions

    async def assert_has(self, key: str, value: Any = _ANY) -> None:
        """Assert that the stored session has a key, or that it has this value."""
        session = await self._load(self.id)
        assert session.exists(key), f"the session has no {key!r}; it has {_names(session)}"
        if value is not _ANY:
            assert session.get(key) == value, f"{key!r} is {session.get(key)!r}, not {value!r}"

    async def assert_missing(self, key: str) -> None:
        """Assert that the stored session has no such key."""
        session = await self._load(self.id)
        assert not session.exists(key), f"the session has {key!r}: {session.get(key)!r}"

    async def assert_flashed(self, key: str, value: Any = _ANY) -> None:
        """Assert that the next request will see this key, and no later one."""
        session = await self._load(self.id)
        flashed: list[str] = session.get(f"{self.sessions.format.flash_key}.old", [])
        assert key in flashed, f"{key!r} is not flashed; {', '.join(map(repr, flashed)) or 'nothing'} is"
        await self.assert_has(key, value)

    # ---------------------------------------------------------------- inside

    @property
    def _bound_to(self) -> str:
        config = self.sessions.config
        return config.cookie if config.bind_name else ""

    async def _load(self, id: str | None = None) -> Session:
        """Load a session, the visitor's by default, as a request with its cookie would."""
        asking = HTTPServerRequest(start_line=_GET, headers=HTTPHeaders(self.headers if id is None else {}))
        session = await self.sessions.get_session(asking)
        if id is not None:
            session.set_id(id)
        work_of(session).content.ages_flash = False
        await session.start()
        return session


def _names(session: Session) -> str:
    return ", ".join(map(repr, session)) or "nothing"
