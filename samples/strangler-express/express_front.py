"""Tornado in front: it serves the moved routes, and hands the rest to Node.

python samples/strangler-express/express_front.py [port] [port of Node] [moved routes]

Both programs have the same sessions, those of express-session, by the same config.json. The moved routes are a list
such as ``loans,logout``; to take one back, leave it out.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tornado.web import Application, HTTPError, RequestHandler, authenticated

from node_session import NodeSession, SessionMixin

sys.path.append(str(Path(__file__).parent.parent / "strangler"))  # its front, and this one, have the same proxy

from programs import serve
from proxy import Proxy

HERE = Path(__file__).parent
BOOKS = {"dune": "Dune", "emma": "Emma", "walden": "Walden"}


class Loans(SessionMixin, RequestHandler):
    """The books that a user has borrowed."""

    def get_current_user(self) -> str | None:
        user: str | None = self.session.get("passport.user")  # as passport's serializeUser gave it
        return user

    @authenticated
    def get(self) -> None:
        titles = [BOOKS[book] for book in self.session.get("loans", [])]
        self.render("loans.html", titles=titles, messages=self.session.get_flashed("info"))

    def post(self) -> None:
        if self.current_user is None:  # @authenticated would answer a form with 403
            self.redirect("/login")
            return
        book = self.get_body_argument("book")
        if book not in BOOKS:
            raise HTTPError(404)
        self.session.push("loans", book)
        self.session.push("flash.info", f"Tornado says: you have borrowed {BOOKS[book]}.")  # for connect-flash
        self.redirect("/")


class Logout(SessionMixin, RequestHandler):
    """End the session."""

    def post(self) -> None:
        self.session.invalidate()
        self.redirect("/")


ROUTES: dict[str, type[RequestHandler]] = {"loans": Loans, "logout": Logout}


def make_application(node_port: int, moved: list[str]) -> Application:
    """The application, with Node behind it."""
    # csrf: the forms of both sides have csurf's token in the field _csrf, and both check it.
    config = {**json.loads((HERE / "config.json").read_text()), "csrf": True}
    if url := os.environ.get("REDIS_URL"):
        config |= {"driver": "redis", "connection": {"url": url}}
    routes = [(f"/{name}", ROUTES[name]) for name in moved]
    return Application(
        [*routes, (".*", Proxy, {"port": node_port})],
        node_session=NodeSession(config),
        template_path=str(HERE),
        login_url="/login",
    )


async def main(port: str = "3000", node_port: str = "3001", moved: str = ",".join(ROUTES)) -> None:
    """Serve until the process is ended."""
    await serve(make_application(int(node_port), list(filter(None, moved.split(",")))), port)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
