"""Tornado in front: it serves the moved routes, and hands the rest to Node.

python samples/strangler/front.py [port] [port of Node] [moved routes]

Both programs have the same sessions, by the same config.json. The moved routes are a list such as ``cart,logout``; to
take one back, leave it out.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from programs import serve
from proxy import Proxy
from tornado.web import Application, HTTPError, RequestHandler

from node_session import NodeSession, SessionMixin

HERE = Path(__file__).parent
PRODUCTS = {"tea": "Tea", "cup": "Cup", "pot": "Pot"}


class Cart(SessionMixin, RequestHandler):
    """The cart, and a form that adds to it."""

    def get(self) -> None:
        self.render("cart.html", title="Cart", session=self.session, products=PRODUCTS)

    def post(self) -> None:
        product = self.get_body_argument("product")
        if product not in PRODUCTS:
            raise HTTPError(404)
        self.session.increment(f"cart.{product}")
        self.session.flash("status", f"Tornado says: a {PRODUCTS[product]} is in your cart.")
        self.redirect("/")


class Logout(SessionMixin, RequestHandler):
    """End the session."""

    def post(self) -> None:
        self.session.invalidate()
        self.redirect("/")


ROUTES: dict[str, type[RequestHandler]] = {"cart": Cart, "logout": Logout}


def make_application(node_port: int, moved: list[str]) -> Application:
    """The application, with Node behind it."""
    # csrf: the forms of both sides have the same token in the field _token, and both check it.
    config = {**json.loads((HERE / "config.json").read_text()), "csrf": True}
    routes = [(f"/{name}", ROUTES[name]) for name in moved]
    return Application(
        [*routes, (".*", Proxy, {"port": node_port})], node_session=NodeSession(config), template_path=str(HERE)
    )


async def main(port: str = "3000", node_port: str = "3001", moved: str = ",".join(ROUTES)) -> None:
    """Serve until the process is ended."""
    await serve(make_application(int(node_port), list(filter(None, moved.split(",")))), port)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
