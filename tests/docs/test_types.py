"""The whole programs of the pages, by the type checker."""

from __future__ import annotations

import subprocess
import sys

from docs.pages import PAGES, ROOT, blocks_of


def test_programs(tmp_path):
    """They have no error of types. As short programs have no annotations, mypy need not find any."""
    files = []
    for page in PAGES:
        for block in blocks_of(page):
            if block.language == "python" and block.is_program:
                files.append(tmp_path / f"{page.stem}_{block.line}.py")
                files[-1].write_text(block.text, "utf-8")
    assert len(files) >= 3
    options = ["--strict", "--allow-untyped-defs", "--allow-untyped-calls", "--allow-incomplete-defs"]
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", str(tmp_path / "cache"), *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
