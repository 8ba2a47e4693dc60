"""A WebSocket with the page's session: it saves messages and sees others' changes.

python samples/websocket.py [port]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from node_session import NodeSession, SessionMixin

SESSIONS = NodeSession({"secret": "a-secret-for-this-sample-only-never-for-yours", "driver": "memory"})


class Page(SessionMixin, RequestHandler):
    """A page with the messages sent so far. Open it in two tabs."""

    def get(self) -> None:
        self.render("websocket.html", messages=self.session.get("messages", []))


class Socket(SessionMixin, WebSocketHandler):
    """Keep each message in the session. No response ends here, so it calls `save`."""

    close_with_session = True  # the page learns that its session has ended, also while it sends nothing

    async def on_message(self, message: str | bytes) -> None:
        if not await self.session.reload():
            self.close(4401, "the session has ended")
            return
        self.session.push("messages", str(message))
        await self.session.save()
        await self.write_message({"messages": self.session.get("messages")})


async def main(port: int = 3000) -> None:
    """Serve until the process is ended."""
    routes = [("/", Page), ("/socket", Socket)]
    application = Application(routes, node_session=SESSIONS, template_path=str(Path(__file__).parent))
    application.listen(port, "127.0.0.1")
    print(f"http://127.0.0.1:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
