"""A browser that keeps its cookie, and a driver that takes its time."""

from __future__ import annotations

import asyncio
import json

from tornado.httpclient import HTTPResponse

from node_session import NodeSession, cookies
from node_session.drivers import MemoryDriver
from node_session.drivers.base import Driver

SECRET = "only-for-tests-3f1c0f5e9a7b4d2e8c6a"
ID = "A" * 40


class SlowDriver(Driver):
    """A driver over a slow network: every call takes 20 ms, and writes another 80."""

    def __init__(self, lifetime: float) -> None:
        self.memory = MemoryDriver(lifetime)

    async def read(self, id):
        await asyncio.sleep(0.02)
        return await self.memory.read(id)

    async def write(self, id, payload, version):
        await asyncio.sleep(0.1)
        return await self.memory.write(id, payload, version)

    async def touch(self, id):
        await asyncio.sleep(0.02)
        await self.memory.touch(id)

    async def destroy(self, id, version=None):
        await asyncio.sleep(0.02)
        await self.memory.destroy(id, version)

    async def gc(self, lifetime):
        await asyncio.sleep(0.02)
        return await self.memory.gc(lifetime)


NodeSession.register_handler("slow", lambda config: SlowDriver(config.lifetime))


class Browser:
    """One client: sends the cookie it was given last."""

    def __init__(self, client, base_url: str, sessions: NodeSession) -> None:
        self.client = client
        self.base_url = base_url
        self.sessions = sessions
        self.cookie: str | None = None

    @property
    def id(self) -> str | None:
        """The session's id, as the cookie says."""
        return cookies.find(f"node_session={self.cookie}", "node_session", [SECRET]).id

    def set_id(self, id: str) -> None:
        """Have the cookie of this session."""
        self.cookie = cookies.sign(id, SECRET)

    async def get(self, path: str = "/", method: str = "GET", headers=None, **options) -> HTTPResponse:
        """Send a request; redirects are not followed, and no status is an exception."""
        headers = dict(headers or {})
        if self.cookie is not None and "Cookie" not in headers:
            headers["Cookie"] = f"node_session={self.cookie}"
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
        """What the store holds of the session; None for no record."""
        record = await (await self.sessions.driver()).read(id or self.id)
        return None if record is None else json.loads(record.payload)

    async def store(self, attributes: dict, id: str = ID) -> None:
        """Put a record into the store, and take its cookie."""
        await (await self.sessions.driver()).write(id, json.dumps(attributes, separators=(",", ":")), None)
        self.set_id(id)
