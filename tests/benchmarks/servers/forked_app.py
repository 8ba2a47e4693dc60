"""Our sessions behind Tornado's `HTTPServer.start(n)`: as many processes as `processes` says, on one port.

The setup is one line of JSON on standard input, as for tornado_app.py. The tables are there already.
"""

from __future__ import annotations

import socket

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application
from tornado_app import SETUP, bare, ours


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


if __name__ == "__main__":
    page, settings = {"bare": bare, "ours": ours}[SETUP["layer"]]()
    server = HTTPServer(Application([(r"/(new|read|write)", page)], **settings))
    port = free_port()
    server.bind(port, "127.0.0.1")
    print(port, flush=True)
    server.start(SETUP["processes"])  # forks; the driver connects later, in the loop of each process
    IOLoop.current().start()
