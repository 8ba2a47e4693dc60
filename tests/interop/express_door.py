"""Ours behind the door that express_door.js is for Express; see there."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin

USERS: dict[str, Any] = {"ann": "ann", "zero": 0, "carl": {"id": 7, "roles": ["läser"]}}  # of express_door.js


def our_config(config: dict[str, Any]) -> dict[str, Any]:
    """Our config dict for the config of a door of Express."""
    options, cookie = config["options"], config["options"].get("cookie", {})
    ours = {"format": "express-session", "secret": options["secret"], "lottery": [0, 100]}
    ours["sameSite"] = cookie.get("sameSite")
    if "maxAge" in cookie:
        ours["lifetime"] = cookie["maxAge"]
    if config["store"] == "file":
        return {**ours, "driver": "file", "files": config["files"]}
    if config["store"] == "redis":
        return {**ours, "driver": "redis", "connection": config["connection"]}
    return {**ours, "driver": "database", "connection": config["connection"]}


class Calls:
    """The calls of express_door.js, as an application on Tornado would make them."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def all(self) -> dict[str, Any]:
        # Ours is among the attributes, and `cookie.originalMaxAge` in the record.
        return {key: value for key, value in self.session.all().items() if key != "_lifetime"}

    def get(self, path: str) -> Any:
        return self.session.get(path)

    def set(self, path: str, value: Any) -> None:
        self.session.set(path, value)

    def forget(self, name: str) -> None:
        self.session.forget(name)

    def push(self, key: str, value: Any) -> None:
        self.session.push(key, value)

    def regenerate(self) -> None:
        self.session.invalidate()

    destroy = logout = regenerate

    def save(self) -> None:
        """It is saved before the response."""

    reload = touch = save

    def move(self) -> None:
        """Give it a new id, with all that is in it."""
        self.session.regenerate(True)

    def own(self, owner: str) -> None:
        self.session.set_owner(owner)

    def note(self, key: str, value: Any) -> None:
        """Our own flash data."""
        self.session.flash(key, value)

    def increment(self, key: str) -> float:
        return self.session.increment(key)

    def maxAge(self, ms: float) -> None:
        self.session.set_lifetime(ms)

    def flash(self, *args: Any) -> Any:
        messages = self.session.get("flash", {})
        if not args:
            self.session.put("flash", {})
            return messages
        kind, *more = args
        if not more:
            return self.session.get_flashed(kind)
        message = more[0] if isinstance(more[0], list) else more
        self.session.put("flash", {**messages, kind: [*messages.get(kind, []), *message]})
        return len(self.session.get("flash")[kind])

    def login(self, name: str, password: str) -> bool:
        if name not in USERS or password != f"password of {name}":
            return False
        self.session.invalidate()
        self.session.put("passport", {"user": USERS[name]})
        return True

    def user(self) -> str | None:
        stored = self.session.get("passport.user")
        return next((name for name, user in USERS.items() if stored is not None and user == stored), None)

    def csurfToken(self) -> str:
        self._have_secret()
        return self.session.get_token()

    def csurfVerify(self, token: str) -> bool:
        self._have_secret()
        return self.session.verify_token(token)

    def _have_secret(self) -> None:
        """Make one, as csurf does before all else."""
        if not self.session.has("csrfSecret"):
            self.session.put("csrfSecret", secrets.token_urlsafe(18))

    def csrfSyncToken(self) -> str:
        if not self.session.has("csrfToken"):
            self.session.put("csrfToken", secrets.token_hex(128))
        return self.session.get("csrfToken")

    def csrfSyncVerify(self, token: str) -> bool:
        return self.session.verify_token(token)


class Door(SessionMixin, RequestHandler):
    def check_xsrf_cookie(self) -> None:
        """The calls verify tokens themselves."""

    async def post(self) -> None:
        calls = Calls(self.session)
        # Immediately a text: a live value may change with the next call.
        results = [json.dumps(getattr(calls, name)(*args)) for name, *args in json.loads(self.request.body)]
        await self.wait()
        self.set_header("Content-Type", "application/json")
        self.write(f"[{','.join(results)}]")

    async def wait(self) -> None:
        """With a header Wait-For, wait until there is a file of that name, and say by another one that it waits."""
        name = self.request.headers.get("Wait-For")
        if name is not None:
            Path(f"{name}.waiting").touch()
            while not Path(name).exists():
                await asyncio.sleep(0.01)


async def main() -> None:
    (socket,) = bind_sockets(0, "127.0.0.1")
    sessions = NodeSession(our_config(json.loads(sys.argv[1])))
    HTTPServer(Application([("/", Door)], node_session=sessions)).add_socket(socket)
    print(socket.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
