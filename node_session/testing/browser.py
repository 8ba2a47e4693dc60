"""A browser for tests, which sends requests and keeps cookies."""

from __future__ import annotations

import json as json_module
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.websocket import WebSocketClientConnection, websocket_connect

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_BODY_METHODS = ("POST", "PUT", "PATCH")
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEPING = (307, 308)  # method and body stay
_MOST_REDIRECTS = 10


class Browser(ABC):
    """A browser of one application.

    Args:
        client: Sends the requests.
        url: The application's.

    Attributes:
        cookies: The cookies that it keeps, by name, whatever their path.
        history: The redirects that the last request has followed.
    """

    def __init__(self, client: AsyncHTTPClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self.cookies: dict[str, str] = {}
        self.history: list[HTTPResponse] = []

    @abstractmethod
    async def token(self) -> str:
        """The CSRF token that a page of the application would have."""

    async def request(
        self,
        method: str,
        path: str = "/",
        form: Mapping[str, Any] | None = None,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        csrf: bool = True,
        follow: bool = False,
        **options: Any,
    ) -> HTTPResponse:
        """Send a request.

        Args:
            method: Its method.
            path: Of the page, with its query; or a whole URL.
            form: Fields to send as the body; a list is a field that is there several times.
            json: A value to send as the body, as JSON; instead of `form`.
            headers: Further ones.
            csrf: Send the session's CSRF token as X-CSRF-Token, if the method changes something. A visitor without a
                session begins one.
            follow: Follow redirects, as a browser does.
            options: Others of `tornado.httpclient.HTTPRequest`.

        Returns:
            The response, whatever its status.
        """
        given = dict(headers or {})
        if csrf and method not in _SAFE_METHODS and "X-CSRF-Token" not in given:
            given["X-CSRF-Token"] = await self.token()
        if json is not None:
            given.setdefault("Content-Type", "application/json")
            options["body"] = json_module.dumps(json)
        elif form is not None or (method in _BODY_METHODS and not {"body", "body_producer"} & set(options)):
            options["body"] = urlencode(form or {}, doseq=True)
        self.history = []
        response = await self._send(method, path, given, options)
        return await self._follow(response, method, given, options) if follow else response

    async def get(self, path: str = "/", **options: Any) -> HTTPResponse:
        """Send a GET; see `request`."""
        return await self.request("GET", path, **options)

    async def head(self, path: str = "/", **options: Any) -> HTTPResponse:
        """Send a HEAD; see `request`."""
        return await self.request("HEAD", path, **options)

    async def post(self, path: str = "/", form: Mapping[str, Any] | None = None, **options: Any) -> HTTPResponse:
        """Send a POST, with the fields of a form; see `request`."""
        return await self.request("POST", path, form, **options)

    async def put(self, path: str = "/", form: Mapping[str, Any] | None = None, **options: Any) -> HTTPResponse:
        """Send a PUT; see `request`."""
        return await self.request("PUT", path, form, **options)

    async def patch(self, path: str = "/", form: Mapping[str, Any] | None = None, **options: Any) -> HTTPResponse:
        """Send a PATCH; see `request`."""
        return await self.request("PATCH", path, form, **options)

    async def delete(self, path: str = "/", **options: Any) -> HTTPResponse:
        """Send a DELETE; see `request`."""
        return await self.request("DELETE", path, **options)

    async def websocket(self, path: str = "/", headers: Mapping[str, str] | None = None) -> WebSocketClientConnection:
        """Open a WebSocket as this visitor, and keep the cookies of its handshake."""
        url = self._address(path).replace("http", "ws", 1)
        asking = HTTPRequest(url, headers=HTTPHeaders({**self.headers, **(headers or {})}))
        connection = await websocket_connect(asking)
        self._keep(connection.headers or HTTPHeaders())
        return connection

    @property
    def headers(self) -> dict[str, str]:
        """The header with its cookies, for requests made by other means."""
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    async def _follow(
        self, response: HTTPResponse, method: str, headers: dict[str, str], options: dict[str, Any]
    ) -> HTTPResponse:
        while response.code in _REDIRECTS and len(self.history) < _MOST_REDIRECTS:
            self.history.append(response)
            if response.code not in _KEEPING:
                method, options = "GET", {}
            target = urljoin(response.effective_url, response.headers["Location"])
            response = await self._send(method, target, headers, options)
        return response

    def _address(self, path: str) -> str:
        return path if "://" in path else self._url + path

    async def _send(self, method: str, path: str, headers: dict[str, str], options: dict[str, Any]) -> HTTPResponse:
        request = HTTPRequest(
            self._address(path), method, {**self.headers, **headers}, follow_redirects=False, **options
        )
        response = await self._client.fetch(request, raise_error=False)
        self._keep(response.headers)
        return response

    def _keep(self, headers: HTTPHeaders) -> None:
        for line in headers.get_list("Set-Cookie"):
            for name, cookie in SimpleCookie(line).items():
                if cookie["max-age"] == "0" or _is_over(cookie["expires"]):
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = cookie.coded_value


def _is_over(expires: str) -> bool:
    return bool(expires) and parsedate_to_datetime(expires) <= datetime.now(timezone.utc)
