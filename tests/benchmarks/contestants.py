"""The contestants: a server process for each, which one line of JSON configures.

    server = Server("node_session", Setup("memory"), folder)
    server.port, server.cpu(), server.memory()
    server.close()

Every server answers /new, /read and /write with the same two bytes: a session is made with `data` in it, a value of it
is read, a count is raised. The bare handler has the cost of these answers as well, and is subtracted.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NODE_MODULES = {"node": HERE.parent / "interop" / "node_modules", "express": HERE / "node_modules"}
PEERS = ROOT / ".venv-peers" / "bin" / "python"
SECRET = "a-secret-of-the-benchmarks-12345"  # 32 characters: what the original's encryption takes

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Contestant(NamedTuple):
    """A session layer on a web framework.

    Attributes:
        framework: Whose bare handler its cost is the difference to.
        program: In servers/.
        layer: What of that program.
        module: Of the peers' environment or of the framework's folder of Node's packages, without which it cannot take
            part.
        package: The checkout that our package is taken from.
    """

    framework: str
    program: str
    layer: str
    module: str = ""
    package: Path | None = None

    def is_here(self) -> bool:
        """Whether its requirements are installed."""
        if self.framework in NODE_MODULES:
            return shutil.which("node") is not None and (NODE_MODULES[self.framework] / self.module).is_dir()
        return not self.module or (PEERS.exists() and any(PEERS.parent.parent.glob(f"lib/*/*-packages/{self.module}")))


CONTESTANTS = {
    "Tornado, bare": Contestant("tornado", "tornado_app.py", "bare"),
    "Tornado, signed cookie": Contestant("tornado", "tornado_app.py", "signed_cookie"),
    "node_session": Contestant("tornado", "tornado_app.py", "ours", package=ROOT),
    "Node, bare": Contestant("node", "node_app.js", "bare", "node-session"),
    "npm node-session": Contestant("node", "node_app.js", "original", "node-session"),
    "torndsession": Contestant("tornado", "tornado_app.py", "torndsession", "torndsession"),
    "Starlette, bare": Contestant("starlette", "starlette_app.py", "bare", "starsessions"),
    "starsessions": Contestant("starlette", "starlette_app.py", "starsessions", "starsessions"),
    "aiohttp, bare": Contestant("aiohttp", "aiohttp_app.py", "bare", "aiohttp_session"),
    "aiohttp-session": Contestant("aiohttp", "aiohttp_app.py", "aiohttp_session", "aiohttp_session"),
    "Flask, bare": Contestant("flask", "flask_app.py", "bare", "flask_session"),
    "Flask-Session": Contestant("flask", "flask_app.py", "flask_session", "flask_session"),
    "Django, bare": Contestant("django", "django_app.py", "bare", "django"),
    "Django sessions": Contestant("django", "django_app.py", "sessions", "django"),
    "Express, bare": Contestant("express", "express_app.js", "bare", "express-session"),
    "express-session": Contestant("express", "express_app.js", "sessions", "express-session"),
}

BARE = {each.framework: name for name, each in CONTESTANTS.items() if each.layer == "bare"}


class Setup(NamedTuple):
    """The task of a server.

    Attributes:
        driver: memory, file, sqlite, redis, postgresql, mysql, mongodb; "" where there is none.
        size: Of a session's stored text, in bytes.
        encrypt: The config's option.
        stored: How many further sessions the store holds; the lottery is on then.
        replayed: How many sessions the requests take turns with; 0: as many as is usual.
        delay: Milliseconds that a round trip to the database takes longer.
    """

    driver: str = ""
    size: int = 300
    encrypt: bool = False
    stored: int = 0
    replayed: int = 0
    delay: int = 0


class Server:
    """A server process.

    Args:
        connection: Of the database, for the drivers that need one.
        around: A command to run the program under, such as a profiler's.
    """

    def __init__(
        self,
        name: str,
        setup: Setup,
        folder: Path,
        connection: dict | None = None,
        around: list[str] | None = None,
    ) -> None:
        contestant = CONTESTANTS[name]
        files = folder / secrets.token_hex(8)
        is_database = setup.driver not in ("", "memory", "file", "redis")
        config = {
            "secret": SECRET,
            "driver": "database" if is_database else setup.driver or "memory",
            "files": str(files),
            "connection": connection or ({"adapter": setup.driver} if is_database else False),
            "lottery": [2, 100] if setup.stored else [0, 100],
            "lifetime": 3_600_000,
            "encrypt": setup.encrypt,
        }
        data = session_data(setup.size)
        told = {"layer": contestant.layer, "config": config, "data": data, "stored": 0}
        if setup.driver == "file":
            store_files(files, data, setup.stored)
        else:
            told["stored"] = setup.stored
        program = HERE / "servers" / contestant.program
        python = PEERS if contestant.module else sys.executable
        command = ["node", "--no-warnings", program] if program.suffix == ".js" else [python, program]
        command = [*(around or []), *command]
        package = {"PYTHONPATH": str(contestant.package)} if contestant.package else {}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            text=True,
            env={**os.environ, **package},
        )
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.close()
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{name} with {setup} did not start")
        self.port = int(line)

    def cpu(self) -> float:
        """Seconds of CPU time so far, user and system, of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> int:
        """Bytes of memory it holds."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


def session_data(size: int) -> dict:
    """Content for a session, so that its stored text has about `size` bytes."""
    items: list[dict] = []
    data = {"user": {"id": 4711, "name": "Ann Example"}, "items": items}
    around = len('{"_token":"","data":,"flash":{"old":[],"new":[]}}') + 40
    while len(json.dumps(data, separators=(",", ":"))) + around < size - 20:
        items.append({"sku": f"A-{len(items):05d}", "qty": len(items) % 7 + 1, "price": 12.5, "note": "gift-wrapped"})
    return data


def store_files(folder: Path, data: dict, number: int) -> None:
    """Fill a folder with sessions nobody asks for, as both programs write them."""
    text = json.dumps({"_token": "t" * 40, "data": data, "flash": {"old": [], "new": []}}, separators=(",", ":"))
    folder.mkdir()
    for _ in range(number):
        (folder / secrets.token_urlsafe(30)).write_text(text)
