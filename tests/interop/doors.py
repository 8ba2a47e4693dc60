"""Doors to either side, and a browser that goes through them."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, settings

from node_session import cookies

HERE = Path(__file__).parent
SECRET = "a-secret-that-both-programs-know-0123456789"

# How many sequences each test tries: make test ARGS='tests/interop' SEQUENCES=… for more.
SEQUENCES = settings(
    max_examples=int(os.environ.get("SEQUENCES", "500")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Answer(NamedTuple):
    """The outcome of a request.

    Attributes:
        results: Of the calls.
        attributes: Of the cookie, but for its value and the date.
        text: What is stored now, with the id and the token replaced, which differ from run to run.
    """

    results: list
    attributes: str
    text: str


class Door:
    """A process that serves sessions.

    Attributes:
        stored: Gives what is stored under an id, of the file driver unless told otherwise.
    """

    def __init__(self, side: str, command: list[str], config: dict) -> None:
        self.side = side
        self.files = Path(config.get("files", ""))  # elsewhere, the records are on a server
        self.stored = lambda id: (self.files / id).read_text("utf-8")
        self.process = subprocess.Popen([*command, json.dumps(config)], stdout=subprocess.PIPE, cwd=HERE)
        self.port = int(self.process.stdout.readline())
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, calls: list, cookie: str | None) -> tuple[list, str]:
        """The results of the calls, and the Set-Cookie line."""
        status, body, lines = self.send(calls, cookie)
        assert status == 200, (calls, body)
        (line,) = lines
        return json.loads(body), line

    def send(self, calls: list, cookie: str | None, **more: str) -> tuple[int, bytes, list[str]]:
        """The status of the answer to the calls, its whole body, and its Set-Cookie lines; `more` are headers."""
        headers = {**more, **({"Cookie": cookie} if cookie else {})}
        try:
            self.connection.request("POST", "/", json.dumps(calls).encode(), headers)
            response = self.connection.getresponse()
            body = response.read()
        except Exception as error:
            self.connection.close()  # or the next sequence fails as well, and hides this one
            raise AssertionError(f"no answer (exit code {self.process.poll()}) to {calls!r:.2000}") from error
        return response.status, body, response.headers.get_all("Set-Cookie", [])


def open_side(side: str, config: dict) -> Door:
    """The door of the `original` or of `ours`, with a config as the original takes it."""
    config = {"secret": SECRET, **config}
    if side == "original":
        return Door(side, ["node", "--no-warnings", "door.js"], config)
    config |= {"sameSite": None, "encrypt": "legacy" if config.get("encrypt") else False}
    return Door(side, [sys.executable, "door.py"], config)


# The sides that serve a session of express-session: each a command, and what is added to its config.
EXPRESS_SIDES = {
    "express4": (["node", "--no-warnings", "express_door.js"], {"express": 4}),
    "express5": (["node", "--no-warnings", "express_door.js"], {"express": 5}),
    "ours": ([sys.executable, "express_door.py"], {}),
}


def open_express(side: str, config: dict) -> Door:
    """The door of one of EXPRESS_SIDES; `config["options"]` are express-session's."""
    command, more = EXPRESS_SIDES[side]
    return Door(side, command, {**config, **more, "options": {"secret": SECRET, **config["options"]}})


class Browser:
    """Visits doors with one cookie."""

    def __init__(self, decrypt=lambda text, id: text) -> None:
        self.cookie: str | None = None
        self.known: dict[str, str] = {}  # ids and tokens, by order of appearance
        self.decrypt = decrypt

    def visit(self, door: Door, calls: list) -> Answer:
        """Send calls to a door."""
        results, line = door.ask(calls, self.cookie)
        self.cookie, _, attributes = line.partition("; ")
        name = self.cookie.partition("=")[0]
        id = cookies.find(self.cookie, name, [SECRET]).id
        assert id is not None, line
        text = self.decrypt(door.stored(id), id)
        self._name("id", id)
        self._name("token", json.loads(text).get("_token"))
        for (method, *_), result in zip(calls, results, strict=True):
            if method == "getToken":
                self._name("token", result)
            elif method == "all":
                self._name("token", result.get("_token"))
        attributes = re.sub("Expires=[^;]*", "Expires=", attributes)
        numbers = json.loads(self._replace(json.dumps(results)), parse_int=float)  # JavaScript has no others
        return Answer(numbers, attributes, self._replace(text))

    def _name(self, kind: str, value: object) -> None:
        # The token is random; one that a sequence has put there itself is short.
        if isinstance(value, str) and len(value) >= 38 and value not in self.known:
            self.known[value] = f"<{kind} {len(self.known)}>"

    def _replace(self, text: str) -> str:
        for value, name in self.known.items():
            text = text.replace(value, name)
        return text
