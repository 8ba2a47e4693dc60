"""On Django and waitress: its own sessions, and a bare handler. The setup is on standard input; see contestants.py."""

from __future__ import annotations

import json
import logging
import pathlib
import socket
import sys

import django
import waitress
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

SETUP = json.loads(sys.stdin.readline())
CONFIG = SETUP["config"]
IS_BARE = SETUP["layer"] == "bare"

logging.disable()
pathlib.Path(CONFIG["files"]).mkdir(exist_ok=True)
engine = {"memory": "cache", "file": "file", "database": "db", "redis": "cache"}[CONFIG["driver"]]
database = {"ENGINE": "django.db.backends.sqlite3", "NAME": CONFIG["files"] + "/django.sqlite"}
at = CONFIG["connection"]
if at and at["adapter"] == "postgresql":
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": at["database"],
        "USER": at["user"],
        "PASSWORD": at["password"],
        "HOST": "127.0.0.1",
        "PORT": at["port"],
        "CONN_MAX_AGE": None,  # by default it connects for each request
    }
cache = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10**6}}
if CONFIG["driver"] == "redis":
    location = f"redis://:{at['password'].replace(' ', '%20')}@127.0.0.1:{at['port']}"
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": location}
settings.configure(
    SECRET_KEY=CONFIG["secret"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=[] if IS_BARE else ["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
    SESSION_FILE_PATH=CONFIG["files"],
    SESSION_COOKIE_AGE=3600,
    CACHES={"default": cache},
    DATABASES={"default": database},
)
django.setup()
if engine == "db":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def page(request, work):
    if not IS_BARE:
        if work == "new":
            request.session["data"] = SETUP["data"]
        elif work == "read":
            request.session["data"]["user"]["name"]
        else:
            request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [path("<work>", page)]
listening = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listening.getsockname()[1], flush=True)
waitress.serve(get_wsgi_application(), sockets=[listening], threads=4, connection_limit=1000)
