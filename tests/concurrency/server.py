"""A server that the hammers strike: each request changes its session, or the devices of an owner, after a moment.

    python -m concurrency.server '{"config": {"driver": "file", …}, "longest": 0.009, "careless": false}'

It prints its port. ``careless`` switches compare-and-swap off, to show that its absence is noticed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin

from .careless import forget_versions, register


class Moment(SessionMixin, RequestHandler):
    """A request that takes a moment between the loading of its session and the use of it."""

    def initialize(self, longest):
        self.longest = longest

    async def prepare(self):
        await asyncio.sleep(random.uniform(0, self.longest))


class Push(Moment):
    def post(self):
        self.session.push("list", json.loads(self.request.body))


class Look(Moment):
    def get(self):
        self.write(json.dumps(self.session.get("list")))


class Login(Moment):
    def post(self):
        self.session.regenerate(True)
        self.session.set_owner(json.loads(self.request.body))


class Rotate(Moment):
    def post(self):
        self.session.regenerate(json.loads(self.request.body))


class Logout(Moment):
    def post(self):
        self.session.invalidate()


class Everywhere(Moment):
    async def post(self):
        self.write(json.dumps(await self.node_session.log_out(json.loads(self.request.body))))


class Devices(Moment):
    async def post(self):
        self.write(json.dumps([each.id for each in await self.node_session.devices(json.loads(self.request.body))]))


class Owner(Moment):
    def get(self):
        self.write(json.dumps(self.session.get("_device") if self.session.owner else None))


OF_OWNERS = {
    "/login": Login,
    "/rotate": Rotate,
    "/logout": Logout,
    "/everywhere": Everywhere,
    "/devices": Devices,
    "/owner": Owner,
}


async def main(config, longest, careless, number):
    if "SEED" in os.environ:
        random.seed(f"{os.environ['SEED']} {number}")
    register()
    if careless:
        forget_versions(config.get("driver", "file"))
    options = {"longest": longest}
    handlers = {"/push": Push, "/look": Look, **OF_OWNERS}
    routes = [(path, handler, options) for path, handler in handlers.items()]
    application = Application(routes, node_session=NodeSession(config))
    (socket,) = bind_sockets(0, "127.0.0.1")
    HTTPServer(application).add_socket(socket)
    print(socket.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
