"""The fuzzed targets: every place where others' bytes come in.

Each target takes bytes, makes of them what the place takes, and asserts what must hold whatever they are: no exception
but the package's own, and nothing accepted that this package has not made. `test_fuzz.py` calls the targets with what
hypothesis thinks of, `run.py` with what atheris finds by following the code's branches.

A target is bytes in, nothing out, so that a crash is a file that any of them can read again. In texts, some characters
stand for what no fuzzer would ever guess, such as a valid signature (`_TOKENS`).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import datetime
import enum
import json
import logging
import os
import socket
import tempfile
import uuid
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rotations import log_out_against_rotations
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application, Finish, HTTPError, RequestHandler, stream_request_body
from world import is_gone, start_session

from node_session import (
    ConfigError,
    DamagedError,
    NodeSession,
    PathError,
    SerializationError,
    Session,
    SessionMixin,
    UnavailableError,
    UnsupportedError,
    cookies,
    formats,
    ids,
    paths,
)
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.config import Config
from node_session.csrf_token import CsrfToken
from node_session.drivers import MemoryDriver, payload
from node_session.drivers.file import FileDriver
from node_session.drivers.file_layout import ExpressLayout
from node_session.events import Events
from node_session.legacy_encryption import LegacyEncrypter
from node_session.merge import merge
from node_session.proxy import compile_trust, is_https
from node_session.serializer import dumps, loads
from node_session.transport import Transport

SECRETS = ("a secret that is long enough to be one", "an older secret that is long enough, too")
ID, OTHER = "A" * 40, "B" * 40
PLAIN = '{"user":"Jörg","n":[1,{"a":null}]}'


def hush() -> None:
    """Leave out what takes time only: that damage is logged is known."""
    logging.getLogger("node_session").disabled = True


def _texts_of(secret: str) -> list[str]:
    return [kind([secret]).encrypt(PLAIN, ID) for kind in (AuthenticatedEncrypter, LegacyEncrypter)]


_VALID = [text for secret in SECRETS for text in _texts_of(secret)]
_STRANGE = [AuthenticatedEncrypter(SECRETS).encrypt(PLAIN, OTHER), *_texts_of("a secret that nobody knows of")]
_PARTS = [part for text in [*_VALID, *_STRANGE] for part in (text.split('"mac"')[0], text.split('"ct":')[1])]

# What a character stands for. They are such as have no meaning of their own in any of these texts.
_TOKENS = dict(
    enumerate(
        [
            *(cookies.sign(ID, secret) for secret in (*SECRETS, "unknown")),
            unquote(cookies.sign(OTHER, SECRETS[0])),
            ID,
            *_VALID,
            *_STRANGE,
            *_PARTS,
        ],
        0xE0,
    )
)


def _text(data: bytes) -> str:
    """Any text, lone surrogates included, in which a few characters stand for whole tokens."""
    return data.decode("utf-8", "surrogateescape").translate(_TOKENS)


def _pieces(data: bytes) -> list[bytes]:
    return data.split(b"\0")


def _json(data: bytes) -> Any:
    """The JSON in the bytes; if it is none, the text itself. As the standard library reads it: NaN, large integers."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _text(data)


def _object(data: bytes) -> dict[str, Any]:
    value = _json(data)
    return value if isinstance(value, dict) else {"value": value}


# -------------------------------------------------------------------- cookies and headers


def cookie(data: bytes) -> None:
    """Of a Cookie header only ids come out that a known secret has signed."""
    header = _text(data)
    for name in ("name", "__Host-n"):
        found = cookies.find(header, name, SECRETS)
        for id in () if found.id is None else (found.id, *found.others):
            signed = [unquote(cookies.sign(id, secret)) for secret in SECRETS]
            assert ids.is_valid(id) and any(each in unquote(header) for each in signed)
        assert len({found.id, *found.others}) == 1 + len(found.others)
        if found.value is not None:
            assert cookies.sign(str(found.id), SECRETS[0]) == found.value


def cookie_bytes(data: bytes) -> None:
    """In a Cookie header's bytes, ours are the pairs whose name is so byte for byte, but for spaces and tabs around."""
    name, ours, other = b"__Host-n", *(cookies.sign(id, SECRETS[0]).encode() for id in (ID, OTHER))
    raw = data.replace(b"\1", ours).replace(b"\2", other).replace(b"\3", name)
    pairs = [pair.partition(b"=") for pair in raw.split(b";")]
    values = [value.strip(b" \t") for key, equals, value in pairs if equals and key.strip(b" \t") == name]
    plain = [unquote(value[1:-1] if value[:1] == b'"' == value[-1:] else value) for value in values]
    found = cookies.find(raw.decode("latin1"), name.decode(), SECRETS[:1])  # as Tornado decodes it
    signed = {unquote(ours): ID, unquote(other): OTHER}
    expected = list(dict.fromkeys(signed[text] for text in plain if text in signed))
    assert [id for id in (found.id, *found.others) if id is not None] == expected
    assert values or not found.forged


def set_cookie(data: bytes) -> None:
    """No name, path or domain that a config may have brings another attribute or line into Set-Cookie."""
    name, path, domain, *_ = (*map(_text, _pieces(data)), "", "", "")
    if cookies.is_token(name) and cookies.is_attribute_value(path) and cookies.is_attribute_value(domain):
        value = cookies.sign(ID, SECRETS[0])
        line = cookies.SetCookie(name, lifetime=1000, path=path, domain=domain, same_site="lax").line(value)
        assert line.isprintable() and line.isascii()
        assert line.startswith(f"{name}={value}; Max-Age=1; Domain={domain}; Path={path}; Expires=")
        assert line.count(";") == 6
        assert cookies.find(line.partition("; Max")[0], name, SECRETS).id == ID


def proxy(data: bytes) -> None:
    """For any trustProxy, peer's address and header, the result is a yes or a no, or an immediate ValueError."""
    option, address, header, *_ = (*_pieces(data), b"", b"", b"")
    try:
        trust = compile_trust(_json(option))
    except ValueError:
        return
    assert trust(_text(address), 0) in (True, False)
    assert is_https(_text(header), "http") is (_text(header).partition(",")[0].strip().lower() == "https")
    assert not compile_trust("loopback, uniquelocal")("x" + _text(address), 0)


def csrf_token(data: bytes) -> None:
    """No token but the session's own verifies, and none raises."""
    given, own, *_ = (*_pieces(data), b"")
    attributes = CsrfToken()
    attributes.put("_token", _json(own))
    assert attributes.verify_token(_text(given)) is (_text(given) == _json(own) != "")


# -------------------------------------------------------------------- keys and values


def path(data: bytes) -> None:
    """Keys are names: set, found and removed on any JSON, in any order, with no exception but PathError."""
    start, *keys = _pieces(data)
    root = _object(start)
    for number, each in enumerate(keys[:20]):
        key = _text(each)
        steps = paths.parse(key)
        assert steps and all(isinstance(step, str) for step in steps)
        before = copy.deepcopy(root)
        value = {"n": number}
        if number % 3 == 2:
            found = paths.find(root, key)
            removed = paths.remove(root, key)
            assert (removed is paths.MISSING) == (found is paths.MISSING)
            assert removed is not paths.MISSING or _same(root, before)
            continue
        try:
            paths.assign(root, key, value)
        except PathError as error:
            assert _same(root, before) and len(str(error)) < 3000  # 160 characters, escaped
        else:
            assert paths.find(root, key) is value
            paths.assign(root, key, copy.deepcopy(value))


def attributes(data: bytes) -> None:
    """The methods of a session take any key and any value of JSON, and what they leave can be stored."""
    start, *calls = _pieces(data)
    session = CsrfToken()
    session.all().update(_object(start))
    for each in calls[:20]:
        method, key, value = each[:1], _text(each[1:].partition(b"=")[0]), _json(each.partition(b"=")[2])
        try:
            _CALLS[method[0] % len(_CALLS) if method else 0](session, key, value)
        except (PathError, TypeError, OverflowError) as error:
            assert isinstance(error, PathError) or session.get(key) is not None  # increment of what is no number
    _stored(session.all())


_CALLS: list[Callable[[CsrfToken, str, Any], Any]] = [
    lambda session, key, value: session.put(key, value),
    lambda session, key, value: session.put({key: value}),
    lambda session, key, value: session.push(key, value),
    lambda session, key, value: session.pull(key),
    lambda session, key, value: session.forget([key]),
    lambda session, key, value: session.flash(key, value),
    lambda session, key, value: session.now(key, value),
    lambda session, key, value: session.keep(key),
    lambda session, key, value: session.reflash(),
    lambda session, key, value: session.age_flash_data(),
    lambda session, key, value: session.flash_input(value),
    lambda session, key, value: session.get_old_input(key),
    lambda session, key, value: session.increment(key),
    lambda session, key, value: session.remember(key, lambda: value),
    lambda session, key, value: session.only(key, "a"),
    lambda session, key, value: session.get_token(),
]


def merging(data: bytes) -> None:
    """Any three sessions can be merged, and the result stored; a side that changed nothing changes nothing."""
    try:
        base, mine, theirs = (loads(dumps(_object(each))) for each in (*_pieces(data), b"{}", b"{}", b"{}")[:3])
    except SerializationError:
        return
    untouched = dumps(theirs)
    key = next(iter(mine), "n")
    _stored(merge(copy.deepcopy(base), mine, copy.deepcopy(theirs), increments={key: 1}))
    assert _same(merge(copy.deepcopy(base), copy.deepcopy(base), theirs), loads(untouched))


# -------------------------------------------------------------------- stored texts


def stored_text(data: bytes) -> None:
    """A stored text is a session that can be stored again, the same, or it is damaged."""
    try:
        read = loads(_text(data))
    except DamagedError:
        return
    text = dumps(read)
    assert dumps(loads(text)) == text


def database_payload(data: bytes) -> None:
    """A database's value is a text or damaged; an encoded one is decoded."""
    for stored in (data, _text(data), _json(data)):
        try:
            assert isinstance(payload.decode(stored), str)
        except DamagedError:
            continue
    text = _text(data).encode("utf-8", "replace").decode()
    assert payload.decode(payload.encode(text)) == text


def values(data: bytes) -> None:
    """Any Python value is stored as JSON, or refused by SerializationError with a message for one line."""
    made = {"value": _value(iter(data), 0)}
    try:
        text = dumps(made)
    except SerializationError as error:
        assert str(error).isprintable() and len(str(error)) < 2000
        return
    json.loads(text, parse_constant=lambda constant: 1 / 0)
    assert isinstance(loads(text), dict)


class _Colour(enum.Enum):
    RED = "red"
    DEEP = (1, [2.0])


def _value(data: Iterator[int], depth: int) -> Any:
    """A Python value, as the bytes say: the first its kind, those after it what is inside."""
    kind = next(data, 0)
    size = next(data, 0) % 8
    number = int.from_bytes(bytes(next(data, 0) for _ in range(size)), "big", signed=True)
    if kind % 16 < 5 and depth < 300:
        inner = [_value(data, depth + 1) for _ in range(size)]
        kinds: list[Callable[[list[Any]], Any]] = [
            list,
            tuple,
            lambda items: {f"k{place}": item for place, item in enumerate(items)},
            lambda items: {_scalar(kind + place, number): item for place, item in enumerate(items)},
            lambda items: {chr(abs(number) % 0x110000): items},
        ]
        return kinds[kind % 16](inner)
    return _scalar(kind, number)


def _scalar(kind: int, number: int) -> Any:
    zone = datetime.timezone(datetime.timedelta(minutes=number % 1439))
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: number % 2 == 0,
        lambda: number,
        lambda: number ** (kind + 1),
        lambda: number / 7,
        lambda: float(number) * 1e300 * 1e300,
        lambda: "".join(chr(each) for each in (abs(number) % 0x110000, abs(number) % 0xE000)),
        lambda: datetime.datetime.fromordinal(1 + abs(number) % 3652058).replace(tzinfo=zone),
        lambda: datetime.date.fromordinal(1 + abs(number) % 3652058),
        lambda: uuid.UUID(int=abs(number)),
        lambda: list(_Colour)[number % 2],
        lambda: b"bytes",
        lambda: frozenset([number]),
        lambda: complex(number),
        lambda: range(3),
    ]
    return kinds[kind % len(kinds)]()


def decryption(data: bytes) -> None:
    """Nothing is decrypted but what was encrypted for this session under a known secret, and nothing else raises."""
    text = _text(data)
    for encrypter in (AuthenticatedEncrypter(SECRETS[:1]), AuthenticatedEncrypter(SECRETS), LegacyEncrypter(SECRETS)):
        try:
            plain = encrypter.decrypt(text, ID)
        except DamagedError as error:
            assert not any(secret in str(error) for secret in SECRETS)
            continue
        assert plain == PLAIN and encrypter.is_current(text) in (True, False)
        assert text in _VALID or _legacy_parts(text) in map(_legacy_parts, _VALID)


def _legacy_parts(text: str) -> tuple[Any, Any]:
    parts = json.loads(text)  # the original's format is JSON, spaces and all
    return parts["ct"], parts["mac"]


def encryption(data: bytes) -> None:
    """A text encrypted under any secret is decrypted under it; any change damages it."""
    secret, plain, place, *_ = (*map(_text, _pieces(data)), "", "", "")
    plain = plain.encode("utf-8", "replace").decode()
    for kind in (AuthenticatedEncrypter, LegacyEncrypter):
        encrypter = kind([secret or "x"])
        text = encrypter.encrypt(plain, ID)
        assert encrypter.decrypt(text, ID) == plain
        at, bit = len(place) % len(text), 1 << sum(map(ord, place)) % 7
        changed = text[:at] + chr(ord(text[at]) ^ bit) + text[at + 1 :]
        for refused in (changed, text[:at], text + changed[at]):
            if refused != text and refused.rstrip() != text:
                try:
                    encrypter.decrypt(refused, ID)
                except DamagedError:
                    continue
                raise AssertionError(f"{kind.__name__} took a text that was changed at {at}")


_FOLDER = tempfile.TemporaryDirectory(prefix="node_session-fuzz-")
_loop: asyncio.AbstractEventLoop | None = None


def file(data: bytes) -> None:
    """Whatever is in a record's file: a session starts, and can be saved and found again."""
    global _loop
    _loop = _loop or asyncio.new_event_loop()
    kind, content = data[:1], data[1:]
    for token, replacement in _TOKENS.items():
        content = content.replace(chr(token).encode(), replacement.encode())
    encrypter = {b"e": AuthenticatedEncrypter(SECRETS), b"l": LegacyEncrypter(SECRETS)}.get(kind)
    _loop.run_until_complete(_file(content, encrypter))


async def _file(content: bytes, encrypter: Any) -> None:
    folder = Path(_FOLDER.name)
    (folder / ID).write_bytes(content)
    driver = FileDriver(folder, 0)
    driver.half_written_for = 0  # nobody is writing what a target wrote

    async def start(id: str) -> Session:
        session = await start_session(driver, id, encrypter=encrypter, strict=True, absolute_lifetime=1e12)
        assert session.is_started and session.get_token()
        return session

    try:
        session = await start(ID)
        session.put("fuzz", 1)
        await session.save()
        assert not is_gone(session)
        assert (await start(session.get_id())).get("fuzz") == 1
    finally:
        for each in folder.iterdir():
            if not each.name.startswith(".lock"):
                each.unlink()


# -------------------------------------------------------------------- express-session


_EXPRESS = formats.make("express-session", Config.from_dict({"secret": SECRETS, "format": "express-session"}))


def express_record(data: bytes) -> None:
    """A record of Express is attributes without its cookie, or refused; a record made of it has the same ones again."""
    try:
        opened = _EXPRESS.open(_text(data))
    except (DamagedError, UnsupportedError):
        return
    assert not {"cookie", "__lastAccess"} & opened.attributes.keys()
    text = dumps(opened.attributes)  # which has null for a number that JSON has no form for, as Node would write it
    assert dumps(loads(opened.text)) == text
    assert _EXPRESS.ends_with_browser(opened.envelope, opened.attributes) in (True, False)
    closed = _EXPRESS.close(opened.text, opened.envelope, 1_764_160_000.5)
    assert dumps(_EXPRESS.open(closed).attributes) == text and isinstance(json.loads(closed)["cookie"], dict)


def express_cookie(data: bytes) -> None:
    """Of a Cookie header only ids of Express come out that a known secret has signed."""
    header = _text(data)
    found = cookies.find(header, "name", SECRETS, rule=_EXPRESS.ids)
    for id in () if found.id is None else (found.id, *found.others):
        assert _EXPRESS.ids.is_valid(id) and 0 < len(id) <= ids.LONGEST
        assert any(
            cookies.find(f"name={cookies.sign(id, each)}", "name", SECRETS, rule=_EXPRESS.ids).id for each in SECRETS
        )


def express_token(data: bytes) -> None:
    """No token verifies but csurf's of this secret, and csrf-sync's own; none raises."""
    given, secret, *_ = (*map(_text, _pieces(data)), "")
    is_good = _EXPRESS.accepts({"csrfSecret": secret}, given)
    assert is_good in (True, False) and not (is_good and _EXPRESS.accepts({"csrfSecret": secret + "x"}, given))
    assert _EXPRESS.accepts({"csrfToken": secret}, given) is (given == secret != "")
    if secret:
        assert _EXPRESS.accepts({"csrfSecret": secret}, str(_EXPRESS.token_of({"csrfSecret": secret})))


def express_file(data: bytes) -> None:
    """Whatever is in a file of session-file-store: it can be stamped, and a stamp be taken off and compared."""
    layout = ExpressLayout(3600)
    stamped = layout.stamp(data, 1_764_160_000.5)
    assert isinstance(layout.active(data, 1.0), float)
    assert layout.is_same(stamped, data) and layout.is_same(data, layout.unstamp(stamped))


# -------------------------------------------------------------------- streamed uploads


class _Turns(MemoryDriver):
    """A store that takes as many turns of the loop to write as the bytes say, or is down."""

    def __init__(self, turns: int, is_down: bool) -> None:
        super().__init__(0)
        self.turns = turns
        self.is_down = is_down

    async def write(self, id: str, payload: str, version: Any) -> Any:
        await _turns(self.turns)
        if self.is_down:
            raise UnavailableError("it is down")
        return await super().write(id, payload, version)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@stream_request_body
class _Upload(SessionMixin, RequestHandler):
    """Ends when `moment` has come, at the latest in `post`; notes in `seen` all that Tornado calls."""

    def initialize(self) -> None:
        self.settings["upload"] = self
        self.seen: list[Any] = []
        self.received = b""
        self.moment, self.at, self.way = self.settings["end"]

    def end(self, moment: int | None = None) -> None:
        if moment not in (None, self.moment) or "end" in self.seen:
            return
        self.seen.append("end")
        self.has_body = self.request._body_future.done()
        if self.way == 0:
            self.redirect("/")
        elif self.way == 1:
            self.send_error(401)
        elif self.way == 2:
            self.finish("over")
        elif self.way == 3:
            self.flush()
            self.finish()
        elif self.moment in (2, 3, 4):  # what is raised there has no response, with or without sessions
            self.finish()
        else:
            raise (HTTPError(401), Finish())[self.way % 2]

    async def prepare(self) -> None:
        self.session.increment("n")
        self.end(0)
        await asyncio.sleep(0)
        self.end(1)

    def data_received(self, chunk: bytes) -> Any:
        self.seen.append("data")
        self.received += chunk
        if len(self.received) >= self.at:
            self.end(2)
            self.timer = asyncio.ensure_future(self.end_later(4, 3))
            return self.end_later(3, 1)
        return None

    async def end_later(self, moment: int, turns: int) -> None:
        await _turns(turns)
        self.end(moment)

    def post(self) -> None:
        self.seen.append("post")
        self.end()

    def on_finish(self) -> None:
        self.seen.append("finish")
        super().on_finish()

    def on_connection_close(self) -> None:
        self.seen.append("left")
        super().on_connection_close()

    def log_exception(self, *args: Any) -> None:
        pass


class _Next(RequestHandler):
    def get(self) -> None:
        self.write("next")


def streaming(data: bytes) -> None:
    """An upload that ends at any moment, in any way: nothing more reaches the handler, and the session is saved."""
    global _loop
    _loop = _loop or asyncio.new_event_loop()
    complaints: list[Any] = []
    _loop.set_exception_handler(lambda loop, context: complaints.append(context))
    try:
        _loop.run_until_complete(asyncio.wait_for(_stream(data[:40].ljust(6, b"\0")), 60))
    finally:
        _loop.set_exception_handler(None)
    assert not complaints, complaints


async def _stream(data: bytes) -> None:
    kind, moment, at, way, saving, pause, *steps = data
    driver = _Turns(saving % 100, is_down=saving >= 200)
    NodeSession.register_handler("turns", lambda config: driver)
    sessions = NodeSession({"secret": SECRETS[0], "driver": "turns", "lottery": [0, 1]})
    end = (moment % 6, at, way % 6)
    routes: list[Any] = [("/", _Upload), ("/next", _Next)]
    application = Application(routes, node_session=sessions, end=end, log_function=lambda handler: None)
    server = HTTPServer(application)
    ours, theirs = socket.socketpair()
    server.handle_stream(IOStream(ours), ("127.0.0.1", 1))
    with theirs:
        theirs.setblocking(False)
        answer = await _send(theirs, application, steps, is_chunked=kind % 2 == 1, pause=pause % 8)
    await server.close_all_connections()
    upload = application.settings.get("upload")
    if upload is None or "end" not in upload.seen or "left" in upload.seen[: upload.seen.index("end")]:
        return  # of a client that has left, Tornado tells `finish` nothing
    while "finish" not in upload.seen:
        await asyncio.sleep(0)
    rest = [each for each in upload.seen[upload.seen.index("end") + 1 :] if each != "left"]
    # If a timer ends it right before `post`, Tornado runs that all the same, with or without sessions.
    assert rest == ["finish"] or (upload.has_body and sorted(rest) == ["finish", "post"]), upload.seen
    assert (await driver.read(upload.session.get_id()) is None) is driver.is_down
    if answer is not None and not (upload.moment == 4 and 7 in steps):  # Tornado may be first with a 400
        statuses = {503} if driver.is_down else {200} if upload.way == 3 else {200, 302, 401}
        assert answer.startswith(tuple(b"HTTP/1.1 %d " % status for status in statuses)), answer
        if "post" in upload.seen and not {6, 7} & set(steps) and not driver.is_down:  # the whole body was read
            assert b"next" in answer, answer


async def _send(
    client: socket.socket, application: Any, steps: list[int], is_chunked: bool, pause: int
) -> bytes | None:
    """Send the pieces of a body; the whole answer, or None if the client leaves before it is there."""
    loop = asyncio.get_running_loop()
    sizes = [step for step in steps if step > 7]
    length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % sum(sizes)
    with contextlib.suppress(ConnectionError):
        close = b"\r\nConnection: close" * (6 in steps)  # no other request follows
        await loop.sock_sendall(client, b"POST / HTTP/1.1\r\nHost: a\r\n" + length + close + b"\r\n\r\n")
        for step in steps:
            await _turns(pause)
            if step == 6:  # the client stops
                break
            if step == 7:
                await loop.sock_sendall(client, b"no number\r\n")
            elif step > 7:
                piece = b"x" * step
                await loop.sock_sendall(client, b"%x\r\n%b\r\n" % (step, piece) if is_chunked else piece)
        else:
            await _turns(pause)
            rest = b"0\r\n\r\n" * is_chunked + b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            await loop.sock_sendall(client, rest)
    await _turns(50)
    if 6 in steps and "end" not in getattr(application.settings.get("upload"), "seen", ()):
        return None
    answer = b""
    with contextlib.suppress(ConnectionError):
        while got := await loop.sock_recv(client, 65536):
            answer += got
    return answer


# -------------------------------------------------------------------- options


def config(data: bytes) -> None:
    """Any config dict is a `NodeSession`, or one ConfigError that does not show the secret."""
    options = {"secret": SECRETS[0], "files": _FOLDER.name, **_object(data)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            sessions = NodeSession(options)
        except ConfigError as error:
            assert not any(secret in str(error) for secret in SECRETS)
            return
    assert isinstance(sessions.config, Config)
    transport = Transport(sessions.config, Events("memory"), sessions)
    line = transport.set_cookies[True, False].line(b64encode(os.urandom(9)).decode())
    assert line.isprintable() and line.isascii()


# -------------------------------------------------------------------- what targets have in common


def _same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # NaN is not equal to itself, and True is equal to 1


def _stored(session: dict[str, Any]) -> None:
    try:
        text = dumps(session)
    except SerializationError:
        return
    read = dumps(loads(text))  # an integer beyond every one of JavaScript's is a float from here on
    assert dumps(loads(read)) == read


def log_out(data: bytes) -> None:
    """However requests that rotate a session's id, and one that logs it out, interleave: it ends logged out."""
    steps = iter(data)
    driver = ("memory", "file", "database")[next(steps, 0) % 3]

    async def run(folder: str) -> None:
        grace = next(steps, 0) % 2 * 10_000
        options = {"secret": SECRETS[0], "driver": driver, "files": f"{folder}/sessions", "regenerateGrace": grace}
        sessions = NodeSession(options)
        try:
            await log_out_against_rotations(sessions, lambda below: next(steps, 0) % below)
        finally:
            await sessions.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        cookie,
        cookie_bytes,
        set_cookie,
        proxy,
        csrf_token,
        path,
        attributes,
        merging,
        stored_text,
        database_payload,
        values,
        decryption,
        encryption,
        file,
        streaming,
        config,
        log_out,
        express_record,
        express_cookie,
        express_token,
        express_file,
    )
}

_TOKEN_BYTES = [chr(token).encode() for token in _TOKENS]

_EXPRESS_RECORDS = [
    b'{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"passport":{"user":7}}',
    b'{"a":1,"cookie":{"originalMaxAge":60000,"expires":"2026-11-26T21:35:04.000Z"},"__lastAccess":1764193000000}',
    b'{"cookie":{"originalMaxAge":1e999,"expires":false},"_lifetime":5,"cookie":{"originalMaxAge":5.5}}',
    b'{"cookie":{"originalMaxAge":-1},"\\u0063ookie":{},"__proto__":{"a":1},"__lastAccess":"x"}',
    b'{"cookie":{"originalMaxAge":true,"__proto__":1},"a":"\\ud83d"}',
    b'{"cookie":{"originalMaxAge":5.5},"_lifetime":5,"a":{"b":1e999}}',
    b'{"hmac":"x","ct":"y","iv":"z"}',
    b'{"a":x,"__lastAccess":1764193000000,"__lastAccess":1764193000000}',
    b'{"a":1,"__lastAccess":0764193000000}',
    b'{"cookie":{},"a":1}\n',
    b'{"a":1"__lastAccess":1764193000000}',
    b"MIICRgSB",
    b'{"cookie":[]}',
]

SEEDS: dict[str, list[bytes]] = {
    "express_record": _EXPRESS_RECORDS,
    "express_file": _EXPRESS_RECORDS,
    "express_cookie": [b"name=" + each + b"; a=1; name=" + each for each in _TOKEN_BYTES[:5]]
    + [b"name=s%3Aa.b%2F." + b"A" * 43, b"name=s:.." + b"A" * 43],
    "express_token": [
        b"x-Z-w1Ie4btIysgjKK7WuS6SMdjZE\0abc",
        b"-\0a-b",
        b"abc\0abc",
        b"\xed\xa0\x80-\0\xf0\x9f\x98\x80",
    ],
    "cookie": [b"name=" + each + b"; a=1; name=" + each for each in _TOKEN_BYTES[:5]]
    + [b'__Host-n="' + _TOKEN_BYTES[3] + b'"', b"name=s:" + _TOKEN_BYTES[4] + b"." + b"A" * 43],
    "cookie_bytes": [
        b"\xa0\3=\1; \3=\2",
        b"\x1f\3=\1;\t\3 =\t\2 ",
        b'a=\1; \3\x85=\2; \3="\1"; \3=\xa0\2',
        b"\xc2\xa0\3=\1,\3=\2;\3=%20\1;__host-n=\1;=\3=\1",
    ],
    "set_cookie": [b"name\0/app\0example.org", b"__Host-n\0/\0a.b; X=y", b"n\0/\r\nX: y\0a"],
    "proxy": [b'"loopback, 10.0.0.0/8"\0::ffff:127.0.0.1\0https, http', b"true\0::1%eth0\0", b'["fe80::/10"]\01'],
    "csrf_token": [b"abc\0abc", b"\xc3\xa9\0", b"?\0\xff"],
    "path": [
        b'{"a":{"b":[1,{"c":2}]}}\0a.b[1].c\0a.b[2]\0a["b"]\0[\0a[99999999999]',
        b'{}\0a[\'x.y\'].__class__\0constructor\0a["\\""]',
        b'{"a.b":1,"a":[[1]]}\0a.b\0a[0][0]\0a[0][1].x',
    ],
    "attributes": [
        b'{"flash":{"old":["a"],"new":["b.c"]},"a":1}\0\x05b.c=1\0\x09=\0\x02l=[1]\0\x0cn=\0\x0a="x"',
        b'{"flash":7,"n":1e999}\0\x05a=1\0\x0cn=\0\x06[\0\x0f',
    ],
    "merging": [
        b'{"n":1,"l":[1]}\0{"n":2,"l":[1,2]}\0{"n":5,"l":[1,3]}',
        b'{"flash":{"old":["a"],"new":[]},"a":1}\0{"flash":{"old":[],"new":["b"]},"b":[[1]]}\0{"flash":[]}',
    ],
    "stored_text": [b'{"a":[1.0,-0.0,1e21,"\\ud800","\\u00e9"]}', b'{"n":123456789012345678901234567890}', b"[[[{"],
    "database_payload": [b'"{\\"a\\":1}"', b'{"a":1}', b'"\\ud800"', b"\xff", b'"' + b"\\" * 9],
    "values": [bytes([2, 3, 1, 2, 3, 0, 2, 9, 9, 7, 1, 5]), bytes([4, 2, 0xD8, 0, 5, 1, 1]), bytes([0, 1, 1] * 100)],
    "decryption": [*_TOKEN_BYTES[5:12], *(a + b'"mac"' + b for a in _TOKEN_BYTES[12:14] for b in _TOKEN_BYTES[12:14])],
    "encryption": [b"secret\0text\0" + b"p" * 30, b"\xff\0\xc3\xa9\0\x7f\x01"],
    "file": [b"e" + _TOKEN_BYTES[5], b"l" + _TOKEN_BYTES[6], b'p{"_token":"t","fuzz":2}', b"p\xff\xfe", b"p", b'p{"a'],
    "streaming": [
        *(
            bytes([kind, moment, 30, way, 20, 3, 40, 50, 60])
            for kind in (0, 1)
            for moment in range(6)
            for way in range(6)
        ),
        *(bytes([1, moment, 30, 2, saving, 1, 40, 7, 60]) for moment in range(6) for saving in (0, 250)),
        *(bytes([1, moment, 30, 2, 90, 7, 40, 7, 60]) for moment in range(6)),
        *(bytes([0, moment, 30, 1, 90, 2, 40, 6, 60]) for moment in range(6)),
        *(bytes([1, moment, 100, 2, 90, 7, 40, 60]) for moment in range(6)),
    ],
    "config": [
        b'{"driver":"database","connection":{"adapter":"sqlite","port":"5","timeout":1,"poolSize":2,"url":"a://b"}}',
        b'{"driver":"redis","connection":{"host":"h","user":"u","password":"p","database":7,"client":null},"table":"a.b"}',
        b'{"driver":"database","connection":{"adapter":[]}}',
        b'{"driver":"database","connection":{"port":"' + b"9" * 5000 + b'"}}',
        b'{"driver":"redis","connection":{"url":"redis://h:abc/0"}}',
        b'{"lifetime":1,"cookie":"__Host-a","secure":true,"sameSite":"none","trustProxy":"loopback"}',
        b'{"driver":"memory","connection":{"adapter":"x"},"lottery":[1,2],"files":"a","hashIds":true,"encrypt":"legacy"}',
        b'{"secret":["a","b"],"path":"/a b","domain":"x.y","absoluteLifetime":1e3,"expireOnClose":true,"table":"t"}',
    ],
    "log_out": [bytes([driver, 1, 2, 0, 1, 3, 0, 1, 5, 2, 1]) for driver in range(3)] + [bytes([0, 0, 2, 1, 1, 1])],
}
