"""A program on a system like Windows: it has no `fcntl`, no `fork`, and few flags of `os.open`.

    python without_posix.py FOLDER [CONNECTION]

Prints as JSON the answers to two visits on memory and on SQLite, and the errors of configs with the file driver; with a
connection, in JSON, the answers on that database. Python and the packages that have code of their own for Windows are
loaded before the rest is hidden.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import aiosqlite
import Crypto.Cipher.AES
import motor.motor_asyncio
import orjson
import tornado.httpclient
import tornado.simple_httpclient
import tornado.web

USED = [aiosqlite, Crypto, motor, orjson]
MODULES = ["fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"]
WINDOWS_HAS = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_APPEND", "O_CREAT", "O_EXCL", "O_TRUNC"}
NAMES = """
    chown chroot ctermid fchdir fchmod fchown fork forkpty fpathconf getegid geteuid getgid getgroups getloadavg getpgid
    getpgrp getpriority getsid getuid initgroups killpg lchown lockf major mkfifo mknod nice openpty pathconf
    posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev readv register_at_fork sendfile setegid
    seteuid setgid setgroups setpgid setpriority setregid setreuid setsid setuid statvfs sync sysconf tcgetpgrp uname
    wait wait3 wait4 writev
"""


def hide() -> None:
    """Take away what Windows does not have."""
    for name in MODULES:
        sys.modules[name] = None  # an import is an ImportError
    for name in [*NAMES.split(), *(each for each in dir(os) if each.startswith("O_") and each not in WINDOWS_HAS)]:
        if hasattr(os, name):
            delattr(os, name)
    for name in [each for each in dir(signal) if each.startswith("SIG") and "_" not in each]:
        if name not in ("SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"):
            delattr(signal, name)


async def visit_twice(config: dict) -> list[str]:
    """The answers to a visitor's two requests."""
    from node_session import NodeSession, SessionMixin

    class Views(SessionMixin, tornado.web.RequestHandler):
        def get(self):
            self.write(f"{self.session.increment('views')} on {self.session.report.driver}")

    sessions = NodeSession(config)
    server = tornado.web.Application([("/", Views)], node_session=sessions).listen(0, "127.0.0.1")
    (socket,) = server._sockets.values()
    client, cookie, answers = tornado.httpclient.AsyncHTTPClient(), "", []
    for _ in range(2):
        url = f"http://127.0.0.1:{socket.getsockname()[1]}/"
        response = await client.fetch(url, headers={"Cookie": cookie})
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        answers.append(response.body.decode())
    server.stop()
    await server.close_all_connections()
    await sessions.sweep()
    await sessions.close()
    return answers


async def main(folder: str, connection: str = "") -> dict:
    from node_session import ConfigError, NodeSession

    common = {"secret": "only-for-tests-3f1c0f5e9a7b4d2e8c6a", "files": f"{folder}/sessions"}
    if connection:
        return await visit_twice({**common, "driver": "database", "connection": json.loads(connection)})
    found = {"answers": [], "errors": []}
    for chosen in ({"driver": "memory"}, {"driver": "database"}, {"driver": "database", "durable": True}):
        found["answers"] += await visit_twice({**common, **chosen})
    for chosen in ({"driver": "file"}, {"driver": "native"}, {}):
        try:
            NodeSession({**common, **chosen})
        except ConfigError as error:
            found["errors"].append(str(error))
    return found


if __name__ == "__main__":
    hide()
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
