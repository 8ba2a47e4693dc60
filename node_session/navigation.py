"""Requests that show a page, as opposed to its pictures and to the calls of its scripts.

    shows_page("GET", headers)    # True if the browser loads a page into a tab or a frame

Flash data that ages on these only (`flashOn`) is still there when the user sees the next page.
"""

from __future__ import annotations

from collections.abc import Mapping

_PREFETCH = ("Sec-Purpose", "Purpose", "X-Moz")  # Chrome and Safari, their older versions, older versions of Firefox


def shows_page(method: str | None, headers: Mapping[str, str]) -> bool:
    """Whether a request is for a page that is shown now.

    Browsers say it over https and to localhost. Elsewhere, and for old browsers, the types that they accept tell it.

    Args:
        method: The request's.
        headers: The request's; names in any case.
    """
    if method not in ("GET", "POST") or any("prefetch" in headers.get(name, "").lower() for name in _PREFETCH):
        return False
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in headers.get("Accept", "").lower() and "X-Requested-With" not in headers
