"""The original's way: start the session with a callback, without the mixin.

python samples/callback_style.py [port]
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tornado.web import Application, RequestHandler

from node_session import NodeSession, session_of

SESSIONS = NodeSession({"secret": "a-secret-for-this-sample-only-never-for-yours", "driver": "memory"})


class WithCallback(RequestHandler):
    """Return `start_session(…)` from `prepare`: Tornado waits for the callback."""

    def prepare(self) -> Any:
        return SESSIONS.start_session(self.request, self, self.started)

    def started(self) -> None:
        session_of(self.request).increment("views")

    def get(self) -> None:
        self.write(f"You were here {session_of(self.request).get('views')} times.")


class WithAwait(RequestHandler):
    """The same without a callback."""

    async def prepare(self) -> None:
        session = await SESSIONS.start_session(self.request, self)
        session.increment("views")

    def get(self) -> None:
        self.write(f"You were here {session_of(self.request).get('views')} times.")


async def main(port: int = 3000) -> None:
    """Serve until the process is ended."""
    Application([("/", WithCallback), ("/await", WithAwait)]).listen(port, "127.0.0.1")
    print(f"http://127.0.0.1:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
