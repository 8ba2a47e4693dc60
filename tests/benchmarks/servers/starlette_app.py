"""On Starlette and uvicorn: starsessions, and a bare handler. The setup is on standard input; see contestants.py."""

from __future__ import annotations

import json
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

SETUP = json.loads(sys.stdin.readline())
CONFIG = SETUP["config"]


async def bare(request):
    return PlainTextResponse("ok")


async def page(request):
    session = request.session
    if request.url.path == "/new":
        session["data"] = SETUP["data"]
    elif request.url.path == "/read":
        session["data"]["user"]["name"]
    else:
        session["count"] = session.get("count", 0) + 1
    return PlainTextResponse("ok")


def middleware() -> list[Middleware]:
    from starsessions import InMemoryStore, SessionAutoloadMiddleware, SessionMiddleware
    from starsessions.stores.redis import RedisStore

    if CONFIG["driver"] == "redis":
        from redis.asyncio import Redis

        at = CONFIG["connection"]
        store = RedisStore(connection=Redis(host="127.0.0.1", port=at["port"], password=at["password"]))
    else:
        store = InMemoryStore()
    return [
        Middleware(SessionMiddleware, store=store, lifetime=3600, rolling=True, cookie_https_only=False),
        Middleware(SessionAutoloadMiddleware),
    ]


is_bare = SETUP["layer"] == "bare"
endpoint = bare if is_bare else page
app = Starlette(
    routes=[Route(path, endpoint) for path in ("/new", "/read", "/write")], middleware=[] if is_bare else middleware()
)
listening = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listening.getsockname()[1], flush=True)
options = uvicorn.Config(app, log_level="error", access_log=False, loop="asyncio", http="h11", lifespan="off")
uvicorn.Server(options).run(sockets=[listening])
