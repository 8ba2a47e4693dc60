"""The cookie: signing an id, finding it again in a Cookie header, when browsers withhold it, the Set-Cookie line.

    sign("A" * 40, "x")                   # 's%3AAAAA….cEq9DgTL925s5q0CdA1OJdvwWKPai54fhMMd9ZLDDHA'
    find(header, "node_session", ["x"])   # Found(id='AAAA…', …)
    is_withheld("lax", "POST", headers)   # True where another site's page has sent the form

The value is ``s:<id>.<signature>``, percent-encoded; the signature is the unpadded base64 of HMAC-SHA256 over the id,
under the secret. A signature that is bound to the cookie's name is over ``<name>=<id>``. Neither part has a ``=`` in
it, so that no two names, and neither of the two kinds, ever sign the same bytes.

Lines are written here rather than by `http.cookies`, which quotes in another way than the original and knows no
``Partitioned`` on older Pythons.

Whatever a browser sends is data: nothing in this module raises on it. Around a name or a value only space and tab are
stripped (RFC 6265), never all that Python calls white space: to a browser, the byte A0 followed by ``__Host-id`` is an
ordinary name, which any sister domain can set, and to Tornado that byte is a no-break space.
"""

from __future__ import annotations

import binascii
import functools
import hmac
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import unquote

from . import ids

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_attribute_value = re.compile(r"[ -:<-~]+").fullmatch

# An id, a dot and 43 characters of signature. Only a value of this length is worth computing a signature for.
_SIGNED_LENGTH = 40 + 1 + 43

# Of a value as it is sent, in which each character of the signature may be escaped. Only such a one is remembered.
_LONGEST_VALUE = len("s%3A") + 40 + 1 + 3 * 43

_BLANKS = " \t"

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
"""Methods of requests that change nothing, as RFC 9110 has it."""


class Found(NamedTuple):
    """What a Cookie header says.

    Attributes:
        id: The id of the first cookie whose signature holds; None if there is none.
        value: That cookie's value, where it is exactly what `sign` gives under the first secret, so that it can be
            sent again without signing it anew; otherwise None.
        forged: Whether there was a cookie of this name that looks signed, under a signature that does not hold, before
            the first whose signature holds.
        others: The ids of further cookies whose signature holds, in the order of the header, each once. They count
            where the first one's session is gone. They are as many as the header holds: with a limit, whoever can
            plant cookies could push the visitor's own one beyond it.
    """

    id: str | None
    value: str | None
    forged: bool
    others: tuple[str, ...] = ()


def sign(id: str, secret: str, bound_to: str = "") -> str:
    """The cookie's value for an id; `bound_to` as in `find`."""
    return f"s%3A{id}." + _encode(_signature(id, secret, bound_to))


def find(header: str | None, name: str, secrets: Sequence[str], bound_to: str = "") -> Found:
    """Look for a session's cookie.

    Args:
        header: The Cookie header; a program's cookies of other names may be in it, and several of this one (of other
            paths or domains, or planted by a neighbour on a sister domain).
        name: The cookie's name.
        secrets: Any of them may have signed it.
        bound_to: The cookie's name, where the signature is to cover it as well; empty: the original's signature.
    """
    forged = False
    first: Found | None = None
    others: dict[str, None] = {}  # in order
    if header is not None and name in header:
        for pair in header.split(";"):
            key, equals, value = pair.partition("=")
            if equals and key.strip(_BLANKS) == name:
                value = value.strip(_BLANKS)
                is_usual = first is None and len(value) <= _LONGEST_VALUE
                exact = _exact(value, secrets[0], bound_to) if is_usual else None
                if exact is not None:
                    if header.count(name) == 1:  # as nearly always
                        return exact
                    first = exact._replace(forged=forged)
                    continue
                signed = _unquote(value)
                if signed[:2] != "s:" or len(signed) != _SIGNED_LENGTH + 2:
                    continue
                id, signature = signed[2:42], signed[43:]
                if first is not None and (id == first.id or id in others):
                    continue
                is_formed = signed[42] == "." and ids.is_valid(id)
                number = _verified_by(id, signature, secrets, bound_to) if is_formed else None
                if number is None:
                    forged = True
                elif first is None:
                    first = Found(id, value if number == 0 and value == _encode(signed) else None, forged)
                    if header.count(name) == 1:  # as nearly always
                        break
                else:
                    others[id] = None
    if first is None:
        return Found(None, None, forged)
    return first._replace(others=tuple(others)) if others else first


@functools.lru_cache(4096)
def _exact(value: str, secret: str, bound_to: str) -> Found | None:
    """What to find if a value is to the letter what `sign` gives for the id in it: the usual case, and the cheapest.

    A browser sends the same value again and again, so what was found is remembered. An attacker learns nothing from
    that: it is found again by the whole value only, which is what the attacker does not have.
    """
    id = value[4:44]
    if ids.is_valid(id) and value.isascii() and hmac.compare_digest(sign(id, secret, bound_to), value):
        return Found(id, value, forged=False)
    return None


def _encode(signed: str) -> str:
    """As encodeURIComponent does; of what can be in a signed id, it changes these three."""
    return signed.replace(":", "%3A").replace("+", "%2B").replace("/", "%2F")


def _unquote(value: str) -> str:
    if value[:1] == '"' == value[-1:]:
        value = value[1:-1]
    return unquote(value) if "%" in value else value


def _verified_by(id: str, signature: str, secrets: Sequence[str], bound_to: str) -> int | None:
    if not signature.isascii():  # compare_digest takes no other text
        return None
    for number, secret in enumerate(secrets):
        if hmac.compare_digest(_signature(id, secret, bound_to), signature):
            return number
    return None


def _signature(id: str, secret: str, bound_to: str) -> str:
    signed = f"{bound_to}={id}" if bound_to else id
    digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), signed.encode("ascii"), "sha256")
    return binascii.b2a_base64(digest, newline=False)[:43].decode("ascii")


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that another site has made a request.

    A sister domain is the same site. Browsers say so over https and to localhost; old ones and other programs never do.
    """
    return "cross-site" in headers.get("Sec-Fetch-Site", "").lower()  # one of several, too


def is_withheld(same_site: str | None, method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request is of a kind for which browsers withhold a cookie with this SameSite.

    Args:
        same_site: ``strict``: it is withheld from all that other sites make. ``lax``: but for going to a page by a
            link, or by a form that only asks; not for a frame or picture in a page. ``none`` or None: from nothing.
        method: Of the request.
        headers: Of the request; names in any case.
    """
    if same_site not in ("lax", "strict") or not is_cross_site(headers):
        return False
    if same_site == "strict" or method not in SAFE_METHODS:
        return True
    # The first browsers with Sec-Fetch-Site had no Sec-Fetch-Dest, and said "nested-navigate" for a frame.
    return headers.get("Sec-Fetch-Mode") != "navigate" or headers.get("Sec-Fetch-Dest", "document") != "document"


class SetCookie:
    """Writes Set-Cookie lines: ``line("s%3A…")``.

    The attributes come in the original's order: Max-Age, Domain, Path, Expires, HttpOnly, Secure; those it does not
    know follow.

    Args:
        name: The cookie's name.
        lifetime: Milliseconds until the browser forgets it; 0: when it is closed.
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
        self._second = -1  # of which _attributes is; they change once a second, with Expires
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
    """Whether a cookie's attribute may have this value: no semicolon, no control character."""
    return _is_attribute_value(value) is not None
