"""Pin the newest versions of all tests' and tools' packages: ``make pins``.

    python .ci/pins.py python3.10 python3.11 python3.12 python3.13

They go to constraints.txt. Each interpreter resolves on its own, since some packages no longer support the older ones.
A version that is not the same for all of them gets a marker. Nothing of the machine comes in: no path, no package
index.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADER = """\
# What tests and tools run with, so that they give the same verdict today and in a year. `make pins` writes this file
# again, with the newest versions; `make test-newest` tries those without it. Resolved on Python {pythons}.
"""


def resolve(python: str) -> tuple[str, dict[str, str]]:
    """The version of an interpreter, and of each package that is newest there."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--upgrade", "pip"], check=True)
        wanted = ["pip", f"{ROOT}[postgresql,mysql,redis,cryptography]", "--group", "dev", "--group", "bench"]
        report = ["--dry-run", "--ignore-installed", "--report", f"{folder}/report"]
        subprocess.run([*pip, *report, *wanted], cwd=ROOT, check=True)
        resolved = json.loads(Path(folder, "report").read_text("utf-8"))
    found = (each["metadata"] for each in resolved["install"])
    versions = {re.sub("[-_.]+", "-", each["name"]).lower(): each["version"] for each in found}
    del versions["node-session"]
    return resolved["environment"]["python_version"], versions


def lines(name: str, resolved: dict[str, dict[str, str]]) -> list[str]:
    """The lines of a package, one for each range of Pythons with the same version."""
    pythons = [python for python, versions in resolved.items() if name in versions]
    groups = [(version, list(each)) for version, each in itertools.groupby(pythons, lambda it: resolved[it][name])]
    pinned = []
    for number, (version, each) in enumerate(groups):
        bounds = [f'python_version >= "{each[0]}"'] if number else []
        bounds += [f'python_version < "{groups[number + 1][1][0]}"'] if number + 1 < len(groups) else []
        pinned.append(f"{name}=={version}" + (f"; {' and '.join(bounds)}" if bounds else ""))
    return pinned


def main(interpreters: list[str]) -> None:
    """Write the file; fail if a Python is missing, whose versions would be unknown."""
    resolved = dict(map(resolve, interpreters))
    supported = re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.py").read_text("utf-8"))
    if missing := set(supported) - set(resolved):
        sys.exit(f"no Python {', '.join(sorted(missing))} is here; install it, as each has versions of its own")
    names = sorted({name for versions in resolved.values() for name in versions})
    pinned = "".join(f"{line}\n" for name in names for line in lines(name, resolved))
    (ROOT / "constraints.txt").write_text(HEADER.format(pythons=", ".join(resolved)) + pinned, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
