"""docs/migrating.md: every line of its Python runs, in front of its JavaScript, on a session of both."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from docs.pages import ROOT
from docs.two_programs import Client, Page, Tornado, free_port, node_programs

PAGE = Page(
    "migrating.md",
    "strangler",
    "node-session",
    {"/login": "Login", "/logout": "Logout", "/visits": "Visits", "/counted": "Counted"},
    "_token",
)
EXPRESS, PLAIN, OLD_POSTGRESQL = PAGE.javascript
# With a secret, as the page says; its own is one that everybody can read.
CONFIG = {**json.loads(PAGE.json), "secret": "a-secret-that-both-programs-know-0123456789"}


@pytest.fixture(params=[False, "legacy"], ids=["plain", "encrypted"])
def folder(request, tmp_path, monkeypatch):
    """A folder with the page's config, in which everything runs."""
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "encrypt": request.param}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "samples" / "strangler"))
    return tmp_path


@pytest.fixture
def start_node(folder):
    """Starts a program of the page; gives its port."""
    with node_programs(PAGE, folder) as start:
        yield start


def test_every_line_of_python(folder):
    """Run with nobody behind it, every line of the page's Python is reached, and does what the page says."""
    tornado = Tornado(PAGE, free_port(), *PAGE.later)

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
    tornado = Tornado(PAGE, start_node(EXPRESS))

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
    tornado = Tornado(PAGE, start_node(PLAIN), "/visits", "/counted")

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
    for command in PAGE.commands:
        (folder / "config.json").write_text(json.dumps(config | ({"encrypt": True} if "rewrap" in command else {})))
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]], cwd=folder, capture_output=True, text=True, check=True
        )
        if "copy" in command:
            assert done.stdout.startswith("copied 1 session")
        if "rewrap" in command:
            assert done.stdout.startswith("rewritten: 1")
    assert len(PAGE.commands) == 5 and len(list((folder / "new").glob("[!.]*"))) == 1


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
