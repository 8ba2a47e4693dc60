"""The reverse proxy of samples/strangler, in front of a server on a real socket."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tornado.httpclient import HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.tcpclient import TCPClient
from tornado.web import Application, RequestHandler, stream_request_body

sys.path.append(str(Path(__file__).parent.parent / "samples" / "strangler"))

from proxy import Proxy

pytestmark = pytest.mark.gen_test


class Echo(RequestHandler):
    """Says what it was asked."""

    def _answer(self):
        self.set_status(207, "Many Things")
        self.add_header("Set-Cookie", "a=1")
        self.add_header("Set-Cookie", "b=2; Path=/")
        self.set_header("Connection", "X-Private")
        self.set_header("X-Private", "not for the client")
        self.set_header("Content-Type", "text/x-echo")
        self.set_header("X-Method", self.request.method)
        self.set_header("X-Uri", self.request.uri)
        self.set_header("X-Headers", "; ".join(f"{name}: {value}" for name, value in self.request.headers.get_all()))
        self.write(self.request.body)

    get = post = put = patch = delete = options = head = _answer


class Slow(RequestHandler):
    """Sends one piece, and the next when it is told to."""

    async def get(self, code):
        self.set_status(int(code))
        self.write("first ")
        await self.flush()
        self.settings["came"].set()
        await self.settings["go_on"].wait()
        self.write("second")


@stream_request_body
class Upload(RequestHandler):
    """Notes each piece of a body as it comes."""

    def initialize(self):
        self.received = 0

    def data_received(self, chunk):
        self.received += len(chunk)
        self.settings["pieces"].append(len(chunk))
        self.settings["came"].set()

    def post(self):
        self.write(str(self.received))


class Nothing(RequestHandler):
    def get(self, code):
        self.set_status(int(code))
        if code == "302":
            self.set_header("Location", "/elsewhere")


class BreaksOff(RequestHandler):
    """Closes immediately, or after three of the ten promised bytes, or without the final chunk."""

    async def get(self, after):
        stream = self.detach()
        if after == "three":
            await stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        elif after == "chunk":
            await stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        stream.close()


@pytest.fixture
def node(io_loop):
    """The server behind."""
    settings = {"go_on": asyncio.Event(), "came": asyncio.Event(), "pieces": []}
    routes = [(r"/slow/(\d+)", Slow), ("/upload", Upload), (r"/nothing/(\d+)", Nothing), (r"/breaks/(\w+)", BreaksOff)]
    application = Application([*routes, (".*", Echo)], **settings)

    async def listen():
        (socket,) = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(application)
        server.add_socket(socket)
        application.port = socket.getsockname()[1]
        return server

    server = io_loop.run_sync(listen)
    yield application
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def app(node):
    """The proxy in front."""
    return Application([(".*", Proxy, {"port": node.port})])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_passes_on(visitor, method):
    """Method, path, query, body, status, reason and headers arrive as they were sent, repeated headers too."""
    body = {"body": "hällo"} if method in ("POST", "PUT", "PATCH") else {}
    headers = {"Cookie": "x=1", "X-Mine": "yes"}
    response = await visitor.request(method, "/a%2Fb/?c=%20d&c", csrf=False, headers=headers, **body)
    assert (response.code, response.reason) == (207, "Many Things")
    assert (response.headers["X-Method"], response.headers["X-Uri"]) == (method, "/a%2Fb/?c=%20d&c")
    assert response.headers.get_list("Set-Cookie") == ["a=1", "b=2; Path=/"]
    assert response.headers["Content-Type"] == "text/x-echo"
    assert response.body.decode() == body.get("body", "")
    sent = response.headers["X-Headers"]
    assert "Cookie: x=1" in sent and "X-Mine: yes" in sent


async def test_keeps_back_what_is_about_a_connection(visitor):
    """Headers about one connection do not go on to the next, those that `Connection` names among them."""
    headers = {"Connection": "keep-alive, X-Secret", "X-Secret": "1", "TE": "trailers", "Upgrade": "websocket"}
    response = await visitor.get("/", headers=headers)
    assert "X-Private" not in response.headers
    for name in ("X-Secret", "TE:", "Upgrade", "keep-alive"):
        assert name.lower() not in response.headers["X-Headers"].lower()


async def test_tells_who_asks(visitor, http_port):
    """X-Forwarded-* say who asked and how, whatever a client says of itself; Host is the client's."""
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    sent = (await visitor.get("/", headers=forged)).headers["X-Headers"]
    assert "X-Forwarded-For: 127.0.0.1;" in sent + ";" and "X-Forwarded-Proto: http;" in sent + ";"
    assert f"Host: localhost:{http_port}" in sent
    assert not any(value in sent for value in forged.values())


@pytest.mark.parametrize("code", [204, 302, 304, 404, 500])
async def test_answers_without_a_body(visitor, code):
    """Redirects are the client's to follow, and statuses without a body have none."""
    response = await visitor.get(f"/nothing/{code}")
    assert (response.code, response.body) == (code, b"")
    assert response.headers.get("Location") == ("/elsewhere" if code == 302 else None)


async def test_streams_a_response(http_client, base_url, node):
    """The client has the first piece of a response while the server still holds back the second."""
    pieces = []

    def came(piece):
        pieces.append(piece)
        node.settings["go_on"].set()

    await http_client.fetch(base_url + "/slow/200", streaming_callback=came)
    assert pieces == [b"first ", b"second"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_holds_back_a_redirect(http_port, node, visitor, code):
    """The client has nothing of a redirect before the server has finished it, as it would follow the headers."""
    stream = await TCPClient().connect("127.0.0.1", http_port)
    await stream.write(b"GET /slow/%d HTTP/1.1\r\nHost: x\r\n\r\n" % code)
    answer = asyncio.ensure_future(stream.read_bytes(1000, partial=True))
    await node.settings["came"].wait()
    await visitor.get("/")  # the same way, so that what the proxy has passed on has come
    assert not answer.done()
    node.settings["go_on"].set()
    assert (await answer).startswith(b"HTTP/1.1 %d " % code)
    stream.close()


async def test_streams_a_request(http_client, base_url, node):
    """The server has the first piece of a body while the client still holds back the second."""

    async def produce(write):
        await write(b"x" * 1000)
        await node.settings["came"].wait()
        await write(b"y" * 200_000)

    response = await http_client.fetch(base_url + "/upload", method="POST", body_producer=produce)
    assert response.body == b"201000" and len(node.settings["pieces"]) >= 2


async def test_a_server_that_is_down(visitor, node, app):
    """A server that does not listen is a 502."""
    (socket,) = bind_sockets(0, "127.0.0.1")
    app.default_router.rules.clear()
    app.wildcard_router.rules.clear()
    app.add_handlers(".*", [(".*", Proxy, {"port": socket.getsockname()[1]})])
    socket.close()
    for method in ("GET", "POST"):
        assert (await visitor.request(method, "/", csrf=False)).code == 502


@pytest.mark.parametrize("after", ["three", "chunk"])
async def test_a_server_that_breaks_off(visitor, http_client, base_url, after):
    """Before the headers that is a 502; after them the client's connection breaks, so that it takes no half for all."""
    assert (await visitor.get("/breaks/once")).code == 502
    with pytest.raises((HTTPClientError, StreamClosedError)):
        await http_client.fetch(base_url + f"/breaks/{after}")


async def test_a_client_that_leaves(http_port, node, visitor, caplog):
    """A client that leaves is no error, and the proxy goes on serving."""
    stream = await TCPClient().connect("127.0.0.1", http_port)
    await stream.write(b"GET /slow/200 HTTP/1.1\r\nHost: x\r\n\r\n")
    await stream.read_until(b"first")
    stream.close()
    node.settings["go_on"].set()
    assert (await visitor.get("/")).code == 207
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
