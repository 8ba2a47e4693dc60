"""Ours behind the door that door.js is for the npm original; see there."""

from __future__ import annotations

import asyncio
import json
import re
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin, policy

# Like the original's, each answer has the cookie, which the tests compare: also that of a request that changed nothing
# and took longer than 10 ms, as it may on a busy machine.
policy.TRUSTED_FOR = float("inf")


def snake_case(name: str) -> str:
    """The method that the original spells so: flashInput → flash_input."""
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


class Door(SessionMixin, RequestHandler):
    def post(self):
        results = []
        for method, *args in json.loads(self.request.body):
            if method == "getToken" and not self.session.has("_token"):
                result = (
                    None  # as the original's after flush(); ours makes one, and tests/test_csrf_token.py covers that
                )
            else:
                result = getattr(self.session, snake_case(method))(*args)
            results.append(json.dumps(result))  # immediately: a live value may change with the next call
        self.set_header("Content-Type", "application/json")
        self.write(f"[{','.join(results)}]")


async def main():
    (socket,) = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application([("/", Door)], node_session=NodeSession(json.loads(sys.argv[1])))).add_socket(socket)
    print(socket.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
