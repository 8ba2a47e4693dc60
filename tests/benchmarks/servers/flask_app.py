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

    at = CONFIG["connection"]
    if CONFIG["driver"] == "redis":
        from redis import Redis

        app.config["SESSION_TYPE"] = "redis"
        app.config["SESSION_REDIS"] = Redis(host="127.0.0.1", port=at["port"], password=at["password"])
    elif at and at["adapter"] == "postgresql":
        from flask_sqlalchemy import SQLAlchemy
        from sqlalchemy import URL

        place = {"host": "127.0.0.1", "port": at["port"], "database": at["database"]}
        url = URL.create("postgresql+psycopg", at["user"], at["password"], **place)
        app.config["SQLALCHEMY_DATABASE_URI"] = url
        app.config["SESSION_TYPE"] = "sqlalchemy"
        app.config["SESSION_SQLALCHEMY"] = SQLAlchemy(app)
        app.config["SESSION_SQLALCHEMY_TABLE"] = "flask_sessions"
    elif at and at["adapter"] == "mongodb":
        from pymongo import MongoClient

        app.config["SESSION_TYPE"] = "mongodb"
        app.config["SESSION_MONGODB"] = MongoClient("127.0.0.1", at["port"])
        app.config["SESSION_MONGODB_DB"] = at["database"]
        app.config["SESSION_MONGODB_COLLECT"] = "flask_sessions"
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
