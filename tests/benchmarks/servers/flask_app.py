"""On Flask and waitress: Flask-Session, and a bare handler. The setup is on standard input; see contestants.py."""

from __future__ import annotations

import json
import logging
import socket
import sys

import waitress
from flask import Flask, session

SETUP = json.loads(sys.stdin.readline())
CONFIG = SETUP["config"]

logging.disable()
app = Flask(__name__)
app.secret_key = CONFIG["secret"]

if SETUP["layer"] != "bare":
    from flask_session import Session

    if CONFIG["driver"] == "redis":
        from redis import Redis

        at = CONFIG["connection"]
        app.config["SESSION_TYPE"] = "redis"
        app.config["SESSION_REDIS"] = Redis(host="127.0.0.1", port=at["port"], password=at["password"])
    else:
        from cachelib import FileSystemCache, SimpleCache

        is_file = CONFIG["driver"] == "file"
        app.config["SESSION_TYPE"] = "cachelib"
        app.config["SESSION_CACHELIB"] = FileSystemCache(CONFIG["files"]) if is_file else SimpleCache(10**6)
    Session(app)


@app.get("/<work>")
def page(work):
    if SETUP["layer"] != "bare":
        if work == "new":
            session["data"] = SETUP["data"]
        elif work == "read":
            session["data"]["user"]["name"]
        else:
            session["count"] = session.get("count", 0) + 1
    return "ok", 200, {"Content-Type": "text/plain"}


listening = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listening.getsockname()[1], flush=True)
waitress.serve(app, sockets=[listening], threads=4, connection_limit=1000)
