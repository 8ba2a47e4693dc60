"""The arguments of every command, and the help that explains them."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import changing, checking, listing

_DESCRIPTION = """Look into a store of sessions, and look after it.

CONFIG.json is the file of options that your programs read; relative paths in it count from the folder you are in."""

_EPILOG = """exit codes:
  0  done
  1  done, but something needs your attention: a damaged record, no such session
  2  wrong arguments, a config that cannot be used, or a driver that cannot do this or fails
  3  the store cannot be reached
  130  interrupted (Ctrl-C); copy, rewrap and destroy may have done a part

Whole ids and tokens are printed with --whole only: who has an id and the secret is logged in. Where a command takes an
ID, its first characters will do; one that begins with a dash goes last, after --.
Run `%(prog)s COMMAND --help` for more on a command."""

_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command; its function is ``command``. Ends the program with code 2 where they are wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for module in options.imports:
        try:
            importlib.import_module(module)
        except Exception as error:  # of whatever runs when it is imported
            parser.error(f"--import {module}: {type(error).__name__}: {error}")
    return options


def milliseconds(text: str) -> float:
    """The milliseconds in ``90s``, ``30m``, ``12h``, ``7d`` or ``2w``."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time; write 90s, 30m, 12h, 7d or 2w")
    return float(match[1]) * _MILLISECONDS[match[2]]


def key_value(text: str) -> tuple[str, str]:
    """The two sides of ``user.name=Ann``."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as user.name=Ann")
    return key, value


def id_start(text: str) -> str:
    """The beginning of an id; an empty one, as of a variable that is not set, would fit any session."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give the session's id, or its first characters")
    return text


def count(text: str) -> int:
    """A whole number from 0 on."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, such as 20")
    return int(text)


def _program() -> str:
    """The name by which we were started, for the help."""
    return "node-session" if Path(sys.argv[0]).name.startswith("node-session") else "python -m node_session"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(),
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, function: Callable[..., Any], summary: str, details: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}. {details}".strip())
        added.set_defaults(command=function)
        added.add_argument("--json", action="store_true", help="print JSON, for a program to read")
        added.add_argument(
            "--import",
            dest="imports",
            metavar="MODULE",
            action="append",
            default=[],
            help="import this module first; it registers a driver of yours (NodeSession.register_handler)",
        )
        if name != "copy":
            added.add_argument("config", metavar="CONFIG.json")
        return added

    check = command(
        "check",
        checking.check,
        "tell whether a config can be used, and what is unsafe in it",
        "It writes, reads and removes a record of its own in the store, and says what differs from the npm original.",
    )
    check.add_argument(
        "others", metavar="OTHER.json", nargs="*", help="configs of other applications, which must not take its cookies"
    )
    check.add_argument("--strict", action="store_true", help="exit with 1 where there is any warning")
    table = command("table", checking.table, "print the SQL of the table that the database driver needs")
    table.add_argument("--create", action="store_true", help="run it; the table may be there already")
    command("gc", changing.gc, "remove the expired records")
    ls = command("ls", listing.ls, "list the sessions, the one used last first")
    ls.add_argument("--sort", choices=["idle", "size", "id"], default="idle", help="by what to sort (default: idle)")
    ls.add_argument("--reverse", action="store_true", help="the last first")
    ls.add_argument("--limit", type=count, metavar="N", help="list N at most")
    _add_user(ls, "only sessions that hold this value, such as user.name=Ann; may be given more than once")
    _add_whole(ls)
    show = command("show", listing.show, "print what a session holds")
    show.add_argument("id", metavar="ID", type=id_start)
    _add_whole(show)
    destroy = command(
        "destroy",
        changing.destroy,
        "remove sessions: whoever has one is logged out",
        "Say which: by an ID, by --user, by --older-than or by --all.",
    )
    which = destroy.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?", type=id_start)
    _add_user(which, "those that hold this value, such as user.name=Ann; given more than once, all of the values")
    which.add_argument("--older-than", type=milliseconds, metavar="7d", help="those idle for longer than this")
    which.add_argument("--all", action="store_true", help="every one; needs --yes")
    destroy.add_argument("--yes", action="store_true", help="yes, I mean --all")
    copy = command(
        "copy",
        changing.copy,
        "copy all sessions from one store to another",
        "Records that are there already are left as they are, so that it can be interrupted, and run again. They are "
        "decrypted and encrypted as the two configs say. The time of last activity starts anew.",
    )
    copy.add_argument("source", metavar="FROM.json", help="a config; or the data file of npm's sails-disk itself")
    copy.add_argument("target", metavar="TO.json", help="a config")
    command(
        "rewrap",
        changing.rewrap,
        "encrypt every record anew that is not under the first secret and in the format of the config",
        "Afterwards an old secret is needed for cookies only: they are signed anew when their browsers come back, so "
        "keep it in the list for one more lifetime. The time of last activity of what is rewritten starts anew.",
    )
    command("stats", listing.stats, "count the sessions, by size and by how long they are idle")
    return parser


def _add_user(parser: argparse._ActionsContainer, help: str) -> None:
    parser.add_argument("--user", type=key_value, metavar="KEY=VALUE", action="append", default=[], help=help)


def _add_whole(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--whole", action="store_true", help="print ids and tokens in full")
