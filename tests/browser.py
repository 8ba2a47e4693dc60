"""A browser that keeps its cookie."""

from __future__ import annotations

import json

from tornado.httpclient import HTTPResponse

from node_session import NodeSession, cookies

SECRET = "only-for-tests-3f1c0f5e9a7b4d2e8c6a"
OLD_SECRET = "an-older-one-for-tests-77c0d1e2f3a4b"
ID = "A" * 40


class Browser:
    """One client, which sends the cookie that it got last."""

    def __init__(self, client, base_url: str, sessions: NodeSession) -> None:
        self.client = client
        self.base_url = base_url
        self.sessions = sessions
        self.cookie: str | None = None

    @property
    def id(self) -> str | None:
        """The session's id, from the cookie."""
        return cookies.find(f"node_session={self.cookie}", "node_session", [SECRET]).id

    def set_id(self, id: str) -> None:
        """Take the cookie of this session."""
        self.cookie = cookies.sign(id, SECRET)

    @property
    def cookie_header(self) -> dict[str, str]:
        """The header with the cookie, for requests made by other means than `get`."""
        return {"Cookie": f"node_session={self.cookie}"}

    async def get(self, path: str = "/", method: str = "GET", headers=None, **options) -> HTTPResponse:
        """Send a request; redirects are not followed, and no status is an exception."""
        headers = dict(headers or {})
        if self.cookie is not None and "Cookie" not in headers:
            headers |= self.cookie_header
        if method in ("POST", "PUT", "PATCH"):
            options.setdefault("body", "")
        response = await self.client.fetch(
            self.base_url + path, method=method, headers=headers, raise_error=False, follow_redirects=False, **options
        )
        for line in response.headers.get_list("Set-Cookie"):
            if line.startswith("node_session="):
                self.cookie = line.partition("=")[2].partition(";")[0]
        return response

    async def stored(self, id: str | None = None):
        """The session's stored content; None if there is no record."""
        record = await (await self.sessions.driver()).read(id or self.id)
        return None if record is None else json.loads(record.payload)

    async def store(self, attributes: dict, id: str = ID) -> None:
        """Put a record into the store, and take its cookie."""
        await (await self.sessions.driver()).write(id, json.dumps(attributes, separators=(",", ":")), None)
        self.set_id(id)
