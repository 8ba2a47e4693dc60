"""The session a handler works with.

    session.put("user.name", "Ann")
    session.get("user.name")            # 'Ann'
    session.flash("status", "Saved.")   # there for the next request, then gone

`Store` is a set of attributes with the original's methods on top, and a record in a driver underneath. It is loaded
once, by `start`, and saved by `save`. In between no method waits for anything. Keys are those of
`node_session.paths`: ``a.b.c``, ``a[0]``, ``a["b-c"]``.

What makes saving safe is that a record is only ever replaced if it is still the one that was loaded. If it is not,
another request was first: its changes are merged with ours, and the save is tried again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple, TypeVar, overload

from . import ids, paths, serializer
from .callbacks import takes_callback
from .drivers import Driver
from .encryption import AnyEncrypter
from .errors import ConflictError, DamagedError, HeadersSentError, SessionError, UnavailableError
from .merge import merge

T = TypeVar("T")

logger = logging.getLogger("node_session")

# How often, and how many seconds apart, a damaged text is read again before it is believed to be one: the original
# truncates a file and then fills it, so that whoever reads in between sees an empty or half text.
_SECOND_LOOKS = 5
_SECOND_LOOK_DELAY = 0.02

# Saves that met another one wait here for their turn, per driver, loop and id, and so do those that come meanwhile.
# Without it, a request that has to read and merge again loses against newcomers for as long as there are any. A
# session that is saved by one request at a time has no entry, and nobody holds a place while a handler works.
_queues: weakref.WeakValueDictionary[tuple[int, int, str], asyncio.Lock] = weakref.WeakValueDictionary()


class _Loaded(NamedTuple):
    attributes: dict[str, Any]
    text: str
    version: object


class Store(MutableMapping[str, Any]):
    """A session: attributes by key, and the record they are kept in.

    It is a mapping of the attributes too: ``session["user.name"]``, ``"cart" in session``, ``del session["cart"]``.
    Reserved keys are ``_token`` (the CSRF token), ``flash`` and ``_old_input``.

    Args:
        name: The cookie's name.
        driver: Keeps the record.
        id: The id to load; a fresh one is made where it is missing or invalid.
        strict: Replace an id that has no record by a fresh one when the session starts.
        save_timeout: Milliseconds that saving may go on merging, before `UnavailableError`.

    Attributes:
        ages_flash: Whether the next save ends the life of the previous request's flash data. It does so once a
            request, and not in a WebSocket, which is none that shows a page.
        headers_sent: The client has its cookie; from here on the id cannot change.
        is_gone: The session was destroyed or has expired while this one was at work; it is not saved any more, and
            its cookie is not sent.
    """

    __slots__ = (
        "_aged",
        "_attributes",
        "_driver",
        "_flushed",
        "_id",
        "_increments",
        "_is_fresh",
        "_left",
        "_loaded",
        "_lock",
        "_name",
        "_save_timeout",
        "_started",
        "_strict",
        "_version",
        "ages_flash",
        "headers_sent",
        "is_gone",
    )

    def __init__(
        self, name: str, driver: Driver, id: str | None = None, *, strict: bool = False, save_timeout: float = 5_000
    ) -> None:
        self._name = name
        self._driver = driver
        self._strict = strict
        self._save_timeout = save_timeout
        self._attributes: dict[str, Any] = {}
        self._started = False
        self._loaded: str | None = None  # the text of the record our attributes are based on
        self._version: object = None  # the driver's version of it; None: no record of this id yet
        self._left: tuple[str, bool] | None = None  # the id a regenerated session had, and whether to destroy it
        self._increments: dict[str, float] = {}  # what increment() added since the record was loaded
        self._flushed = False
        self._aged = False  # whether the flash data was aged since the record was loaded
        self._lock: asyncio.Lock | None = None
        self.ages_flash = True
        self.headers_sent = False
        self.is_gone = False
        self.set_id(id)

    def __repr__(self) -> str:
        state = f"{len(self._attributes)} keys" if self._started else "not started"
        return f"<{type(self).__name__} {self._name} {ids.shorten(self._id)} {state}>"

    # ---------------------------------------------------------------- identity

    def get_id(self) -> str:
        """The session's id: 40 characters, secret as a password. npm: `getId`."""
        return self._id

    def set_id(self, id: str | None = None) -> None:
        """Take another id, or a fresh one if `id` is missing or invalid. npm: `setId`."""
        self._is_fresh = not ids.is_valid(id)
        self._id = ids.generate() if id is None or self._is_fresh else id
        self._version = None

    @property
    def is_started(self) -> bool:
        """Whether the record has been looked for, so that the session can be used and saved."""
        return self._started

    @property
    def is_new(self) -> bool:
        """Whether there is no record under this id yet."""
        return self._version is None

    def get_name(self) -> str:
        """The cookie's name. npm: `getName`."""
        return self._name

    def get_handler(self) -> Driver:
        """The driver. npm: `getHandler`."""
        return self._driver

    def set_exists(self, exists: bool) -> None:
        """With False, the next save creates a record instead of replacing the one loaded. npm: `setExists`."""
        if not exists:
            self._version = None

    def regenerate(self, destroy: bool = False) -> bool:
        """Give the session a new id; call this when somebody logs in. Data and token stay.

        Args:
            destroy: Also destroy the record of the old id, once the new one is saved.

        Returns:
            True.

        Raises:
            HeadersSentError: The response's headers, and with them the cookie, have been sent.
        """
        if self.headers_sent:
            raise HeadersSentError(
                "the session's id cannot change any more: the headers of this response have been sent, so the client "
                "would keep the old id; call regenerate(), migrate() or invalidate() before flush()"
            )
        if self._version is not None:
            self._left = (self._id, destroy)
        elif self._left is not None and destroy:
            self._left = (self._left[0], True)
        self.set_id()
        return True

    def migrate(self, destroy: bool = False) -> bool:
        """The same as `regenerate`, as in the original."""
        return self.regenerate(destroy)

    def invalidate(self) -> bool:
        """Empty the session, give it a new id and destroy the old record; call this when somebody logs out."""
        self.regenerate(destroy=True)  # first: it may refuse, and then nothing has happened
        self.flush()
        return True

    # ---------------------------------------------------------------- reading

    @overload
    def get(self, key: str, default: None = None) -> Any: ...

    @overload
    def get(self, key: str, default: T) -> Any | T: ...

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key; `default` if there is none.

        What is returned is the session's own object: what is changed inside it is saved.
        """
        value = paths.find(self._attributes, key)
        return default if value is paths.MISSING else value

    def all(self) -> dict[str, Any]:
        """All attributes, as the session's own dict."""
        return self._attributes

    def has(self, key: str) -> bool:
        """Whether a key has a value other than None. `exists` counts None as well."""
        return self.get(key) is not None

    def exists(self, key: str) -> bool:
        """Whether a key is there, even if its value is None."""
        return paths.find(self._attributes, key) is not paths.MISSING

    def missing(self, key: str) -> bool:
        """Whether a key has no value, or None: the opposite of `has`."""
        return not self.has(key)

    def only(self, *keys: str | Iterable[str]) -> dict[str, Any]:
        """The given keys with their values, in a new dict; those that are not there are left out."""
        values = ((key, paths.find(self._attributes, key)) for key in _flatten(keys))
        return {key: value for key, value in values if value is not paths.MISSING}

    def get_old_input(self, key: str, default: Any = None) -> Any:
        """A field of the form input that the previous request flashed with `flash_input`."""
        flashed = self.get("_old_input")
        for fields in reversed(flashed if isinstance(flashed, list) else []):
            value = paths.find(fields, key) if isinstance(fields, dict) else paths.MISSING
            if value is not paths.MISSING:
                return value
        return default

    def __getitem__(self, key: str) -> Any:
        value = paths.find(self._attributes, key)
        if value is paths.MISSING:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.exists(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    # ---------------------------------------------------------------- changing

    def set(self, key: str, value: Any) -> None:
        """Set a key. Parents that are missing, or are no containers, become objects.

        Raises:
            PathError: The key leads into a list, but not to one of its places.
        """
        paths.assign(self._attributes, key, value)
        if self._increments:
            self._forget_increments(key)

    def put(self, key: str | Mapping[str, Any], value: Any = None) -> None:
        """Set a key, or each key of a mapping."""
        if isinstance(key, Mapping):
            for each in key:
                self.set(each, key[each])
        else:
            self.set(key, value)

    def push(self, key: str, value: Any) -> None:
        """Append to a list, which is made if the key is not there. A value that is no list is left as it is."""
        values: Any = self.get(key, [])
        if isinstance(values, list):
            values.append(value)
            self.set(key, values)
        else:
            logger.warning("push(%r) did nothing: the session holds a %s there", key, type(values).__name__)

    def increment(self, key: str, amount: float = 1) -> Any:
        """Add to a number (0 if there is none); concurrent requests' increments add up.

        Returns:
            The new value, as far as this request knows.

        Raises:
            TypeError: What is there, or `amount`, is no number.
        """
        before = self.get(key)
        if before is None:
            before = 0
        for number in (before, amount):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise TypeError(f"cannot add {amount!r} to session[{key!r}]: {type(number).__name__} is no number")
        paths.assign(self._attributes, key, before + amount)
        self._increments[key] = self._increments.get(key, 0) + amount
        return before + amount

    def decrement(self, key: str, amount: float = 1) -> Any:
        """Subtract from a number; see `increment`."""
        return self.increment(key, -amount)

    def remember(self, key: str, callback: Callable[[], T]) -> T | Any:
        """The value of a key; if there is none (or None), what `callback()` returns is stored and returned.

        Raises:
            TypeError: `callback` is asynchronous; await its value and `put` it.
        """
        value = self.get(key)
        if value is None:
            value = callback()
            if hasattr(value, "__await__"):
                if hasattr(value, "close"):
                    value.close()
                raise TypeError(f"remember({key!r}, …) takes a plain function: await the value yourself and put() it")
            self.set(key, value)
        return value

    def pull(self, key: str, default: Any = None) -> Any:
        """Remove a key and return its value; `default` if it is not there. A literal key goes before a path."""
        value = paths.remove(self._attributes, key)
        if self._increments:
            self._forget_increments(key)
        return default if value is paths.MISSING else value

    def forget(self, keys: str | Iterable[str]) -> None:
        """Remove a key, or each of several. A literal key goes before a path."""
        for key in [keys] if isinstance(keys, str) else keys:
            self.pull(key)

    def flush(self) -> None:
        """Remove everything, the CSRF token too; the next start makes a new one."""
        self._attributes = {}
        self._increments.clear()
        self._flushed = True

    clear = flush

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        if self.pull(key, paths.MISSING) is paths.MISSING:
            raise KeyError(key)

    def _forget_increments(self, key: str) -> None:
        """A value that was set anew is no longer a sum: forget what was added to it, above it and below it."""
        steps = paths.parse(key)
        for each in list(self._increments):
            other = paths.parse(each)
            shared = min(len(steps), len(other))
            if steps[:shared] == other[:shared]:
                del self._increments[each]

    # ---------------------------------------------------------------- flash data

    def flash(self, key: str, value: Any) -> None:
        """Set a key for this request and the next one."""
        self.put(key, value)
        self._set_flashed("new", [*self._flashed("new"), key])
        self._remove_from_old([key])

    def flash_input(self, value: Any) -> None:
        """Flash form input, for `get_old_input` to find in the next request. npm: `flashInput`."""
        self.flash("_old_input", list(value) if isinstance(value, (list, tuple)) else [value])

    def now(self, key: str, value: Any) -> None:
        """Set a key for this request only."""
        self.put(key, value)
        self._set_flashed("old", [*self._flashed("old"), key])

    def reflash(self) -> None:
        """Keep all flash data for one more request."""
        self._add_to_new(self._flashed("old"))
        self._set_flashed("old", [])

    def keep(self, *keys: str | Iterable[str]) -> None:
        """Keep the given flash data, as arguments or in a list, for one more request."""
        names = list(_flatten(keys))
        self._add_to_new(names)
        self._remove_from_old(names)

    def age_flash_data(self) -> None:
        """Remove the flash data of the previous request. `save` does this itself, once a request.

        npm: `ageFlashData`.
        """
        for key in reversed(self._flashed("old")):  # the items of a list from its end, or they would move
            self.pull(key)
        self._set_flashed("old", self._flashed("new"))
        self._set_flashed("new", [])

    def _flashed(self, which: str) -> list[Any]:
        flash = self._attributes.get("flash")
        keys = flash.get(which) if isinstance(flash, dict) else None
        return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []

    def _set_flashed(self, which: str, keys: list[str]) -> None:
        flash = self._attributes.get("flash")
        if not isinstance(flash, dict):  # a program has put something else there
            flash = self._attributes["flash"] = {}
        flash[which] = keys

    def _remove_from_old(self, keys: list[str]) -> None:
        self._set_flashed("old", [key for key in self._flashed("old") if key not in keys])

    def _add_to_new(self, keys: list[str]) -> None:
        self._set_flashed("new", list(dict.fromkeys([*self._flashed("new"), *keys])))

    # ---------------------------------------------------------------- CSRF token

    def get_token(self) -> Any:
        """The CSRF token, made when the session starts. npm: `getToken`."""
        return self.get("_token")

    def regenerate_token(self) -> None:
        """Make a new CSRF token. npm: `regenerateToken`."""
        self.put("_token", ids.generate())

    def verify_token(self, token: object) -> bool:
        """Whether `token` is this session's CSRF token; takes the same time whatever is wrong with it."""
        own = self.get_token()
        if not isinstance(token, str) or not isinstance(own, str) or not own:
            return False
        return hmac.compare_digest(token.encode("utf-8", "replace"), own.encode("utf-8", "replace"))

    # ---------------------------------------------------------------- loading

    @takes_callback("nothing")
    async def start(self) -> bool:
        """Load the record. What was set before stays, unless the record says otherwise.

        Returns:
            True.

        Raises:
            UnavailableError: The store cannot tell whether there is a record.
        """
        loaded = None if self._is_fresh else await self._load(self._id)
        if loaded is not None:
            self._attributes = _fill(self._attributes, loaded.attributes) if self._attributes else loaded.attributes
            self._loaded, self._version = loaded.text, loaded.version
        elif self._strict and not self._is_fresh:
            self.set_id()
        token = self._attributes.get("_token")
        if not token:
            self.regenerate_token()
        self._started = True
        return True

    async def reload(self) -> bool:
        """Take over what is stored now, dropping what was changed here and not saved. For WebSockets.

        Returns:
            False if the session was destroyed or has expired; it is empty then, and can no longer be saved.
        """
        loaded = await self._load(self._id)
        self._increments.clear()
        self._flushed = self._aged = False
        self.ages_flash = False  # what is stored has been aged by the request that saved it
        if loaded is None:
            self._attributes = {}
            self.is_gone = True
            return False
        self._attributes, self._loaded, self._version = loaded
        return True

    async def _load(self, id: str) -> _Loaded | None:
        """What is stored under an id; None if there is no record, or one that cannot be made sense of."""
        version: object = None
        for look in range(_SECOND_LOOKS + 1):
            try:
                record = await self._driver.read(id)
                if record is None:
                    return None
                version = record.version
                text = self._reveal(record.payload, id)
                return _Loaded(serializer.loads(text), text, version)
            except DamagedError as error:
                if look == _SECOND_LOOKS:
                    await self._set_aside(id, version, error)
                    return None
                await asyncio.sleep(_SECOND_LOOK_DELAY)
        raise AssertionError("the last look returns")

    async def _set_aside(self, id: str, version: object, error: DamagedError) -> None:
        logger.error(
            "session %s is damaged (%s): a fresh session is started, the record is kept aside", ids.shorten(id), error
        )
        await self._driver.set_aside(id, version)
        if id == self._id:
            self.set_id()

    # ---------------------------------------------------------------- saving

    @takes_callback("error")
    async def save(self) -> None:
        """Write the session, if it has changed. May be called any number of times.

        A response waits for this by itself; call it where there is none, as in a WebSocket.

        Raises:
            SerializationError: The session holds something JSON has no form for; nothing was written.
            UnavailableError: The store is down, or too busy for too long; nothing was written.
        """
        text = self.stage()
        if text is not None:
            await self.commit(text)

    def stage(self) -> str | None:
        """Do what of `save` needs no waiting: age the flash data, and compare with what was loaded.

        Returns:
            The text to `commit`; None if the record is as it should be, and needs at most a touch.
        """
        if not self._started:
            raise SessionError(
                "the session was not started, so saving it could overwrite what is stored: await start()"
            )
        if self.is_gone:
            return None
        self._settle_flash()
        text = serializer.dumps(self._attributes)
        return None if self._version is not None and text == self._loaded else text

    async def commit(self, text: str) -> None:
        """Write what `stage` returned; on a conflict merge, and write again."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:  # two saves of one object, or its changes would be merged with themselves
            left = self._left
            if left is not None and self._version is None:
                merged = await self._take_along(left[0])
                if merged is None:
                    return
                text = merged
            await self._write(text)
            if left is not None:
                self._left = None
                if left[1]:
                    await self._driver.destroy(left[0])

    async def _write(self, text: str) -> None:
        started = time.monotonic()
        tries = 0
        place = (id(self._driver), id(asyncio.get_running_loop()), self._id)
        queue = _queues.get(place) if _queues else None
        if queue is None:
            tries = 1
            if await self._try_to_write(text):
                return
            queue = _queues.setdefault(place, asyncio.Lock())
        async with queue:
            while True:
                caught_up = await self._catch_up()
                if caught_up is None:
                    return
                tries += 1
                if await self._try_to_write(caught_up):
                    return
                if time.monotonic() - started > self._save_timeout / 1000:
                    raise UnavailableError(
                        f"session {ids.shorten(self._id)} was changed by others during each of {tries} tries to save it"
                    )
                # Another process was first. Jitter, so that the two do not go on colliding in step.
                await asyncio.sleep(random.uniform(0, 0.002) * min(tries, 10))  # noqa: S311 - no secret

    async def _try_to_write(self, text: str) -> bool:
        """Whether it was written; False if another request was first."""
        try:
            version = await self._driver.write(self._id, self._conceal(text, self._id), self._version)
        except ConflictError:
            return False
        self._loaded, self._version = text, version
        self._settle()
        return True

    async def _catch_up(self) -> str | None:
        """Merge what is stored now into the session; gives the text to write, None if there is none."""
        loaded = await self._load(self._id)
        if loaded is None:
            self._end()
            return None
        self._rebase(loaded)
        text = serializer.dumps(self._attributes)
        if text == loaded.text:
            self._settle()
            return None
        return text

    def _settle(self) -> None:
        """What is stored is what we have: from here on, changes are counted anew."""
        self._increments.clear()
        self._flushed = self._aged = False

    async def _take_along(self, old_id: str) -> str | None:
        """Before a regenerated session is first saved: what others saved under the old id since, comes along."""
        if not self._flushed:
            loaded = await self._load(old_id)
            if loaded is None:  # destroyed meanwhile; to go on under a new id would undo that
                self._end()
                return None
            if loaded.text != self._loaded:
                self._rebase(loaded)
            self._version = None
        return serializer.dumps(self._attributes)

    def _rebase(self, theirs: _Loaded) -> None:
        """Make our changes changes of what another request has stored."""
        base = serializer.loads(self._loaded) if self._loaded is not None else {}
        self._attributes = merge(
            base,
            self._attributes,
            theirs.attributes,
            increments=self._increments,
            flushed=self._flushed,
            aged=self._aged,
        )
        self._aged = False
        self._loaded, self._version = theirs.text, theirs.version

    def _end(self) -> None:
        """Another request destroyed the session: neither a record nor a cookie may bring it back."""
        logger.info("session %s was destroyed by another request; nothing is saved", ids.shorten(self._id))
        self.is_gone = True

    async def touch(self) -> None:
        """Renew the record's last activity. A response does this by itself, where the session was not changed."""
        if self._version is not None and not self.is_gone:
            await self._driver.touch(self._id)

    def _settle_flash(self) -> None:
        """Bring the flash data into the state in which the next request is to find it."""
        if self.ages_flash:
            self.age_flash_data()
            self.ages_flash, self._aged = False, True
        elif self._flashed("new"):
            # The previous flash data is gone already; what was flashed since is for the next request as well.
            self._set_flashed("old", list(dict.fromkeys([*self._flashed("old"), *self._flashed("new")])))
            self._set_flashed("new", [])

    def _reveal(self, payload: str, id: str) -> str:
        """The JSON text in a stored payload."""
        return payload

    def _conceal(self, text: str, id: str) -> str:
        """The payload to store for a JSON text."""
        return text


class EncryptedStore(Store):
    """A session whose record is encrypted."""

    __slots__ = ("_encrypter",)

    def __init__(
        self, name: str, driver: Driver, encrypter: AnyEncrypter, id: str | None = None, **options: Any
    ) -> None:
        super().__init__(name, driver, id, **options)
        self._encrypter = encrypter

    def _reveal(self, payload: str, id: str) -> str:
        return self._encrypter.decrypt(payload, id)

    def _conceal(self, text: str, id: str) -> str:
        return self._encrypter.encrypt(text, id)


def _flatten(keys: Iterable[str | Iterable[str]]) -> Iterator[str]:
    """Keys given one by one, in a list, or both."""
    for key in keys:
        if isinstance(key, str):
            yield key
        else:
            yield from key


def _fill(preset: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """What was set before the session started, with the stored values over it."""
    filled = dict(preset)
    for key, value in stored.items():
        before = filled.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        filled[key] = _fill(before, value) if both else value  # type: ignore[arg-type]
    return filled
