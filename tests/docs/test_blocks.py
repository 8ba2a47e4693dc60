"""Every block of code in the README and docs/ runs, or is at least read by the program that it is for."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tornado.template import Template
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from visitors import SECRET

from docs.pages import PAGES, README, ROOT, Block, blocks_of, pieces
from docs.serving import served
from node_session import SessionMixin
from node_session.config import Config

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
LANGUAGES = {"python", "sh", "json", "js", "html", "sql", "text", ""}

# Where the next test of this file does not suffice, these do.
ELSEWHERE = {
    "docs/from-express.md": "test_from_express.py",
    "docs/migrating.md": "test_migrating.py",
    "docs/testing.md": "test_testing.py",
}
SHELL_ELSEWHERE = ("docs/from-express.md", "docs/migrating.md")
SQL_ELSEWHERE = {"docs/capacity.md": "../drivers/test_partitions.py"}


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language and block.page not in ELSEWHERE]


PROGRAMS = [block for block in of("python") if block.is_program]
WITH_PIECES = sorted({block.page for block in of("python") if not block.is_program})


def test_languages():
    """Each block names a language that is tested; the pages with tests of their own have them."""
    assert {block.language for block in BLOCKS} <= LANGUAGES
    assert {block.page for block in BLOCKS if block.language == "sql"} <= set(SQL_ELSEWHERE)
    for page, name in {**ELSEWHERE, **SQL_ELSEWHERE}.items():
        assert Path(page).name in (Path(__file__).parent / name).read_text()


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_program(program, tmp_path):
    """A whole program runs as it stands, but for the port; the one warning is that its secret can be read there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "program.py").write_text(re.sub(r"\b3000\b", str(port), program.text))
    command = [sys.executable, "-W", "error", "-W", "ignore:secret", "program.py"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    try:
        cookie = ""
        for count in (1, 2):
            for _ in range(2000):
                try:
                    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Cookie": cookie})
                    with urllib.request.urlopen(request) as response:
                        assert f"You were here {count} times." in response.read().decode()
                        cookie = response.headers["Set-Cookie"].partition(";")[0]
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.05)
            else:
                pytest.fail("it does not listen")
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # with its children, as service managers do
        code = process.wait()
    assert code == (0 if "SIGTERM" in program.text else -signal.SIGTERM)


@pytest.mark.parametrize("page", WITH_PIECES)
@pytest.mark.gen_test(timeout=60)
async def test_pieces(page, names):
    """The pieces of a page run, one after the other, with the names they take for granted; their handlers answer."""
    for piece in pieces(page):
        before = dict(names)
        await piece.run(names)
        made = [value for name, value in names.items() if before.get(name) is not value]
        settings = {"node_session": names["sessions"]}
        for each in made:
            if isinstance(each, Application):
                settings = {**each.settings, "autoreload": False}
        for each in made:
            if isinstance(each, type) and issubclass(each, RequestHandler):
                await answers(each, settings, piece)


async def answers(handler: type[RequestHandler], settings: dict, piece: Block) -> None:
    """Ask a handler, which has a method `get` or is given one."""
    own = any("get" in vars(each) for each in handler.__mro__ if each is not RequestHandler)
    page = handler if own else type("Page", (handler,), {"get": lambda self: None})
    async with served(Application([("/", page)], **settings)) as visitor:
        if issubclass(handler, WebSocketHandler):
            connection = await visitor.websocket("/")
            await connection.write_message("hello")
            connection.close()
        else:
            response = await visitor.get("/")
            if "HTTPError(403)" in piece.text and response.code == 403:
                return  # a request without what it must bring, which is refused
            assert response.code < 400, f"{piece}: {response.code} {response.body}"
            has_session = issubclass(handler, SessionMixin) or "start_session" in piece.text
            assert bool(visitor.id) == (
                has_session and "passive" not in piece.text
            )  # a poll stores nothing for a stranger


def test_own_driver(run, io_loop):
    """The page's driver of three methods keeps a session."""
    names = run("docs/drivers.md", "class DictDriver")
    page = type("Page", (SessionMixin, RequestHandler), {"get": lambda self: None})
    io_loop.run_sync(lambda: visited(Application([("/", page)], node_session=names["sessions"])))
    driver = io_loop.run_sync(names["sessions"].driver)
    assert len(driver.plain.texts) == 1


async def visited(application: Application) -> None:
    async with served(application) as visitor:
        assert (await visitor.get("/")).code == 200


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json(block):
    """JSON can be read; a config is one without a doubt but for its secret."""
    value = json.loads(block.text)
    with pytest.warns(UserWarning) as doubts:
        Config.from_dict(value)
    assert [str(each.message).partition(" ")[0] for each in doubts] == ["secret:"]


@pytest.mark.parametrize("block", of("js"), ids=str)
def test_javascript(block, tmp_path):
    """JavaScript can be read, where there is a Node."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node here")
    (tmp_path / "block.js").write_text(block.text)
    subprocess.run(["node", "--check", "block.js"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("block", of("html"), ids=str)
def test_html(block):
    """A piece of a page is a template of Tornado."""
    Template(block.text)


LINES = [
    pytest.param(line.split("  # ")[0].strip(), id=f"{block}-{line.strip()[:40]}")
    for block in (each for each in BLOCKS if each.language == "sh" and each.page not in SHELL_ELSEWHERE)
    for line in block.text.splitlines()
    if line.strip() and not line.startswith("#")
]


@pytest.mark.parametrize("line", LINES)
def test_shell(line, tmp_path):
    """A line of shell is one of a few kinds; commands of the package are run, and others are at least there."""
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "node_session"]:
        folder = tmp_path / "sessions"
        for name in ("config.json", "old.json", "new.json", "other.json"):
            config = {"secret": SECRET, "files": f"{folder}-{name}", "encrypt": "rewrap" in words}
            (tmp_path / name).write_text(json.dumps(config))
        done = subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr  # 1: nothing was found, which is no wonder
    elif words[:2] == ["python", "-c"]:
        subprocess.run([sys.executable, *words[1:]], check=True, stdout=subprocess.DEVNULL)
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert words[1] in targets
    elif words[:2] == ["pip", "install"]:
        for extra in re.findall(r"\[(.*?)\]", line):
            assert re.search(rf'"{extra}": ', (ROOT / "setup.py").read_text()), extra
    else:
        assert words[:2] == ["git", "clone"] or words[0] in ("pytest",), f"not tested: {line}"


def test_secret_of_the_readme():
    """The example's secret is long enough not to be warned of, and says that it is none."""
    program = next(each.text for each in PROGRAMS if each.page == README.name)
    assert len(re.search(r'"secret": "([^"]+)"', program)[1]) >= 32
    assert "replace" in program and SECRET
