"""The arguments of all commands, and the help that explains them."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .argument_types import count, id_start, key_value, milliseconds
from .checking import check
from .copying import copy
from .devices import devices
from .listing import ls, show
from .removing import destroy, gc
from .rewrapping import rewrap
from .stats import stats
from .table import table

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_DESCRIPTION = """Look into a store of sessions, and maintain it.

CONFIG.json is the file of options that your programs read; relative paths in it start in the current folder."""

_EPILOG = """exit codes:
  0  done
  1  done, but something needs your attention: a damaged record, no such session
  2  wrong arguments, a config that cannot be used, or a driver that cannot do this or fails
  3  the store cannot be reached
  130  interrupted (Ctrl-C); copy, rewrap and destroy may have done a part

Whole ids and tokens are printed with --whole only: an id and the secret are enough to be logged in. Where a command
takes an ID, its first characters will do; an ID that begins with a dash goes last, after --.
Run `%(prog)s COMMAND --help` for more on a command."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of a command; if they are wrong, exit with code 2.

    Returns:
        The options; ``command`` is the function to call.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    for module in options.imports:
        try:
            importlib.import_module(module)
        except Exception as error:  # of anything that runs when it is imported
            parser.error(f"--import {module}: {type(error).__name__}: {error}")
    return options


def _program() -> str:
    """The name by which we were started, for the help."""
    return "node-session" if Path(sys.argv[0]).name.startswith("node-session") else "python -m node_session"


_OLD = (
    "Not counted: the old record of a regenerated session, which is kept for regenerateGrace, and the list of a user's "
    "devices."
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(),
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    looking = (_add_check, _add_table, _add_gc, _add_ls, _add_show, _add_devices)
    for add in (*looking, _add_destroy, _add_copy, _add_rewrap, _add_stats):
        add(commands)
    return parser


def _add_check(commands: _Commands) -> None:
    parser = _add(
        commands,
        "check",
        check,
        "check whether a config can be used, and is safe",
        "It writes, reads and removes a record of its own in the store, and names the differences from the npm "
        "original.",
    )
    _add_config(parser)
    parser.add_argument(
        "others", metavar="OTHER.json", nargs="*", help="configs of other applications, which must not take its cookies"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if there is any warning")


def _add_table(commands: _Commands) -> None:
    parser = _add(commands, "table", table, "print the SQL of the table that the database driver needs")
    _add_config(parser)
    parser.add_argument("--create", action="store_true", help="run it; the table may be there already")


def _add_gc(commands: _Commands) -> None:
    details = (
        "With lifetime 0, where none expires: the old records of regenerated sessions that killed processes have left."
    )
    _add_config(_add(commands, "gc", gc, "remove the expired records", details))


def _add_ls(commands: _Commands) -> None:
    parser = _add(
        commands,
        "ls",
        ls,
        "list the sessions, the last used first",
        _OLD,
    )
    _add_config(parser)
    parser.add_argument("--sort", choices=["idle", "size", "id"], default="idle", help="the order (default: idle)")
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument("--limit", type=count, metavar="N", help="list N at most")
    _add_user(parser, "only sessions that hold this value, such as user.name=Ann; may be given more than once")
    _add_whole(parser)


def _add_show(commands: _Commands) -> None:
    parser = _add(commands, "show", show, "print what a session holds")
    _add_config(parser)
    parser.add_argument("id", metavar="ID", type=id_start)
    _add_whole(parser)


def _add_devices(commands: _Commands) -> None:
    parser = _add(
        commands,
        "devices",
        devices,
        "list the devices on which a user is logged in, the last used first",
        "For programs that call set_owner() at login.",
    )
    _add_config(parser)
    parser.add_argument("owner", metavar="OWNER", help="the user, as given to set_owner()")


def _add_destroy(commands: _Commands) -> None:
    parser = _add(
        commands,
        "destroy",
        destroy,
        "remove sessions, which logs out their users",
        "Say which: by an ID, by --owner, by --user, by --older-than or by --all.",
    )
    _add_config(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?", type=id_start)
    which.add_argument("--owner", metavar="OWNER", help="every device of this user, as given to set_owner()")
    _add_user(which, "those that hold this value, such as user.name=Ann; given more than once, all of the values")
    which.add_argument("--older-than", type=milliseconds, metavar="7d", help="those idle for longer than this")
    which.add_argument("--all", action="store_true", help="every one; needs --yes")
    parser.add_argument("--yes", action="store_true", help="yes, I mean --all")


def _add_copy(commands: _Commands) -> None:
    parser = _add(
        commands,
        "copy",
        copy,
        "copy all sessions from one store to another",
        "Records that are there already are left as they are, so it can be interrupted and run again. Records are "
        "decrypted and encrypted as the two configs say. Their time of last activity becomes that of the copy.",
    )
    parser.add_argument("source", metavar="FROM.json", help="a config, or the data file of npm's sails-disk")
    parser.add_argument("target", metavar="TO.json", help="a config")


def _add_rewrap(commands: _Commands) -> None:
    parser = _add(
        commands,
        "rewrap",
        rewrap,
        "encrypt again every record that is not under the first secret, or not in the format of the config",
        "Afterwards an old secret is needed for cookies only: they are signed again when their browsers come back, so "
        "keep it in the list for one more lifetime. Rewritten records count as active at that time.",
    )
    _add_config(parser)


def _add_stats(commands: _Commands) -> None:
    _add_config(_add(commands, "stats", stats, "count the sessions, by size and by idle time", _OLD))


def _add(
    commands: _Commands, name: str, function: Callable[..., Any], summary: str, details: str = ""
) -> argparse.ArgumentParser:
    """Add a command, with the options that all have."""
    parser = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}. {details}".strip())
    parser.set_defaults(command=function)
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")
    parser.add_argument(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this module first, which registers a driver of yours (NodeSession.register_handler)",
    )
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.json")


def _add_user(parser: argparse._ActionsContainer, help: str) -> None:
    parser.add_argument("--user", type=key_value, metavar="KEY=VALUE", action="append", default=[], help=help)


def _add_whole(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--whole", action="store_true", help="print ids and tokens in full")
