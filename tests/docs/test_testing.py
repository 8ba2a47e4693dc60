"""docs/testing.md: its files are tests, which pass; each fails if what it tests is broken."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from docs.pages import ROOT, blocks_of
from node_session.testing import Visitor

PAGE = ROOT / "docs" / "testing.md"
FILES = {re.match(r"# (\w+\.py)\n", each.text)[1]: each.text for each in blocks_of(PAGE) if each.language == "python"}

# By name and not by entry point, so that this checkout is tested and not one that happens to be installed.
PLUGIN = ["-p", "no:node_session", "-p", "node_session.testing.plugin"]


def run(folder, files) -> subprocess.CompletedProcess:
    for name, text in files.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *PLUGIN, "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_files(tmp_path):
    """All tests of the page pass, each file is found, and none is skipped."""
    done = run(tmp_path, FILES)
    assert done.returncode == 0, done.stdout
    assert len(FILES) == 5 and "skipped" not in done.stdout and "warning" not in done.stdout
    wanted = sum(text.count("def test_") for text in FILES.values())
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > wanted


@pytest.mark.parametrize(
    ("right", "wrong", "fails"),
    [
        ('if not self.session.has("user"):', "if False:", "test_account"),
        ("self.session.regenerate(True)", "pass", "test_login_and_logout"),
        ("self.session.invalidate()", "pass", "test_login_and_logout"),
        ('self.session.flash("status", "Added.")', 'self.session.put("status", "Added.")', "test_flash"),
        ("self.session.flash_input(", "dict(", "test_refused_form"),
    ],
)
def test_broken_application(tmp_path, right, wrong, fails):
    """A mistake in the application is noticed."""
    assert right in FILES["shop.py"]
    broken = {"shop.py": FILES["shop.py"].replace(right, wrong), "test_shop.py": FILES["test_shop.py"]}
    done = run(tmp_path, broken)
    assert done.returncode == 1 and f"{fails} " in done.stdout.replace("\n", " "), done.stdout


def test_table_of_the_visitor():
    """The table names each public method of a visitor."""
    text = PAGE.read_text("utf-8")
    public = {name for name in dir(Visitor) if not name.startswith("_")} | {"cookies"}
    assert not {name for name in public if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)}
