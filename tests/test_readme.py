"""The README: its programs run, its tables are true."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from browser import SECRET
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from node_session import NodeSession, Session, SessionMixin
from node_session.config import Config, camel_case

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)
PROGRAMS = [block for block in BLOCKS if "asyncio.run(" in block]
PIECES = [block for block in BLOCKS if block not in PROGRAMS]


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.S | re.M)[1]


def rows(title: str) -> list[list[str]]:
    """The cells of all tables of a section, without their heads."""
    lines = [line for line in section(title).split("\n") if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row, after in zip(cells, [*cells[1:], [""]], strict=True) if "---" not in row[0] + after[0]]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_program(program, tmp_path):
    """A whole program runs as it stands, but for the port; the one warning is that its secret can be read there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "program.py").write_text(program.replace("3000", str(port)))
    process = subprocess.Popen([sys.executable, "-W", "error", "-W", "ignore:secret", "program.py"], cwd=tmp_path)
    try:
        cookie = ""
        for count in (1, 2):
            for _ in range(100):
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
        process.terminate()
        process.wait()


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
@pytest.mark.gen_test
async def test_piece(piece, app, sessions, config, browser, base_url):
    """A piece of a program runs with the names it takes for granted, and its handlers answer."""
    names = {
        "NodeSession": NodeSession,
        "SessionMixin": SessionMixin,
        "RequestHandler": RequestHandler,
        "WebSocketHandler": WebSocketHandler,
        "Application": Application,
        "config": config,
        "sessions": sessions,
    }
    exec(compile(piece, "README.md", "exec"), names)
    if "Page" in names:
        page = type("Page", (names["Page"],), {} if "get" in vars(names["Page"]) else {"get": lambda self: None})
        app.add_handlers(".*", [("/", page)])
        response = await browser.get("/")
        assert response.code == 200 and browser.id
    if "Socket" in names:
        app.add_handlers(".*", [("/", names["Socket"])])
        connection = await websocket_connect(base_url.replace("http", "ws"))
        await connection.write_message("hello")
        connection.close()
    if "DictDriver" in names:
        app.settings["node_session"] = names["sessions"]
        app.add_handlers(".*", [("/", type("Page", (SessionMixin, RequestHandler), {"get": lambda self: None}))])
        assert (await browser.get("/")).code == 200
        assert len((await names["sessions"].driver()).plain.texts) == 1


def test_options():
    """The tables of options name every option, with its default."""
    defaults = {}
    for names, values, *_ in rows("Options"):
        pairs = zip(names.split(", "), values.split(", ") if names.count(",") else [values], strict=True)
        defaults |= {name.strip("`"): value.strip("`") for name, value in pairs}
    spelt = {None: "null", True: "true", False: "false"}
    for each in fields(Config):
        name = camel_case(each.name)
        expected = each.default if each.default is not MISSING else {"secret": "required"}.get(name, "<cwd>/sessions")
        if isinstance(expected, str):
            text = expected if each.default is MISSING else f'"{expected}"'
        elif isinstance(expected, tuple):
            text = str(list(expected))
        else:
            text = spelt[expected] if expected is None or isinstance(expected, bool) else str(expected)
        assert defaults.pop(name) == text, name
    assert not defaults


def test_api():
    """The tables of the API name methods that there are, and all that there are."""
    tables = section("The session, JavaScript → Python")
    named = set(re.findall(r"`(?:await |async with )?(?:sessions?\.)?([a-z_]+)[(`]", tables))
    public = {name for name in [*dir(Session), *dir(NodeSession)] if not name.startswith("_")}
    mapping = {"clear", "items", "keys", "pop", "popitem", "setdefault", "update", "values"}
    assert public - mapping - named - {"config", "register_handler"} == set()
    assert set(re.findall(r"`(?:await )?sessions?\.([a-z_]+)\(", tables)) - public == set()


def test_commands():
    """The table of commands names every command, and no other."""
    done = subprocess.run([sys.executable, "-m", "node_session", "?"], capture_output=True, text=True)
    known = re.search(r"choose from (.*)\)", done.stderr)[1].replace("'", "").split(", ")
    assert {row[0].strip("`").split()[0] for row in rows("Command line")} == set(known)


def test_links():
    """Every picture, file and section that the README points to is there."""
    heads = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.*)$", README, re.M)}
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", README)
    assert "docs/shop.png" in targets and "docs/request.svg" in targets
    for target in targets:
        assert target[1:] in heads if target.startswith("#") else (HERE.parent / target).exists(), target


def test_secret_of_the_readme():
    """The example's secret is long enough not to be warned of, and says that it is none."""
    assert len(re.search(r'"secret": "([^"]+)"', PROGRAMS[0])[1]) >= 32
    assert "replace" in PROGRAMS[0] and SECRET
