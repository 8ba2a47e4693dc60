"""Try what `make package` has built: the wheel in a fresh environment, the tests and the demo from the sdist.

    .venv/bin/python .ci/try_package.py dist

The Python that runs it has the packages that tests need.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Some that take seconds, and use files of the package, of the tests, of samples, of the README and of the npm original.
TESTS = ["web/test_mixin.py", "test_structure.py", "docs/test_tables.py", "test_vectors.py", "test_samples.py"]

# As in a shell of a user, who has not set what our shells and an outer make may have set.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "MAKE" not in name}


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def visit(port: int, process: subprocess.Popen[bytes], cookie: str = "") -> tuple[str, str]:
    """The first page, as soon as a program serves it, and the cookie that came with it."""
    while True:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Cookie": cookie})
            with urllib.request.urlopen(request) as response:  # noqa: S310 - our own server
                return response.read().decode(), response.headers["Set-Cookie"].partition(";")[0]
        except ConnectionError:
            pass
        except OSError as error:
            if not isinstance(getattr(error, "reason", None), ConnectionError):
                raise
        if process.poll() is not None:
            sys.exit(f"{process.args!r} has ended with code {process.returncode}")
        time.sleep(0.1)


def try_wheel(wheel: Path, folder: Path) -> None:
    """Run the README's smallest application where nothing but the wheel and what it asks for is installed."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    constraints = ["--constraint", ROOT / "constraints.txt"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *constraints, wheel], cwd=folder, check=True)
    subprocess.run([folder / "venv" / "bin" / "node-session", "--help"], check=True, stdout=subprocess.DEVNULL)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    smallest = next(block for block in blocks if "asyncio.run(" in block)
    port = free_port()
    (folder / "smallest.py").write_text(smallest.replace("3000", str(port)), "utf-8")
    program = subprocess.Popen([python, "smallest.py"], cwd=folder, env=ENVIRONMENT)
    try:
        page, cookie = visit(port, program)
        again, _ = visit(port, program, cookie)
    finally:
        program.terminate()
        program.wait()
    if "1 times" not in page or "2 times" not in again:
        sys.exit(f"the README's smallest application answered {page!r}, then {again!r}")


def try_sdist(sdist: Path, folder: Path) -> None:
    """Run tests and the demo from the unpacked sdist."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # noqa: S202
    (root,) = folder.glob("node_session-*")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-m", "pytest", *(f"tests/{each}" for each in TESTS)], cwd=root, env=environment, check=True
    )
    port = free_port()
    command = ["make", "demo", f"PORT={port}", f"PYTHON={sys.executable}"]
    demo = subprocess.Popen(command, cwd=root, env=ENVIRONMENT, start_new_session=True)
    started = time.monotonic()
    try:
        page, _ = visit(port, demo)
    finally:
        os.killpg(demo.pid, signal.SIGINT)  # Ctrl-C reaches make and what it has started
        demo.wait()
    if "Stoneware mug" not in page:
        sys.exit("make demo shows no shop")
    print(f"make demo: the first page after {time.monotonic() - started:.0f} s")


def main(dist: Path) -> None:
    """Try the one wheel and the one sdist of a folder."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        try_wheel(wheel.resolve(), Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        try_sdist(sdist, Path(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
