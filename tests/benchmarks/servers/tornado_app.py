"""On Tornado: ours, Tornado's own signed cookie, torndsession, and a bare handler to compare them with.

The setup is one line of JSON on standard input; see ../contestants.py.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

SETUP = json.loads(sys.stdin.readline())


def bare() -> tuple[type[RequestHandler], dict]:
    class Page(RequestHandler):
        def get(self, work):
            self.write("ok")

    return Page, {}


def signed_cookie() -> tuple[type[RequestHandler], dict]:
    """What Tornado itself offers for a login that is renewed with every request: read the cookie and set it again."""

    class Page(RequestHandler):
        def get(self, work):
            user = self.get_signed_cookie("user") or secrets.token_urlsafe(30)
            self.set_signed_cookie("user", user)
            self.write("ok")

    return Page, {"cookie_secret": SETUP["config"]["secret"]}


def ours() -> tuple[type[RequestHandler], dict]:
    from node_session import NodeSession, SessionMixin

    class Page(SessionMixin, RequestHandler):
        def get(self, work):
            if work == "new":
                self.session.put("data", SETUP["data"])
            elif work == "read":
                self.session.get("data.user.name")
            else:
                self.session.put("count", self.session.get("count", 0) + 1)
            self.write("ok")

    return Page, {"node_session": NodeSession(SETUP["config"])}


def torndsession() -> tuple[type[RequestHandler], dict]:
    from torndsession.sessionhandler import SessionBaseHandler

    class Page(SessionBaseHandler):
        def get(self, work):
            if work == "new":
                self.session["data"] = SETUP["data"]
            elif work == "read":
                self.session["data"]["user"]["name"]
            else:
                self.session["count"] = (self.session.get("count") or 0) + 1
            self.write("ok")

    options = SETUP["config"]
    shelf = type("Shelf", (), {})()
    settings = {"sid_name": "sid", "session_lifetime": 300, "driver": options["driver"], "driver_settings": {}}
    if options["driver"] == "memory":
        settings["driver_settings"] = {"host": shelf}
    elif options["driver"] == "file":
        settings["driver_settings"] = {"host": options["files"]}
    else:
        at = options["connection"]
        settings["driver_settings"] = {"host": "127.0.0.1", "port": at["port"], "password": at["password"], "db": 0}
    return Page, {"session": settings}


async def main():
    page, settings = globals()[SETUP["layer"]]()
    application = Application([(r"/(new|read|write)", page)], **settings)
    if SETUP["layer"] == "ours":
        driver = await settings["node_session"].driver()
        if hasattr(driver, "create_table"):
            await driver.create_table()
        await store(driver, SETUP["stored"])
    (socket,) = bind_sockets(0, "127.0.0.1", backlog=1024)
    HTTPServer(application).add_socket(socket)
    print(socket.getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def store(driver, number: int) -> None:
    """Fill the store with sessions nobody asks for."""
    token = secrets.token_urlsafe(30)
    for _ in range(number):
        text = json.dumps({"_token": token, "data": SETUP["data"]}, separators=(",", ":"))
        await driver.write(secrets.token_urlsafe(30), text, None)


if __name__ == "__main__":
    asyncio.run(main())
