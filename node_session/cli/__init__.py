"""The command line: ``python -m node_session COMMAND CONFIG.json``.

    python -m node_session check sessions.json
    python -m node_session ls sessions.json --user user.name=Ann
    python -m node_session copy .tmp/sessions.db sessions.json

Every command is a function that takes the parsed arguments and returns an `Outcome`: what a person reads, what a
program reads (``--json``), and the exit code. What comes while it works (warnings, progress) goes to standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from ..errors import ConfigError, SessionError, UnavailableError
from .arguments import parse
from .outcome import ATTENTION, DONE, UNAVAILABLE, WRONG, Outcome, as_json, printable

__all__ = ["ATTENTION", "DONE", "UNAVAILABLE", "WRONG", "main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those after the program's name; None: of this process.

    Returns:
        The exit code; ``--help`` tells what each means.
    """
    options = parse(arguments)
    try:
        outcome: Outcome = asyncio.run(options.command(options))
    except (ConfigError, NotImplementedError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return WRONG
    except UnavailableError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return UNAVAILABLE
    except SessionError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return ATTENTION
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    return _print(as_json(outcome.data) if options.json else printable(outcome.text), outcome.code)


def _print(text: str, code: int) -> int:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:  # `… | head` has read enough; without this, Python complains again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
