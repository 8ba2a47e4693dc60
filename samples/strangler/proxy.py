"""A reverse proxy as a Tornado handler, which streams bodies both ways.

    Application([("/cart", Cart), (".*", Proxy, {"port": 3001})])

It opens a connection for each request, to a server on this machine; no WebSockets. A slow side slows down the other,
and neither body is ever in memory as a whole. Only a redirect waits until the server has finished it: express-session
sends the headers before it has saved the session, and a browser follows them immediately.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient
from tornado.web import HTTPError, RequestHandler, stream_request_body

logger = logging.getLogger("proxy")

# These are about one connection and not about the message (RFC 9110, 7.6.1); Expect was answered by Tornado already.
_HOP_BY_HOP = {
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

_UNLIMITED = 1 << 50

_REDIRECTS = (301, 302, 303, 307, 308)


@stream_request_body
class Proxy(RequestHandler):
    """Hand every request on to the server at a port of this machine.

    Responds with 502 if that server cannot be reached, or breaks off before its headers.
    """

    _server: HTTP1Connection | None = None
    _has_left = False

    def initialize(self, port: int) -> None:
        self._port = port

    async def prepare(self) -> None:
        if isinstance(connection := self.request.connection, HTTP1Connection):
            connection.set_max_body_size(_UNLIMITED)
        try:
            stream = await TCPClient().connect("127.0.0.1", self._port)
            parameters = HTTP1ConnectionParameters(no_keep_alive=True, max_body_size=_UNLIMITED)
            self._server = HTTP1Connection(stream, True, parameters)
            start = RequestStartLine(self.request.method or "", self.request.uri or "", "HTTP/1.1")
            await self._server.write_headers(start, self._request_headers())
        except (OSError, StreamClosedError) as error:
            raise HTTPError(502, "the server at port %d does not answer: %s", self._port, error) from error

    async def data_received(self, chunk: bytes) -> None:
        if self._server is not None:
            with contextlib.suppress(StreamClosedError):  # the server's response, or a 502, follows
                await self._server.write(chunk)

    async def _hand_on(self, *args: str) -> None:
        assert self._server is not None
        response = _Response(self)
        with contextlib.suppress(StreamClosedError):
            self._server.finish()
            await self._server.read_response(response)
        if response.is_complete or self._has_left:
            return
        if not self._headers_written:
            raise HTTPError(502, "the server at port %d has closed the connection", self._port)
        # The client must not take a partial response for a whole one: only a broken connection can tell it now.
        logger.warning("the response to %s %s was broken off", self.request.method, self.request.path)
        self.detach().close()

    get = head = post = put = patch = delete = options = _hand_on

    def on_finish(self) -> None:
        self._close()

    def on_connection_close(self) -> None:
        self._has_left = True
        self._close()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _request_headers(self) -> HTTPHeaders:
        headers = _end_to_end(self.request.headers)
        # Any client could send these headers, so its own are replaced.
        headers["X-Forwarded-For"] = self.request.remote_ip or ""
        headers["X-Forwarded-Proto"] = self.request.protocol
        headers["X-Forwarded-Host"] = self.request.host
        return headers


class _Response(HTTPMessageDelegate):
    """Pass a response on to the handler's client, piece by piece."""

    def __init__(self, handler: Proxy) -> None:
        self._handler = handler
        self._is_redirect = False
        self.is_complete = False

    def headers_received(self, start_line: object, headers: HTTPHeaders) -> Awaitable[None] | None:
        assert isinstance(start_line, ResponseStartLine)
        if start_line.code < 200:  # not the response yet
            return None
        handler = self._handler
        handler.clear()
        handler.clear_header("Server")
        handler.clear_header("Content-Type")
        handler.set_status(start_line.code, start_line.reason)
        self._is_redirect = start_line.code in _REDIRECTS
        for name, value in _end_to_end(headers).get_all():
            (handler.set_header if name in ("Content-Length", "Date") else handler.add_header)(name, value)
        return self._flush()

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._handler.write(chunk)
        return self._flush()

    def finish(self) -> None:
        self.is_complete = True

    async def _flush(self) -> None:
        if self._is_redirect:
            return  # the end of the handler sends all of it
        try:
            await self._handler.flush()
        except StreamClosedError:  # the client has left; nobody needs the rest
            self._handler.on_connection_close()


def _end_to_end(headers: HTTPHeaders) -> HTTPHeaders:
    """The headers that are about the message, and not about the connection it came by."""
    of_connection = {name.strip().lower() for line in headers.get_list("Connection") for name in line.split(",")}
    kept = HTTPHeaders()
    for name, value in headers.get_all():
        if name.lower() not in _HOP_BY_HOP | of_connection:
            kept.add(name, value)
    return kept
