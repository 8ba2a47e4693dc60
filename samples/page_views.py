"""Page views: this browser's visits to each page; sessions are in ./sessions.

python samples/page_views.py [port]
"""

from __future__ import annotations

import asyncio
import sys

from tornado.escape import xhtml_escape
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin

SESSIONS = NodeSession(
    {
        "secret": "a-secret-for-this-sample-only-never-for-yours",
        "driver": "file",
        "lifetime": 7 * 24 * 60 * 60 * 1000,  # a week, in milliseconds
    }
)


class Page(SessionMixin, RequestHandler):
    """A page that counts the views of its path."""

    def get(self) -> None:
        views = self.session.increment(f'views["{self.request.path}"]')
        self.write(f"<h1>{xhtml_escape(self.request.path)}</h1><p>You viewed this page {views} times.</p>")
        self.write("".join(f'<a href="{path}">{path}</a> ' for path in ("/foo", "/bar", "/")))
        self.write('<form method="post" action="/forget"><button>Forget me</button></form>')


class Forget(SessionMixin, RequestHandler):
    """End the session."""

    def post(self) -> None:
        self.session.invalidate()
        self.redirect("/")


async def main(port: int = 3000) -> None:
    """Serve until the process is ended."""
    application = Application([("/forget", Forget), ("/.*", Page)], node_session=SESSIONS)
    application.listen(port, "127.0.0.1")
    print(f"http://127.0.0.1:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
