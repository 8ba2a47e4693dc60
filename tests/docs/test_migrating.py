"""docs/migrating.md: every line of its Python runs, in front of its JavaScript, on a session of both."""

from __future__ import annotations

import asyncio
import contextlib
import http.cookiejar
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import CodeType

import pytest
from tornado.ioloop import IOLoop

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "strangler"
TEXT = (ROOT / "docs" / "migrating.md").read_text("utf-8")
EXPRESS, PLAIN, OLD_POSTGRESQL = re.findall(r"```js\n(.*?)```", TEXT, re.S)
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
# With a secret, as the page says; its own is one that everybody can read.
CONFIG = {
    **json.loads(re.search(r"```json\n(.*?)```", TEXT, re.S)[1]),
    "secret": "a-secret-that-both-programs-know-0123456789",
}
COMMANDS = re.findall(r"^ *(python -m node_session .*)$", TEXT, re.M)
HAS_NODE = shutil.which("node") is not None and (SAMPLE / "node_modules" / "node-session").is_dir()

# The block that serves until the end goes last; before it, the handlers that the page only says can be added.
(LAST,) = [block for block in BLOCKS if "asyncio.run" in block]
FIRST = "\n".join(block for block in BLOCKS if block != LAST)
LATER = {"/login": "Login", "/logout": "Logout", "/visits": "Visits", "/counted": "Counted"}


class Client:
    """A browser with cookies, which knows the token of the last form it has seen."""

    def __init__(self, url: str) -> None:
        self.url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self._token = ""

    def open(self, path: str, **fields: str) -> str:
        """A page; with fields, that of a form which is sent there."""
        body = urllib.parse.urlencode({"_token": self._token, **fields}).encode() if fields else None
        with self._opener.open(self.url + path, body, timeout=20) as response:
            page = response.read().decode()
        found = re.search(r'name="_token" value="([^"]*)"', page)
        self._token = found[1] if found else self._token
        return page

    def refused(self, path: str, **fields: str) -> int:
        """The status of a request that is refused."""
        with pytest.raises(urllib.error.HTTPError) as error:
            self.open(path, **fields)
        error.value.close()
        return error.value.code


@pytest.fixture(params=[False, "legacy"], ids=["plain", "encrypted"])
def folder(request, tmp_path, monkeypatch):
    """A folder with the page's config, in which everything runs."""
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "encrypt": request.param}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SAMPLE))
    return tmp_path


@pytest.fixture
def start_node(folder):
    """Starts a program of the page; gives its port."""
    if not HAS_NODE and os.environ.get("CI") != "true":
        pytest.skip("the sample's Node side is not installed: make test does it")
    processes = []

    def start(program: str) -> int:
        port = free_port()
        (folder / "server.js").write_text(program.replace("3001", str(port)))
        (folder / "node_modules").symlink_to(SAMPLE / "node_modules")
        processes.append(subprocess.Popen(["node", "--no-warnings", "server.js"], cwd=folder))
        wait_for(port)
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("it does not listen")


class Tornado:
    """Runs the page's program as it stands, but for the ports, and notes which of its lines are run."""

    def __init__(self, node_port: int, *moved: str) -> None:
        self.port = free_port()
        routes = "".join(f'        ("{path}", {LATER[path]}),\n' for path in moved)
        proxy = '        (".*", Proxy'
        ports = {"3000": f'{self.port}, "127.0.0.1"', "3001": str(node_port)}
        source = FIRST + LAST.replace(proxy, routes + proxy)
        # in one pass: a free port may read 53001
        source = re.sub(r"\b300[01]\b", lambda port: ports[port[0]], source)
        self._code = compile(source, "migrating.md", "exec")
        self.lines = source.splitlines()
        self._run: set[int] = set()
        self._loop: IOLoop | None = None

    def serve(self, visit) -> None:
        """Serve until a visit is over; its errors are raised here."""
        errors: list[BaseException] = []

        def visitor() -> None:
            try:
                wait_for(self.port)
                visit(Client(f"http://127.0.0.1:{self.port}"))
            except BaseException as error:
                errors.append(error)
            finally:
                if self._loop is not None:
                    self._loop.add_callback(self._main.cancel)

        thread = threading.Thread(target=visitor)
        thread.start()
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            exec(self._code, {"__name__": "__main__"})
        except asyncio.CancelledError:
            pass
        finally:
            sys.settrace(before)
            thread.join()
            if self._loop is not None:
                self._loop.close(all_fds=True)  # the program closes nothing, as it is never to end
        for error in errors:
            raise error

    def missed(self) -> list[str]:
        """The lines that were not run."""
        return [self.lines[number - 1] for number in sorted(lines_of(self._code) - self._run)]

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename != "migrating.md":
            return None
        self._run.add(frame.f_lineno)
        if frame.f_code.co_name == "main" and self._loop is None:
            self._loop, self._main = IOLoop.current(), asyncio.current_task()
        return self._trace


def lines_of(code: CodeType) -> set[int]:
    """The lines of a program that can be run."""
    lines = {line for *_, line in code.co_lines() if line}
    return lines.union(*(lines_of(each) for each in code.co_consts if isinstance(each, CodeType)))


def test_every_line_of_python(folder):
    """Run with nobody behind it, every line of the page's Python is reached, and does what the page says."""
    tornado = Tornado(free_port(), *LATER)

    def visit(client: Client) -> None:
        assert "Log in" in client.open("/account")
        account = client.open("/login", name=" Jörg <b> ")
        assert "<p>Welcome!</p>" in account and "<p> Jörg &lt;b&gt; : 0 in the cart</p>" in account
        assert "1 in the cart" in client.open("/cart", product="tea")
        assert "Welcome!" not in client.open("/account")
        assert "Log in" in client.open("/logout", button="")
        assert "Log in" in client.open("/account")
        for count in (1, 2):
            assert client.open("/visits") == f"You were here {count} times."
        assert client.open("/counted") == "You were here 3 times."
        assert client.refused("/nowhere") == 502
        assert client.refused("/cart", product="tea", _token="wrong") == 403

    tornado.serve(visit)
    assert tornado.missed() == []


def test_in_front_of_express(folder, start_node):
    """With only the first routes moved, one session goes through Tornado and the page's Express program."""
    tornado = Tornado(start_node(EXPRESS))

    def visit(client: Client) -> None:
        assert "Log in" in client.open("/account")  # Tornado sends on to Node
        account = client.open("/login", name="Jörg <b>")  # Node sends on to Tornado
        assert "<p>Welcome!</p>" in account and "<p>Jörg &lt;b&gt;: 0 in the cart</p>" in account
        assert "1 in the cart" in client.open("/cart", product="tea")
        assert client.refused("/logout", _token="wrong") == 403
        assert "Log in" in client.open("/logout", button="")
        assert "Log in" in client.open("/account")

    tornado.serve(visit)


def test_in_front_of_a_plain_server(folder, start_node):
    """The plain server and what the page makes of it count the same visits."""
    tornado = Tornado(start_node(PLAIN), "/visits", "/counted")

    def visit(client: Client) -> None:
        paths = ("/node", "/visits", "/counted", "/node", "/visits")
        assert [client.open(path) for path in paths] == [f"You were here {count} times." for count in range(1, 6)]

    tornado.serve(visit)


@pytest.mark.parametrize("folder", [False], indirect=True)
def test_every_command(folder):
    """Every command of the page does its work on the page's config."""
    (folder / ".tmp").mkdir()
    shutil.copy(ROOT / "tests" / "cli" / "sails-disk.json", folder / ".tmp" / "sessions.db")
    config = {**CONFIG, "encrypt": "legacy", "lifetime": 100 * 365 * 24 * 60 * 60 * 1000}
    (folder / "new.json").write_text(json.dumps({**config, "files": "new"}))
    for command in COMMANDS:
        (folder / "config.json").write_text(json.dumps(config | ({"encrypt": True} if "rewrap" in command else {})))
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]], cwd=folder, capture_output=True, text=True, check=True
        )
        if "copy" in command:
            assert done.stdout.startswith("copied 1 session")
        if "rewrap" in command:
            assert done.stdout.startswith("rewritten: 1")
    assert len(COMMANDS) == 5 and len(list((folder / "new").glob("[!.]*"))) == 1


def test_old_postgresql():
    """The page shows the file with which the tests run the original on PostgreSQL."""
    tested = (ROOT / "tests" / "interop" / "old_postgresql.js").read_text("utf-8")
    assert tested.endswith(OLD_POSTGRESQL)


def test_old_postgresql_before_a_program(tmp_path):
    """Loaded before Node's program, as the page says, it lets the client see that it is not connected."""
    modules = ROOT / "tests" / "interop" / "node_modules"
    if shutil.which("node") is None or not (modules / "pg").is_dir():
        pytest.skip("the original is not installed: make test does it")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "old_postgresql.js").write_text(OLD_POSTGRESQL)
    program = "console.log(new (require('net').Stream)().readyState)"

    def printed(*options: str) -> str:
        command = ["node", *options, "-e", program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    assert printed("-r", "./old_postgresql.js") == "closed"
    assert printed() == "open"  # the reason why it hangs
