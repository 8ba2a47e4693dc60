"""The tables of the README and docs/ are complete, and true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import MISSING, fields

import pytest

from docs.pages import PAGES, README, ROOT, blocks_of, rows, section
from node_session import NodeSession, Session, errors
from node_session.config import Config, camel_case
from node_session.drivers.databases import ADAPTERS
from node_session.events import Stats
from node_session.report import Report


def default_of(field) -> str:
    """An option's default as the tables spell it."""
    name = camel_case(field.name)
    if field.default is MISSING:
        return {"secret": "required"}.get(name, "<cwd>/sessions")
    if isinstance(field.default, str):
        return f'"{field.default}"'
    if isinstance(field.default, tuple):
        return json.dumps(field.default)
    if field.default is None or isinstance(field.default, bool):
        return {None: "null", True: "true", False: "false"}[field.default]
    return str(field.default)


DEFAULTS = {camel_case(each.name): default_of(each) for each in fields(Config)}


def options_of(text: str) -> dict[str, str]:
    """The options that tables name, with the defaults that they give."""
    found = {}
    for names, values, *_ in rows(text):
        pairs = zip(names.split(", "), values.split(", ") if names.count(",") else [values], strict=True)
        found |= {name.strip("`"): value.strip("`") for name, value in pairs}
    return found


def test_options():
    """The page names every option, with its default."""
    assert options_of(section("docs/options.md", "")) == DEFAULTS


def test_options_of_the_readme():
    """The README has a dozen of them, with the same defaults."""
    few = options_of(section("README.md", "Options"))
    assert few.items() <= DEFAULTS.items() and 10 <= len(few) <= 14


MAPPING = {"clear", "items", "keys", "pop", "popitem", "setdefault", "update", "values"}
PUBLIC = {name for name in [*dir(Session), *dir(NodeSession)] if not name.startswith("_")}


def test_api():
    """The tables of the API name methods that there are, and all that there are."""
    tables = section("docs/api.md", "JavaScript → Python") + section("docs/api.md", "New here")
    named = set(re.findall(r"`(?:await |async with )?(?:sessions?\.)?([a-z_]+)[(`]", tables))
    assert PUBLIC - MAPPING - named - {"config", "register_handler"} == set()
    assert set(re.findall(r"`(?:await )?sessions?\.([a-z_]+)\(", tables)) - PUBLIC == set()


def test_every_method_has_an_example():
    """Each method, property and mapping's method is used in an example of the page, or of the page that it links to."""
    pages = [ROOT / "docs" / "api.md", ROOT / "docs" / "drivers.md", README]
    code = "\n".join(each.text for page in pages for each in blocks_of(page) if each.language == "python")
    used = set(re.findall(r"\.([a-z_]+)\b", code)) | set(re.findall(r"def ([a-z_]+)", code))
    assert PUBLIC - used == set()


def test_methods_of_the_readme():
    """The everyday methods are there."""
    used = set(re.findall(r"session\.([a-z_]+)", section("README.md", "Every day")))
    assert used and used <= PUBLIC


def test_errors():
    """The page names every error of the package, and no other."""
    there = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.SessionError)
    }
    table = section("docs/api.md", "Errors")
    named = {name for row in rows(table) for name in re.findall(r"`([A-Z]\w+Error)`", row[0])}
    assert named - {"TypeError"} == there - {"SessionError"}


def test_events():
    """The table of events names each counter, and the event of a request."""
    named = {row[0].strip("`") for row in rows(section("docs/observing.md", "Counters and events"))}
    assert named == {f"node_session.{each.name}" for each in fields(Stats)} | {"node_session.request"}


def test_report():
    """The table of the report names each field."""
    named = {name.strip("`") for row in rows(section("docs/observing.md", "The report")) for name in row[0].split(", ")}
    assert named == {each.name for each in fields(Report)}


@pytest.fixture(scope="module")
def command_line() -> str:
    """The help of the command line."""
    command = [sys.executable, "-m", "node_session", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_commands():
    """The table of commands names every command, and no other."""
    done = subprocess.run([sys.executable, "-m", "node_session", "?"], capture_output=True, text=True)
    known = re.search(r"choose from (.*)\)", done.stderr)[1].replace("'", "").split(", ")
    table = section("docs/command-line.md", "").split("| exit code")[0]
    assert {row[0].strip("`").split()[0] for row in rows(table)} == set(known)


def test_exit_codes(command_line):
    """The table of exit codes says what the help says."""
    table = "| exit code" + section("docs/command-line.md", "").split("| exit code")[1]
    said = dict(re.findall(r"^  (\d+)  (.*)$", command_line, re.M))
    assert {code: text.replace("`", "") for code, text in rows(table.split("## ")[0])} == said


def test_adapters():
    """The drivers' page names every plain adapter."""
    text = section("docs/drivers.md", "")
    assert not {name for name in ADAPTERS if not name.startswith("sails-") and f'"{name}"' not in text}


def test_make_targets():
    """Every target of make that a page names is in the Makefile."""
    pages = [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "tests/benchmarks/notes.md"))]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert {*re.findall(r"`make\s+([a-z-]+)", text)} - {*targets} == set()


def test_extras():
    """Every extra that a page tells to install is one of the package's."""
    setup = (ROOT / "setup.py").read_text("utf-8")
    text = "\n".join(page.read_text("utf-8") for page in [README, *(ROOT / "docs").glob("*.md")])
    named = set(re.findall(r"pip\s+install\s+\"[^\"]*\[(\w+)\]", text))
    assert named == {"postgresql", "mysql", "redis", "cryptography"}
    assert all(f'"{name}": ' in setup for name in named)
