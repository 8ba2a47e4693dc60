"""The member `cookie` of express-session's records.

    {"originalMaxAge": 3600000, "expires": "2026-11-26T21:35:04.000Z", "httpOnly": true, "path": "/"}

It holds the attributes of the browser's cookie, and how long the session lives: `originalMaxAge`, in milliseconds; null
if the cookie ends with the browser, and the store alone knows. `expires` is that much after the latest save. It says
little, as the stores renew a record without it. All of it is kept as it was read.

Among our attributes, an `originalMaxAge` that is not the program's own is the session's lifetime. Express computes it
from two readings of the clock, so that it loses a millisecond now and then, and saves what is left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeGuard

from .. import serializer
from ..errors import DamagedError, NotTextError, UnsupportedError
from .base import FormatOptions

LIFETIME = "_lifetime"
"""The attribute that is a session's own lifetime, in milliseconds (see `node_session.lifetimes`)."""

LAST_ACCESS = "__lastAccess"
"""The member in which session-file-store keeps the time of last activity."""

MEMBERS = frozenset({"cookie", LAST_ACCESS})
"""The members of a record that are no attributes."""

# Keys that are no attributes wherever they are, so that a text that has one is written again.
_KEYS = ("cookie", LAST_ACCESS, LIFETIME, "__proto__")

_START = '{"cookie":{'
_decode = json.JSONDecoder().raw_decode

_CENTURY = 100 * 365 * 24 * 60 * 60 * 1000

# The part of the program's lifetime that an `originalMaxAge` may have lost, and still is that lifetime.
_DRIFT = 1 / 100

_NO_JSON = (
    "this session's record is not JSON. The format 'express-session' does not support another `serializer` of "
    "connect-redis, `crypto` of connect-mongo and `secret` of session-file-store: leave that option out there"
)


class Cookies:
    """Reader and writer of the member `cookie`.

    Args:
        options: The program's. New sessions get its cookie's attributes.
    """

    def __init__(self, options: FormatOptions) -> None:
        self._default = None if options.expire_on_close or not options.lifetime else options.lifetime
        given: dict[str, Any] = {
            "originalMaxAge": self._default,
            "partitioned": options.partitioned,
            "expires": None,
            "secure": options.secure is True,
            "httpOnly": options.http_only,
            "domain": options.domain,
            "path": options.path,
            "sameSite": options.same_site,
        }
        always = ("originalMaxAge", "expires", "httpOnly", "path")
        self._new = {name: value for name, value in given.items() if value or name in always}
        is_new = [*self._new, "secure"]
        self._of_scheme = {
            https: {"cookie": {name: https if name == "secure" else given[name] for name in given if name in is_new}}
            for https in (True, False)
        }

    def new(self, is_https: bool) -> dict[str, Any]:
        """The members of a new record which are no attributes, if the option `secure` is "auto"."""
        return self._of_scheme[is_https]

    def take(self, attributes: dict[str, Any], text: str) -> tuple[dict[str, Any], str | None]:
        """Take the members that are no attributes out of a record.

        Args:
            attributes: All members.
            text: Its text.

        Returns:
            Those members; and the text of the others, or None if it must be written.

        Raises:
            DamagedError: It has no member `cookie`.
            UnsupportedError: It is encrypted.
        """
        envelope = {name: attributes.pop(name) for name in MEMBERS if name in attributes}
        cookie = envelope.get("cookie")
        if not isinstance(cookie, dict):
            _refuse_encrypted(attributes)
            raise DamagedError("it has no member cookie, which express-session writes into each record")
        attributes.pop(LIFETIME, None)  # only the cookie says it
        own, rest = self._own_lifetime(cookie), _without_cookie(text)
        if own is not None:
            attributes[LIFETIME] = own
            rest = None if rest is None else _with(rest, {LIFETIME: own})
        return envelope, rest

    def put(self, text: str, envelope: dict[str, Any] | None, now: float) -> str:
        """Put a record together; see `Format.close`."""
        cookie = dict(self._new if envelope is None else envelope["cookie"])
        attributes = serializer.loads(text) if f'"{LIFETIME}"' in text else {}
        own = attributes.pop(LIFETIME, None)
        lifetime = self._max_age(cookie, own)
        cookie["originalMaxAge"] = lifetime
        if attributes or own is not None:
            text = serializer.dumps(attributes)
        cookie["expires"] = _spell(now + lifetime / 1000) if _is_lifetime(lifetime) else lifetime
        rest = {} if envelope is None else {name: value for name, value in envelope.items() if name != "cookie"}
        before = serializer.dumps({"cookie": cookie})[:-1]
        return _with(f"{before}{',' if text != '{}' else ''}{text[1:]}", rest)

    def end_with_browser(self, envelope: dict[str, Any] | None, attributes: Mapping[str, Any]) -> bool:
        """Whether a session's cookie ends with the browser."""
        cookie = self._new if envelope is None else envelope["cookie"]
        return not _is_lifetime(self._max_age(cookie, attributes.get(LIFETIME)))

    def _max_age(self, cookie: Mapping[str, Any], own: Any) -> Any:
        """The `originalMaxAge` to write.

        Args:
            cookie: As it was read.
            own: The session's own lifetime, if it has one.
        """
        if _is_lifetime(own):
            return own
        max_age = cookie.get("originalMaxAge")
        # Another one was the session's own, and was taken away; or it has lost milliseconds; or it is none.
        return max_age if max_age is None or max_age is False else self._default

    def _own_lifetime(self, cookie: Mapping[str, Any]) -> float | None:
        """The lifetime that a cookie gives its session; None if it is the program's."""
        lifetime = cookie.get("originalMaxAge")
        if not _is_lifetime(lifetime) or _is_default(cookie, self._default):
            return None
        return lifetime


def _without_cookie(text: str) -> str | None:
    """Cut the cookie out of a record's text, as Express writes it; None if it may be another text."""
    if not text.startswith(_START):
        return None
    _, end = _decode(text, len(_START) - 1)
    rest = text[end:]
    if rest[0] not in ",}":  # a space, which Express never writes
        return None
    if any(f'"{name}"' in rest for name in _KEYS) or "\\u00" in rest:  # perhaps spelt so
        return None
    return "{" + rest.removeprefix(",")


def _with(text: str, members: dict[str, Any]) -> str:
    """Add members to the text of an object."""
    if not members:
        return text
    return f"{text[:-1]}{',' if text != '{}' else ''}{serializer.dumps(members)[1:]}"


def _is_default(cookie: Mapping[str, Any], default: float | None) -> bool:
    lifetime = cookie.get("originalMaxAge")
    return default is not None and _is_lifetime(lifetime) and 0 <= default - lifetime <= default * _DRIFT


def _is_lifetime(value: Any) -> TypeGuard[float]:
    """Whether a value is a length of time, in milliseconds, that a session may live."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value <= _CENTURY  # neither NaN nor infinity is; math.isfinite fails at a huge integer


def refuse_other_forms(text: str) -> None:
    """Refuse a text that another serializer or an encryption has made.

    A damaged one begins as JSON: only damage in its first character is mistaken. A null is no session to Express.

    Raises:
        UnsupportedError: It is one.
    """
    if text.lstrip()[:1] not in ("", "{", "[") and text.strip() != "null":
        raise UnsupportedError(_NO_JSON)


def refuse_binary(error: DamagedError) -> None:
    """Refuse a record that is no text.

    Raises:
        UnsupportedError: It is none.
    """
    if isinstance(error, NotTextError):
        raise UnsupportedError(_NO_JSON) from error


def _refuse_encrypted(attributes: Mapping[str, Any]) -> None:
    if isinstance(attributes.get("ct"), str) and isinstance(attributes.get("hmac"), str):
        raise UnsupportedError(
            "this session's record is encrypted, which the format 'express-session' does not support: leave out "
            "`crypto` of connect-mongo or `secret` of session-file-store"
        )


def _spell(seconds: float) -> str:
    """Spell a time as JavaScript does in JSON."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
