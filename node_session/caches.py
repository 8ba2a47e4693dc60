"""The headers that keep a session's response out of shared caches: a proxy's or a CDN's.

Without them a cache may keep one visitor's page, and its cookie, and give both to the next visitor.
"""

from __future__ import annotations

from tornado.web import RequestHandler


def keep_private(handler: RequestHandler) -> None:
    """Let only the browser keep a response, unless its handler has said who may.

    For a cache that does not obey that, it also says that the response depends on the request's cookie.
    """
    headers = handler._headers
    if "Cache-Control" not in headers:
        handler.set_header("Cache-Control", "private")
    said = [each for each in map(str.strip, headers.get("Vary", "").split(",")) if each]
    if not {"*", "cookie"} & set(map(str.lower, said)):
        handler.set_header("Vary", ", ".join([*said, "Cookie"]))
