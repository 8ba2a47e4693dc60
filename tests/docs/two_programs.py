"""A page about two programs: its Python is one program, in front of the JavaScript on it."""

from __future__ import annotations

import asyncio
import contextlib
import http.cookiejar
import os
import re
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

from docs.pages import ROOT


class Page:
    """Such a page, and the sample whose packages its JavaScript needs.

    Args:
        name: In docs/.
        sample: In samples/.
        package: One of its packages.
        later: Routes that the page only says can be added, and their handlers.
        field: The form field of the CSRF token.
    """

    def __init__(self, name: str, sample: str, package: str, later: dict[str, str], field: str) -> None:
        self.name, self.later, self.field = name, later, field
        text = (ROOT / "docs" / name).read_text("utf-8")
        self.javascript = re.findall(r"```js\n(.*?)```", text, re.S)
        self.json = re.search(r"```json\n(.*?)```", text, re.S)[1]
        self.commands = re.findall(r"^ *(python -m node_session .*)$", text, re.M)
        # The block that serves until the end goes last; before it, the handlers that can be added.
        blocks = re.findall(r"```python\n(.*?)```", text, re.S)
        (self.last,) = [block for block in blocks if "asyncio.run" in block]
        self.first = "\n".join(block for block in blocks if block != self.last)
        self.modules = ROOT / "samples" / sample / "node_modules"
        self.has_node = shutil.which("node") is not None and (self.modules / package).is_dir()


@contextlib.contextmanager
def node_programs(page: Page, folder: Path):
    """Gives what starts a program of the page in a folder; it gives its port."""
    if not page.has_node and os.environ.get("CI") != "true":
        pytest.skip("the sample's Node side is not installed: make test does it")
    processes = []

    def start(program: str) -> int:
        port = free_port()
        (folder / "server.js").write_text(program.replace("3001", str(port)))
        (folder / "node_modules").symlink_to(page.modules)
        processes.append(subprocess.Popen(["node", "--no-warnings", "server.js"], cwd=folder))
        wait_for(port)
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait()


class Client:
    """A browser with cookies, which knows the token of the last form it has seen."""

    def __init__(self, url: str, field: str, cookies: http.cookiejar.CookieJar | None = None) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar() if cookies is None else cookies
        self._field = field
        processor = urllib.request.HTTPCookieProcessor(self.cookies)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), processor)
        self._token = ""

    def open(self, path: str, **fields: str) -> str:
        """A page; with fields, that of a form which is sent there."""
        body = urllib.parse.urlencode({self._field: self._token, **fields}).encode() if fields else None
        with self._opener.open(self.url + path, body, timeout=20) as response:
            page = response.read().decode()
        found = re.search(rf'name="{self._field}" value="([^"]*)"', page)
        self._token = found[1] if found else self._token
        return page

    def refused(self, path: str, **fields: str) -> int:
        """The status of a request that is refused."""
        with pytest.raises(urllib.error.HTTPError) as error:
            self.open(path, **fields)
        error.value.close()
        return error.value.code


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

    def __init__(self, page: Page, node_port: int, *moved: str) -> None:
        self.port = free_port()
        self._page = page
        routes = "".join(f'        ("{path}", {page.later[path]}),\n' for path in moved)
        proxy = '        (".*", Proxy'
        ports = {"3000": f'{self.port}, "127.0.0.1"', "3001": str(node_port)}
        source = page.first + page.last.replace(proxy, routes + proxy)
        # in one pass: a free port may read 53001
        source = re.sub(r"\b300[01]\b", lambda port: ports[port[0]], source)
        self._code = compile(source, self._page.name, "exec")
        self.lines = source.splitlines()
        self._run: set[int] = set()
        self._loop: IOLoop | None = None

    def serve(self, visit) -> None:
        """Serve until a visit is over; its errors are raised here."""
        errors: list[BaseException] = []

        def visitor() -> None:
            try:
                wait_for(self.port)
                visit(Client(f"http://127.0.0.1:{self.port}", self._page.field))
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
        if frame.f_code.co_filename != self._page.name:
            return None
        self._run.add(frame.f_lineno)
        if frame.f_code.co_name == "main" and self._loop is None:
            self._loop, self._main = IOLoop.current(), asyncio.current_task()
        return self._trace


def lines_of(code: CodeType) -> set[int]:
    """The lines of a program that can be run."""
    lines = {line for *_, line in code.co_lines() if line}
    return lines.union(*(lines_of(each) for each in code.co_consts if isinstance(each, CodeType)))
