"""The wheel and the sdist: whole, and with nothing in them that users need not have."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What is no part of the repository, but may lie in a clone.
PASSED_OVER = shutil.ignore_patterns(
    *(".git", ".venv*", "node_modules", "__pycache__", "*.egg-info", "build", "dist", "sessions", ".*_cache"),
    *(".hypothesis", ".fuzz", ".audit", "PKG-INFO", "setup.cfg"),
)


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the source tree, and what is built from it: the sdist, and the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=PASSED_OVER)
    for junk in ("tests/__pycache__/x.pyc", "tests/interop/node_modules/x/x.js", "samples/shop/sessions/x"):
        (tree / junk).parent.mkdir(parents=True, exist_ok=True)
        (tree / junk).write_text("junk")
    build(tree, "sdist", folder)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    build(unpacked(folder), "wheel", folder)
    return folder


def build(tree: Path, kind: str, folder: Path) -> None:
    """Build as pip does, with the setuptools of the tests: without a network."""
    program = f"from setuptools import build_meta; build_meta.build_{kind}({str(folder)!r})"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([sys.executable, "-c", program], cwd=tree, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def unpacked(folder: Path) -> Path:
    """The tree of the sdist."""
    return next(each for each in folder.glob("node_session-*") if each.is_dir())


def files(tree: Path) -> set[str]:
    return {each.relative_to(tree).as_posix() for each in tree.rglob("*") if each.is_file()}


def test_the_sdist_is_whole(dist):
    """The sdist has each file of the repository, and none that tests, demos or builds leave behind."""
    ours = {each for each in files(dist / "tree") if ".egg-info/" not in each}
    junk = {each for each in ours if "__pycache__" in each or "node_modules/" in each or "sessions/x" in each}
    assert len(junk) == 3
    generated = ("PKG-INFO", "setup.cfg", "build/")  # the last by building the wheel there
    there = {each for each in files(unpacked(dist)) if ".egg-info/" not in each}
    assert {each for each in there if not each.startswith(generated)} == ours - junk


def test_the_wheel_is_the_package(dist):
    """The wheel has each file of the package, py.typed among them, and nothing of tests, samples and docs."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {f"node_session/{each}" for each in files(dist / "tree" / "node_session")}
    assert "node_session/py.typed" in names


def test_what_an_index_shows(dist):
    """The licence is SPDX's, links are named, and the extras are those of users."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))
    assert metadata["License-Expression"] == "MIT" and metadata["License-File"] == "LICENSE"
    links = [each.partition(", ")[2] for each in metadata.get_all("Project-URL")]
    assert links and all(each.startswith("https://") for each in links)
    assert metadata.get_all("Provides-Extra") == ["postgresql", "mysql", "redis", "cryptography"]
    assert metadata["Description-Content-Type"] == "text/markdown"
