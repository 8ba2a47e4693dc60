"""The expected session of a visitor to both sides of a format that is express-session's: as short as possible.

The requests of a visitor come one after the other: express-session loses concurrent changes by itself. A request is
a list of calls as express_door.js takes them. A side is asked with the visitor's cookie. It must answer as the model
does, change the id only if the calls do, and leave the very content in the store, to end when the lifetime is over.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from doors import SECRET, Door
from express_stores import Store

USERS: dict[str, Any] = {"ann": "ann", "zero": 0, "carl": {"id": 7, "roles": ["läser"]}}

_CSURF_SECRET = re.compile(r"[A-Za-z0-9_-]{24}")
_SYNC_TOKEN = re.compile(r"[0-9a-f]{256}")

# Between two looks at the clock in one line of JavaScript: express-session takes `expires` by one, and by the other
# reckons `originalMaxAge` from it again, which shrinks so with each request.
_DRIFT = 5.0


def canonical(value: Any) -> str:
    """A text that is the same for what JavaScript takes for the same."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


def csurf_token(secret: str, salt: str = "saltsalt") -> str:
    """A token as csurf makes them."""
    digest = hashlib.sha1(f"{salt}-{secret}".encode("latin-1")).digest()
    return f"{salt}-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


class Model:
    """The content of one session. Its methods are the calls; between `start` and the next is a request.

    Attributes:
        content: The attributes. What a package draws at random is in there from when it was seen.
        moved: Whether the request has left the id behind.
        ended: Whether the request has destroyed the session.
        lifetime: `cookie.maxAge` of this session, in ms; None for a cookie that ends with the browser.
    """

    def __init__(self, max_age: float | None) -> None:
        self._max_age = max_age
        self.content: dict[str, Any] = {}
        self.lifetime = max_age
        self.start()

    def start(self) -> None:
        """A request begins."""
        self.moved = self.ended = False
        self._tokens: list[str] = []  # of csurf, whose secret was not seen yet

    def call(self, result: Any, name: str, *args: Any) -> Any:
        """The expected result of a call; `result` is the one given, for what is drawn at random."""
        if name in ("csurfToken", "csrfSyncToken"):
            return getattr(self, name)(result)
        return copy.deepcopy(getattr(self, name)(*copy.deepcopy(args)))

    # ---------------------------------------------------------------- the content

    def all(self) -> dict[str, Any]:
        return self.content

    def get(self, path: str) -> Any:
        container: Any = self.content
        for name in path.split("."):
            if not isinstance(container, dict):
                return None
            container = container.get(name)
        return container

    def set(self, path: str, value: Any) -> None:
        *parents, last = path.split(".")
        container = self.content
        for name in parents:
            container = container.setdefault(name, {})
        container[last] = value

    def forget(self, name: str) -> None:
        self.content.pop(name, None)

    def push(self, key: str, value: Any) -> None:
        self.content.setdefault(key, []).append(value)

    # ---------------------------------------------------------------- the session

    def regenerate(self) -> None:
        self._renew({})

    def destroy(self) -> None:
        self._renew({})
        self.moved, self.ended = False, True

    def save(self) -> None:
        pass

    def reload(self) -> None:
        """Only after `save`, or of what was not changed."""

    def touch(self) -> None:
        pass

    def maxAge(self, ms: float | None) -> None:
        """Only with a change of the content: express-session saves no cookie alone."""
        self.lifetime = ms

    def _renew(self, content: dict[str, Any]) -> None:
        self.content, self.lifetime, self.moved = content, self._max_age, True

    # ---------------------------------------------------------------- packages

    def flash(self, kind: str | None = None, message: Any = None) -> Any:
        if kind is None:
            messages, self.content["flash"] = self.content.get("flash", {}), {}
            return messages
        if message is None:
            return self.content.setdefault("flash", {}).pop(kind, [])
        messages = self.content.setdefault("flash", {}).setdefault(kind, [])
        messages += message if isinstance(message, list) else [message]
        return len(messages)

    def login(self, name: str, password: str) -> bool:
        if name not in USERS or password != f"password of {name}":
            return False
        self._renew({"passport": {"user": USERS[name]}})
        return True

    def logout(self) -> None:
        self._renew({})

    def user(self) -> str | None:
        """Asked first in a request: Express knows the user from its beginning."""
        stored = self.get("passport.user")
        return next((name for name, user in USERS.items() if stored is not None and user == stored), None)

    def csurfToken(self, token: Any) -> Any:
        """Any that verifies; `learn` sees the secret behind the first ones."""
        secret = self.content.setdefault("csrfSecret", ...)
        if secret is ...:
            self._tokens.append(str(token))
            return token
        return csurf_token(secret, str(token).partition("-")[0])

    def csurfVerify(self, token: str) -> bool:
        """Without a secret csurf makes one, and refuses."""
        secret = self.content.setdefault("csrfSecret", ...)
        return secret is not ... and token == csurf_token(secret, token.partition("-")[0])

    def csrfSyncToken(self, token: Any) -> Any:
        if _SYNC_TOKEN.fullmatch(str(token)):
            return self.content.setdefault("csrfToken", token)
        return self.content.setdefault("csrfToken", "a token of 256 hexadecimal digits")

    def csrfSyncVerify(self, token: str) -> bool:
        return self.content.get("csrfToken") == token

    def learn(self, found: Any) -> None:
        """Take over the secret that csurf has drawn, if it is one, and the tokens of this request are made of it."""
        if self.content.get("csrfSecret") is not ...:
            return
        secret = str(found.get("csrfSecret"))
        is_good = _CSURF_SECRET.fullmatch(secret) and all(
            token == csurf_token(secret, token.partition("-")[0]) for token in self._tokens
        )
        self.content["csrfSecret"] = secret if is_good else "24 characters, of which the tokens are made"


@dataclass
class Visitor:
    """A browser with one cookie, a model of its session, and what of any answer was not as it should be.

    Attributes:
        store: Where the sides keep the session.
        max_age: The `cookie.maxAge` of the sides' options, in ms.
        saves_empty: Whether Express stores a session in which nothing was put: its saveUninitialized. Ours may do as it
            likes with those.
    """

    store: Store
    max_age: float | None = None
    saves_empty: bool = False
    cookie: str | None = None
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = Model(self.max_age)
        self._ids: list[str] = []

    @property
    def id(self) -> str | None:
        """The id that the cookie gives."""
        return None if self.cookie is None else _unsign(self.cookie)

    def visit(self, door: Door, calls: list[list[Any]]) -> None:
        """Send calls, and compare all that can be seen of them. `destroy` is the last of them or not there."""
        asked = [*calls] if ["destroy"] in calls else [*calls, ["all"]]
        before = self.id
        had_record = before is not None and self.store.read(before) is not None
        self.model.start()
        start = time.time()
        status, body, lines = door.send(asked, self.cookie)
        self._say, self._is_express = f"{door.side}, after {asked}:", door.side != "ours"
        if status != 200:
            self._problem(f"{status} {body!r:.300}")
            return
        results = json.loads(body)
        for call, result in zip(asked, results, strict=True):
            if call == ["all"]:
                self.model.learn(result)
            expected = self.model.call(result, *call)
            if call == ["all"]:
                result, expected = _without_empty(result), _without_empty(expected)
            if canonical(result) != canonical(expected):
                self._problem(f"{call} gave {result!r:.300}, not {expected!r:.300}")
        self._judge_cookie(lines, before, had_record)
        self._judge_record(before, had_record, start, time.time())

    def _judge_cookie(self, lines: list[str], before: str | None, had_record: bool) -> None:
        """The id stays as long as there is a record, and nobody has left it."""
        for line in lines:
            self.cookie = line.partition(";")[0]
        if self.model.ended:
            return
        if self.cookie is not None and self.id is None:
            self._problem(f"the cookie is not well signed: {lines}")
        is_kept = had_record and not self.model.moved
        if is_kept and self.id != before:
            self._problem("the id changed")
        if not is_kept and (self.id != before or had_record or self._must_store()):
            if self.id is None or self.id in self._ids:
                self._problem("there is no new id")
            else:
                self._ids.append(self.id)

    def _must_store(self) -> bool:
        return self.model.content != {} or (self._is_express and (self.model.moved or self.saves_empty))

    def _judge_record(self, before: str | None, had_record: bool, start: float, end: float) -> None:
        """The record has the content, and ends when its lifetime is over; that of an id that was left is gone."""
        if before is not None and (before != self.id or self.model.ended) and self.store.read(before) is not None:
            self._problem("the old record is still there")
        stored = None if self.id is None or self.model.ended else self.store.read(self.id)
        if stored is None:
            if not self.model.ended and (had_record or self._must_store()):
                self._problem("there is no record")
            return
        record = json.loads(stored.text)
        cookie = record.pop("cookie", None)
        record.pop("__lastAccess", None)
        if canonical(_without_empty(record)) != canonical(_without_empty(self.model.content)):
            self._problem(f"the record holds {record!r:.300}, not {self.model.content!r:.300}")
        if not isinstance(cookie, dict):
            self._problem(f"the record's cookie is {cookie!r}")
            return
        if not self._is_lifetime(cookie.get("originalMaxAge")):
            self._problem(f"the record's cookie is {cookie}, for a lifetime of {self.model.lifetime} ms")
            return
        lifetime = self.store.ttl if self.model.lifetime is None else self.model.lifetime / 1000
        if not start + lifetime - _DRIFT <= stored.expires <= end + lifetime + self.store.rounding:
            self._problem(f"it ends {stored.expires - end} s from now, not {lifetime}")

    def _is_lifetime(self, found: Any) -> bool:
        expected = self.model.lifetime
        if expected is None or not isinstance(found, int | float):
            return expected is found
        return expected - _DRIFT * 1000 <= found <= expected

    def _problem(self, text: str) -> None:
        self.problems.append(f"{self._say} {text}")


def _without_empty(content: Any) -> Any:
    """A session's content, where it is the same whether connect-flash has left an empty object or nothing."""
    if isinstance(content, dict) and content.get("flash") == {}:
        return {key: value for key, value in content.items() if key != "flash"}
    return content


def sign(id: str, name: str = "connect.sid", secret: str = SECRET) -> str:
    """The cookie of an id, as the Cookie header has it."""
    mac = hmac.new(secret.encode(), id.encode(), "sha256").digest()
    signed = f"s:{id}.{base64.b64encode(mac).decode().rstrip('=')}"
    return f"{name}={quote(signed, safe=_NOT_ESCAPED)}"


_NOT_ESCAPED = "-_.!~*'()"  # by encodeURIComponent, beside letters and digits


def _unsign(cookie: str) -> str | None:
    name, _, value = cookie.partition("=")
    id = unquote(value).removeprefix("s:").rpartition(".")[0]
    return id if cookie == sign(id, name) else None


# ------------------------------------------------------------------ requests at random

_NAMES = ["a", "b", "user", "ünï", "cart", "0", "list"]
_PATHS = ["deep.a", "deep.b.c", "deep.b.ü"]
_VALUES: list[Any] = [
    *(True, False, None, 0, 1, -7, 2**53 - 1, 0.5, 1e21, "", "text", "Jörg 😀", '"\\\n\u2028', "</script>", "x" * 3000),
    *([], {}, [1, [2, {"k": None}]], {"k": {"constructor": "c"}}, {"cookie": {"expires": 1}}),
]
_KINDS = ["info", "error", "ünï"]
_MESSAGES: list[Any] = ["Saved.", ["one", "two"], {"text": "ü"}, 7]
_LIFETIMES = [60_000, 3_600_000, 86_400_000]


def request(chance: random.Random, visitor: Visitor) -> list[list[Any]]:
    """The calls of a request, at random; `user` only at its beginning, `destroy` only at its end."""
    calls: list[list[Any]] = [["user"]] if chance.random() < 0.2 else []
    calls += (_call(chance, visitor.model) for _ in range(chance.randrange(5)))
    drawn = chance.random()
    if drawn < 0.03:
        calls.append(["destroy"])
    elif drawn < 0.08:
        calls += [["maxAge", chance.choice(_LIFETIMES)], ["set", "lifetime", chance.random()]]
    elif drawn < 0.12:
        calls += [["save"], ["reload"]]
    return calls


def _call(chance: random.Random, model: Model) -> list[Any]:
    name, kind, user = chance.choice(_NAMES[:-1]), chance.choice(_KINDS), chance.choice([*USERS, "nobody"])
    common: list[list[Any]] = [
        ["set", name, chance.choice(_VALUES)],
        ["set", chance.choice(_PATHS), chance.choice(_VALUES)],
        ["get", chance.choice(_NAMES + _PATHS)],
        ["forget", chance.choice(_NAMES)],
        ["push", "list", chance.choice(_VALUES)],
        ["flash", kind, chance.choice(_MESSAGES)],
        ["flash", kind],
    ]
    rare: list[list[Any]] = [
        ["flash"],
        ["csurfToken"],
        ["csurfVerify", _csurf_guess(chance, model)],
        ["csrfSyncToken"],
        ["csrfSyncVerify", chance.choice([str(model.content.get("csrfToken")), "f" * 256, ""])],
        ["login", user, f"password of {chance.choice([user, user, 'another'])}"],
        ["logout"],
        ["regenerate"],
        ["save"],
        ["touch"],
    ]
    return chance.choice(common if chance.random() < 0.8 else rare)


def _csurf_guess(chance: random.Random, model: Model) -> str:
    secret = model.content.get("csrfSecret")
    good = [csurf_token(secret, salt) for salt in ("saltsalt", "x", "")] if isinstance(secret, str) else []
    return chance.choice([*good, csurf_token("another secret"), "no token", ""])
