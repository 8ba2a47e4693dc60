"""The time of one request, by function: make profile.

    python tests/benchmarks/profile_request.py [--driver memory] [--path /read] [--lines 25]

A server runs in this process under cProfile, and load.py asks it over a socket. cProfile adds some 0.1 µs to every
call, so the sum is too large and small functions weigh too much; it is for finding, and bench.py is for measuring.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
from pathlib import Path

import load
from contestants import SECRET, session_data
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from node_session import NodeSession, SessionMixin


class Page(SessionMixin, RequestHandler):
    def get(self, work):
        if work == "new":
            self.session.put("data", self.settings["data"])
        elif work == "read":
            self.session.get("data.user.name")
        else:
            self.session.put("count", self.session.get("count", 0) + 1)
        self.write("ok")


async def profile(config: dict, path: str, size: int, seconds: float) -> tuple[cProfile.Profile, int]:
    """Serve for some seconds under the profiler; gives what it saw and the number of requests."""
    sessions = NodeSession(config)
    application = Application([(r"/(new|read|write)", Page)], node_session=sessions, data=session_data(size))
    server = HTTPServer(application)
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(socket)
    port = socket.getsockname()[1]
    cookies = await asyncio.to_thread(load.new_sessions, port, 64)
    profiler = cProfile.Profile()
    profiler.enable()
    served = await asyncio.to_thread(load.put, port, path, cookies, 32, seconds)
    profiler.disable()
    server.stop()
    await server.close_all_connections()
    await sessions.close()
    return profiler, served.requests


def table(profiler: cProfile.Profile, requests: int, lines: int) -> str:
    """The functions in which most time is spent, in microseconds a request."""
    rows = []
    for (file, line, name), (_, calls, own, total, _) in pstats.Stats(profiler).stats.items():
        if "epoll" in name or not calls:
            continue
        where = "" if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line}"
        rows.append((own / requests * 1e6, total / requests * 1e6, calls / requests, name, where))
    rows.sort(reverse=True)
    head = "| own µs | with callees | calls | function | where |\n|---:|---:|---:|---|---|\n"
    return head + "\n".join(
        f"| {own:.1f} | {total:.1f} | {calls:.2g} | `{name}` | {where} |"
        for own, total, calls, name, where in rows[:lines]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--driver", default="memory")
    parser.add_argument("--path", default="/read", choices=["/new", "/read", "/write"])
    parser.add_argument("--size", type=int, default=300, help="bytes of a session's text")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--encrypt", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = {"secret": SECRET, "driver": options.driver, "files": f"{folder}/sessions", "encrypt": options.encrypt}
        profiler, requests = asyncio.run(profile(config, options.path, options.size, options.seconds))
    print(f"{options.driver}, {options.path}, {requests} requests\n")
    print(table(profiler, requests, options.lines))


if __name__ == "__main__":
    main()
