"""The origin of a request: the visitor, or another site's page in the browser.

    is_cross_site(headers)                # True if the browser names another site
    is_withheld("lax", "POST", headers)   # True if it then withholds our cookie as well

A request without a cookie need not come from a new visitor: when another site's page sends a form here, the browser
withholds a SameSite cookie. A response with a fresh cookie would then overwrite the visitor's own.
"""

from __future__ import annotations

from collections.abc import Mapping

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
"""Methods of requests that change nothing (RFC 9110)."""


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that another site made the request.

    A sister domain is the same site. Browsers say it over https and to localhost. Old browsers and other programs never
    do.
    """
    return "cross-site" in headers.get("Sec-Fetch-Site", "").lower()  # one of several values, too


def is_withheld(same_site: str | None, method: str, headers: Mapping[str, str]) -> bool:
    """Whether browsers withhold a cookie with this SameSite from such a request.

    Args:
        same_site: ``strict``: from every request that another site makes. ``lax``: the same, except if the visitor
            follows a link or sends a GET form; a frame or a picture in a page is no such visit. ``none`` or None: from
            no request.
        method: The request's.
        headers: The request's; names in any case.
    """
    if same_site not in ("lax", "strict") or not is_cross_site(headers):
        return False
    if same_site == "strict" or method not in SAFE_METHODS:
        return True
    # The first browsers with Sec-Fetch-Site had no Sec-Fetch-Dest, and said "nested-navigate" for a frame.
    return headers.get("Sec-Fetch-Mode") != "navigate" or headers.get("Sec-Fetch-Dest", "document") != "document"
