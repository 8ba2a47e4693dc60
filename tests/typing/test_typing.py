"""User code is typed as it should be: what programs write passes mypy --strict, and mistakes do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_user_code_and_mistakes(tmp_path: Path) -> None:
    """Right code has no error, and each mistake has the one that it expects."""
    # A cache of its own: other runs of mypy may be under way.
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    files = ["tests/typing/user_code.py", "tests/typing/mistakes.py"]
    result = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
