"""The cookie: sign an id, find it in a Cookie header, write the Set-Cookie line.

    sign("A" * 40, "x")                   # 's%3AAAAA….cEq9DgTL925s5q0CdA1OJdvwWKPai54fhMMd9ZLDDHA'
    find(header, "node_session", ["x"])   # Found(id='AAAA…', …)

The value is ``s:<id>.<signature>``, percent-encoded; the signature is the unpadded base64 of HMAC-SHA256 over the id,
under the secret. A signature that is bound to the cookie's name is over ``<name>=<id>``. Neither part contains a
``=``, so that no two names, and neither of the two kinds, ever sign the same bytes. (An id that another program has
made may contain one; no format with such ids binds its signatures.)

Lines are written here rather than by `http.cookies`, which quotes in another way than the original and knows no
``Partitioned`` on older Pythons.

Everything that a browser sends is data: nothing in this module raises on it. Around a name or a value only space and
tab are stripped (RFC 6265), never all that Python calls white space: to a browser, the byte A0 followed by
``__Host-id`` is an ordinary name, which any sister domain can set; to Tornado that byte is a no-break space.
"""

from __future__ import annotations

import binascii
import functools
import hmac
import math
import re
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import quote, unquote

from . import ids
from .ids import Rule

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_attribute_value = re.compile(r"[ -:<-~]+").fullmatch

_SIGNATURE = 43  # characters

# Of a value as sent, without its id, and with each character of the signature escaped. Longer ones are not cached.
_LONGEST_REST = len("s%3A") + 1 + 3 * _SIGNATURE

_UNESCAPED = "!~*'()"  # by encodeURIComponent, apart from letters, digits and "-_.~"

_BLANKS = " \t"


class Found(NamedTuple):
    """The session's cookies in a Cookie header.

    Attributes:
        id: The id of the first cookie with a valid signature; None if there is none.
        value: That cookie's value if it is exactly what `sign` returns under the first secret, so that it can be sent
            again without signing; otherwise None.
        forged: Whether a cookie of this name with an invalid signature comes before the first with a valid one.
        others: The ids of further cookies with a valid signature, in the order of the header, each once. They count
            if the first one's session is gone. Their number has no limit: by planting cookies, an attacker could push
            the visitor's own one beyond it.
    """

    id: str | None
    value: str | None
    forged: bool
    others: tuple[str, ...] = ()


def sign(id: str, secret: str, bound_to: str = "") -> str:
    """The cookie's value for an id; `bound_to` as in `find`."""
    return _encode(id, _signature(id, secret, bound_to))


def find(header: str | None, name: str, secrets: Sequence[str], bound_to: str = "", rule: Rule = ids.OWN) -> Found:
    """Find a session's cookie.

    Args:
        header: The Cookie header. It may contain cookies of other names, and several of this one: of other paths or
            domains, or planted by a neighbour on a sister domain.
        name: The cookie's name.
        secrets: Any of them may have signed it.
        bound_to: The cookie's name if the signature must cover it as well; empty: the original's signature.
        rule: The form of an id.
    """
    if header is None or name not in header:
        return Found(None, None, False)
    values: list[str] = []
    for pair in header.split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip(_BLANKS) == name:
            value = value.strip(_BLANKS)
            is_only = not values and header.count(name) == 1  # as nearly always
            if is_only and len(value) <= _LONGEST_REST + rule.longest:
                return _verify_short(value, tuple(secrets), bound_to, rule)
            values.append(value)
    return _join([_verify_any(value, tuple(secrets), bound_to, rule) for value in values])


def _verify(value: str, secrets: tuple[str, ...], bound_to: str, rule: Rule) -> Found:
    """Verify one value."""
    signed = _unquote(value)
    length = len(signed) - len("s:.") - _SIGNATURE  # of the id; any other is not worth computing a signature for
    if signed[:2] != "s:" or not rule.shortest <= length <= rule.longest:
        return Found(None, None, False)
    id, _, signature = signed[2:].rpartition(".")
    if len(id) == length and rule.is_valid(id) and signature.isascii():  # compare_digest takes no other text
        for number, secret in enumerate(secrets):
            if hmac.compare_digest(_signature(id, secret, bound_to), signature):
                return Found(id, value if number == 0 and value == _encode(id, signature) else None, False)
    return Found(None, None, True)


# A browser sends the same value again and again. An attacker learns nothing from the cache: its key is the whole value,
# which is what the attacker does not have.
_verify_short = functools.lru_cache(4096)(_verify)


def _verify_any(value: str, secrets: tuple[str, ...], bound_to: str, rule: Rule) -> Found:
    """Verify one value of any length."""
    is_short = len(value) <= _LONGEST_REST + rule.longest
    return (_verify_short if is_short else _verify)(value, secrets, bound_to, rule)


def _join(found: list[Found]) -> Found:
    """Join the answers for several cookies of the name."""
    valid: dict[str, Found] = {}  # by id, in order
    forged = False
    for each in found:
        if each.id is not None:
            valid.setdefault(each.id, each)
        elif each.forged and not valid:
            forged = True
    if not valid:
        return Found(None, None, forged)
    first, *others = valid
    return Found(first, valid[first].value, forged, tuple(others))


def _encode(id: str, signature: str) -> str:
    """Encode as encodeURIComponent does: in a signature it escapes only these two."""
    if not ids.is_valid(id):
        id = quote(id, safe=_UNESCAPED)
    return f"s%3A{id}." + signature.replace("+", "%2B").replace("/", "%2F")


def _unquote(value: str) -> str:
    if value[:1] == '"' == value[-1:]:
        value = value[1:-1]
    return unquote(value) if "%" in value else value


def _signature(id: str, secret: str, bound_to: str) -> str:
    signed = f"{bound_to}={id}" if bound_to else id
    digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), signed.encode(), "sha256")
    return binascii.b2a_base64(digest, newline=False)[:43].decode("ascii")


class SetCookie:
    """Writer of Set-Cookie lines: ``line("s%3A…")``.

    The attributes come in the original's order: Max-Age, Domain, Path, Expires, HttpOnly, Secure. Attributes that the
    original does not know follow.

    Args:
        name: The cookie's name.
        lifetime: Milliseconds until the browser deletes the cookie; 0: when it is closed.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        *,
        lifetime: float = 0,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        same_site: str | None = None,
        partitioned: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._start = name + "="
        self._lifetime = lifetime / 1000
        self._clock = clock
        self._second = -1  # when _attributes was made; Expires changes once a second
        max_age = [f"Max-Age={math.ceil(self._lifetime)}"] if lifetime else []
        self._before = "".join("; " + each for each in [*max_age, *([f"Domain={domain}"] if domain else [])])
        self._before += "; Path=" + path
        flags = [
            (http_only, "HttpOnly"),
            (secure, "Secure"),
            (same_site is not None, f"SameSite={(same_site or '').capitalize()}"),
            (partitioned, "Partitioned"),
        ]
        self._after = "".join("; " + flag for wanted, flag in flags if wanted)
        self._attributes = self._before + self._after

    @property
    def deletion(self) -> str:
        """The line that deletes the cookie."""
        before = re.sub("^; Max-Age=[0-9]+", "", self._before)
        return f"{self._start}; Max-Age=0{before}; Expires=Thu, 01 Jan 1970 00:00:00 GMT{self._after}"

    def line(self, value: str) -> str:
        """The line that gives the cookie this value."""
        if self._lifetime:
            now = self._clock()
            if int(now) != self._second:
                self._second = int(now)
                expires = formatdate(now + self._lifetime, usegmt=True)
                self._attributes = f"{self._before}; Expires={expires}{self._after}"
        return self._start + value + self._attributes


def is_token(name: str) -> bool:
    """Whether a cookie may have this name."""
    return _is_token(name) is not None


def is_attribute_value(value: str) -> bool:
    """Whether a cookie's attribute may have this value: no semicolon, no control code."""
    return _is_attribute_value(value) is not None
