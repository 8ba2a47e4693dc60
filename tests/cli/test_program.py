"""The program: how it is started, what its exit codes say, and how it is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shop import ANN
from node_session import NodeSession, UnavailableError
from node_session.cli import ATTENTION, DONE, UNAVAILABLE, WRONG, main
from node_session.drivers import FileDriver


def test_as_a_program(shop):
    """It runs as `python -m node_session`, explains itself and its exit codes, and survives `| head`."""
    command = [sys.executable, "-m", "node_session"]
    help = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("check", "table", "gc", "ls", "show", "destroy", "copy", "rewrap", "stats", "exit codes", "--whole"):
        assert word in help
    for number in range(3000):
        shop.put(f"{number:040d}", "{}")
    with subprocess.Popen([*command, "ls", shop.config], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == DONE
        assert process.stderr.read() == b""


def test_import(shop):
    """--import runs a module that registers a driver; one that is not there is an error of the arguments."""
    (shop.folder / "mine.py").write_text(
        "from node_session import NodeSession\nfrom node_session.drivers import FileDriver\n"
        "NodeSession.register_handler('mine', lambda config: FileDriver(config.files, config.lifetime))\n"
    )
    config = shop.write("mine.json", driver="mine", files=str(shop.files()))
    command = [sys.executable, "-m", "node_session", "ls", config, "--json"]
    done = subprocess.run([*command, "--import", "mine"], cwd=shop.folder, capture_output=True, text=True)
    assert done.returncode == DONE and len(json.loads(done.stdout)) == 3
    assert subprocess.run(command, cwd=shop.folder, capture_output=True).returncode == WRONG
    failed = subprocess.run([*command, "--import", "nowhere"], cwd=shop.folder, capture_output=True, text=True)
    assert failed.returncode == WRONG and "--import nowhere" in failed.stderr


def test_the_script(shop):
    """The package installs the script node-session, which is the same program and calls itself so in its help."""
    root = Path(__file__).parents[2]
    setup = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(shop.folder)]
    subprocess.run(setup, cwd=root, check=True, capture_output=True)
    (names,) = shop.folder.glob("*.egg-info/entry_points.txt")
    module, _, function = (
        re.search(r"node-session = ([\w.]+):(\w+)", names.read_text()).group(0).partition(" = ")[2].partition(":")
    )
    for name, program in (("node-session", "node-session"), ("__main__.py", "python -m node_session")):
        code = f"import sys; from {module} import {function}; sys.argv[0] = {name!r}; sys.exit({function}())"
        help = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
        assert help.stdout.startswith(f"usage: {program} [-h]") and f"`{program} COMMAND --help`" in help.stdout
        done = subprocess.run([sys.executable, "-c", code, "show", shop.config, "Zoe"], capture_output=True)
        assert done.returncode == ATTENTION


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["table"],
        ["gc"],
        ["ls"],
        ["show", "Ann"],
        ["show", ANN],
        ["stats"],
        ["destroy", "Ann"],
        ["destroy", ANN],
        ["destroy", "--all", "--yes"],
        ["destroy", "--older-than", "1d"],
        ["destroy", "--user", "a=b"],
        ["rewrap"],
        ["copy from"],
        ["copy to"],
    ],
    ids=" ".join,
)
def test_exit_codes(shop, arguments, monkeypatch):
    """Each command ends as --help says: 3 without its store, 2 with a config or a driver of no use, 130 by Ctrl-C."""
    command, *others = arguments
    copies = command.startswith("copy")

    def run(config: str, code: int) -> str:
        if copies:
            others[:] = [shop.config] if command == "copy from" else []
            before = [shop.config] if command == "copy to" else []
            shop.run("copy", *before, config, *others, code=code)
        else:
            return shop.run(command, config, *others, code=code) + shop.errors
        return shop.errors

    class Fails(FileDriver):
        def failing(self, *args, **kwargs):
            raise self.error

        read = write = destroy = gc = scan = failing

    NodeSession.register_handler("fails", lambda config: Fails(config.files, config.lifetime))
    fails = shop.write("fails.json", driver="fails", encrypt=True, files=str(shop.files()))
    needs_store = command != "table"
    Fails.error = UnavailableError("it is down")
    assert ("it is down" in run(fails, UNAVAILABLE if needs_store else DONE)) == needs_store
    Fails.error = ZeroDivisionError("a slip in it")
    assert ("a slip in it" in run(fails, WRONG if needs_store else DONE)) == needs_store
    if needs_store and command != "check":
        Fails.error = KeyboardInterrupt()
        assert run(fails, 130) == "interrupted\n"

    async def connect(config):
        raise ConnectionRefusedError(111, "Connection refused")

    NodeSession.register_handler("refused", connect)
    refused = shop.write("refused.json", driver="refused", encrypt=True)
    assert ("Connection refused" in run(refused, UNAVAILABLE if needs_store else DONE)) == needs_store
    for text in ("{", "[]", "[" * 100_000, '{"secret": "x", "driver": "nobody"}', b"\xff", None):
        path = shop.folder / "wrong.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode()) if text is not None else path.unlink()
        assert "wrong.json: " in run(str(path), WRONG)
    assert len(shop.stored()) == 3


def test_exit_codes_of_wrong_arguments(shop):
    """Arguments that make no sense are code 2 for each command, before anything is looked at."""
    for arguments in (
        [],
        ["nothing"],
        ["ls"],
        ["copy", shop.config],
        ["show", shop.config],
        ["show", shop.config, ""],
        ["ls", shop.config, "--limit", "-1"],
        ["ls", shop.config, "--limit", "x"],
        ["ls", shop.config, "--user", "=Ann"],
        ["stats", shop.config, "--whole"],
    ):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == WRONG, arguments


def test_import_that_fails(shop):
    """A module that --import cannot run is an error of the arguments, whatever it raises."""
    (shop.folder / "bad.py").write_text("1 / 0")
    command = [sys.executable, "-m", "node_session", "ls", shop.config, "--import", "bad"]
    failed = subprocess.run(command, cwd=shop.folder, capture_output=True, text=True)
    assert failed.returncode == WRONG and "--import bad: ZeroDivisionError" in failed.stderr


def test_what_a_terminal_has_no_letters_for(shop):
    """Half an emoji, or any letter on a terminal of ASCII, is printed as an escape, and JSON stays JSON."""
    shop.put(ANN, '{"name":"J\u00f6rg","half":"\\ud83d"}')
    command = [sys.executable, "-m", "node_session", "show", shop.config, "Ann"]
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        assert subprocess.run(command, env=environment, capture_output=True).returncode == DONE
        done = subprocess.run([*command, "--json"], env=environment, capture_output=True)
        assert done.returncode == DONE
        assert json.loads(done.stdout)["attributes"] == {"name": "Jörg", "half": "\ud83d"}


def test_nowhere_to_print(shop):
    """A full disk under the output is told of and is no success: nobody can read what was found."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "node_session", "ls", shop.config]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == ATTENTION and done.stderr.startswith("error: done, but it cannot be printed")
    assert len(done.stderr.splitlines()) == 1


def test_interrupted_at_work(shop):
    """Ctrl-C while a store does not answer is code 130, without a traceback."""
    (shop.folder / "stuck.py").write_text(
        "import asyncio, sys\nfrom node_session import NodeSession\nfrom node_session.drivers import FileDriver\n"
        "class Stuck(FileDriver):\n"
        "    async def scan(self):\n"
        "        print('ready', file=sys.stderr, flush=True)\n"
        "        await asyncio.sleep(3600)\n"
        "        yield\n"
        "NodeSession.register_handler('stuck', lambda config: Stuck(config.files, 0))\n"
    )
    config = shop.write("stuck.json", driver="stuck")
    command = [sys.executable, "-m", "node_session", "ls", config, "--import", "stuck"]
    with subprocess.Popen(command, cwd=shop.folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "interrupted\n"
    assert process.returncode == 130


def test_interrupted(shop, monkeypatch):
    """Ctrl-C ends it with the code that a shell expects, and without a traceback."""

    def interrupt(main):
        main.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupt)
    shop.run("ls", shop.config, code=130)
    assert shop.errors == "interrupted\n"
