"""The format of express-session: its cookie, its ids, its records, and what its companions keep in them.

    {"cookie": {"originalMaxAge": 3600000, "expires": "2026-11-26T21:35:04.000Z", "httpOnly": true, "path": "/"},
     "passport": {"user": 7}, "csrfSecret": "…", "flash": {"info": ["Saved."]}}

The module `express_record` knows the member `cookie`. Apart from it, all members are the session's attributes:
passport's, csurf's and connect-flash's as well. Our own flash data has a key of its own, `_flash`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .. import ids, serializer
from ..errors import DamagedError, SerializationError
from . import csurf, express_record
from .base import Format, FormatOptions, Opened
from .masks import is_mask, masked, unmasked
from .node_session import is_same

logger = logging.getLogger("node_session")

_HOUR = 60 * 60 * 1000
_DAY = 24 * _HOUR

# By driver, or by the adapter of a database: for how long the stores of express-session keep a record whose cookie
# ends with the browser.
_LIFETIMES = {"file": _HOUR, "native": _HOUR, "mongodb": 14 * _DAY, "sails-mongo": 14 * _DAY}

# The table of connect-pg-simple. "sess" is Redis' prefix without the colon, which any table gets there.
_TABLES = {"redis": "sess", "sails-redis": "sess", "postgresql": "session", "sails-postgresql": "session"}

# Express leaves out a key that its session object has anyway, as a method or from JavaScript's Object.
_LEFT_OUT = frozenset(
    [
        *("req", "id", "touch", "resetMaxAge", "save", "reload", "destroy", "regenerate"),
        *("constructor", "toString", "valueOf", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable"),
        *("toLocaleString", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    ]
)


class ExpressSession(Format):
    """Records that have a member `cookie`, under ids of any length."""

    name = "express-session"
    ids = ids.ANY
    has_envelope = True
    strange_keys = express_record.MEMBERS | _LEFT_OUT
    flash_key = "_flash"
    lists_no_flash = False
    messages_key = "flash"  # connect-flash's
    makes_tokens = False
    token_keys = (csurf.SECRET, csurf.TOKEN, *Format.token_keys)
    token_field = "_csrf"  # noqa: S105
    token_fields = ("_csrf", "_token", "_xsrf")
    token_headers = ("CSRF-Token", "XSRF-Token", *Format.token_headers)
    token_queries = ("_csrf",)

    def __init__(self, options: FormatOptions) -> None:
        super().__init__(options)
        self._cookies = express_record.Cookies(options)
        self.keeps_scheme = options.secure == "auto"
        self._kind = csurf.TOKEN if options.csrf == "csrf-sync" else csurf.SECRET
        self._has_warned_of: set[str] = set()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Format.defaults`: those of express-session and its stores."""
        connection, driver = given.get("connection") or {}, given.get("driver", "file")
        store = connection.get("adapter", driver) if driver == "database" else driver
        defaults = {
            "cookie": "connect.sid",
            "lifetime": _LIFETIMES.get(store, _DAY),
            "expire_on_close": "lifetime" not in given,
        }
        return defaults | ({"table": _TABLES[store]} if store in _TABLES else {})

    @classmethod
    def contradictions(cls, options: FormatOptions) -> Iterator[str]:
        """See `Format.contradictions`."""
        refused = {
            "encrypt": (options.encrypt, "express-session could not read such records"),
            "hashIds": (options.hash_ids, "express-session could not find such records"),
            "bindName": (options.bind_name, "express-session could not verify such cookies"),
        }
        for name, (value, reason) in refused.items():
            if value:
                yield f"{name}: not with format: {cls.name!r}, as {reason}"

    # ---------------------------------------------------------------- records

    def open(self, text: str) -> Opened:
        """See `Format.open`."""
        try:
            attributes = serializer.loads(text)
        except DamagedError:
            express_record.refuse_other_forms(text)
            raise
        envelope, rest = self._cookies.take(attributes, text)
        return Opened(attributes, serializer.dumps(attributes) if rest is None else rest, envelope)

    def close(self, text: str, envelope: Any, now: float) -> str:
        """See `Format.close`."""
        return self._cookies.put(text, envelope, now)

    def new_envelope(self, is_https: bool) -> Any:
        """See `Format.new_envelope`. With `secure: "auto"`, Express marks its later cookies as the record says."""
        return self._cookies.new(is_https)

    def check_keys(self, keys: Collection[str]) -> None:
        """See `Format.check_keys`. Warns once of each key that Express leaves out."""
        for key in express_record.MEMBERS.intersection(keys):
            raise SerializationError(
                f"cannot store the session: {key!r} is reserved by the format {self.name!r}, for what express-session "
                "keeps there; choose another key"
            )
        for key in _LEFT_OUT.intersection(keys) - self._has_warned_of:
            self._has_warned_of.add(key)
            logger.warning("session[%r] will be lost: Express leaves out this key; choose another one", key)

    def judge(self, error: DamagedError) -> None:
        """See `Format.judge`."""
        express_record.refuse_binary(error)

    def veil(self, id: str, other: str) -> str:
        """See `Format.veil`."""
        return masked(id, other)

    def is_veiled(self, value: object) -> bool:
        """See `Format.is_veiled`."""
        return is_mask(value)

    def unveil(self, veiled: str, other: str) -> str | None:
        """See `Format.unveil`."""
        id = unmasked(veiled, other)
        return id if self.ids.is_valid(id) else None

    # ---------------------------------------------------------------- sessions

    def ends_with_browser(self, envelope: Any, attributes: Mapping[str, Any]) -> bool:
        """See `Format.ends_with_browser`."""
        return self._cookies.end_with_browser(envelope, attributes)

    def token_of(self, attributes: Mapping[str, Any]) -> str | None:
        """See `Format.token_of`: csurf's, csrf-sync's or, in a session that has moved here, our own."""
        secret = csurf.text_at(attributes, csurf.SECRET)
        if secret is not None:
            return csurf.make_token(secret)
        return csurf.text_at(attributes, csurf.TOKEN) or csurf.text_at(attributes, "_token")

    def new_tokens(self, attributes: Mapping[str, Any]) -> dict[str, str]:
        """See `Format.new_tokens`: new ones of each kind that there is, or else of the application's."""
        made = {csurf.SECRET: csurf.make_secret, csurf.TOKEN: csurf.make_synchronised, "_token": ids.generate}
        there = [key for key in made if csurf.text_at(attributes, key) is not None]
        return {key: made[key]() for key in there or [self._kind]}

    def accepts(self, attributes: Mapping[str, Any], token: str) -> bool:
        """See `Format.accepts`."""
        secret = csurf.text_at(attributes, csurf.SECRET)
        if secret is not None and csurf.is_token(token, secret):
            return True
        own = [csurf.text_at(attributes, key) for key in (csurf.TOKEN, "_token")]
        return any(each is not None and is_same(each, token) for each in own)
