"""On aiohttp: aiohttp-session, and a bare handler. The setup comes on standard input; see ../contestants.py."""

from __future__ import annotations

import json
import socket
import sys

from aiohttp import web

SETUP = json.loads(sys.stdin.readline())
CONFIG = SETUP["config"]


async def bare(request):
    return web.Response(text="ok")


async def page(request):
    from aiohttp_session import get_session

    session = await get_session(request)
    if request.path == "/new":
        session["data"] = SETUP["data"]
    elif request.path == "/read":
        session["data"]["user"]["name"]
    else:
        session["count"] = session.get("count", 0) + 1
    return web.Response(text="ok")


async def application() -> web.Application:
    app = web.Application()
    if SETUP["layer"] != "bare":
        from aiohttp_session import setup
        from aiohttp_session.redis_storage import RedisStorage
        from redis.asyncio import Redis

        at = CONFIG["connection"]
        setup(app, RedisStorage(Redis(host="127.0.0.1", port=at["port"], password=at["password"]), max_age=3600))
    for path in ("/new", "/read", "/write"):
        app.router.add_get(path, bare if SETUP["layer"] == "bare" else page)
    return app


listening = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listening.getsockname()[1], flush=True)
web.run_app(application(), sock=listening, print=None, access_log=None)
