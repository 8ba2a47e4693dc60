"""The command line: ``python -m node_session``, or ``node-session``.

    python -m node_session check sessions.json
    python -m node_session ls sessions.json --user user.name=Ann
    python -m node_session copy .tmp/sessions.db sessions.json

Every command is a function that takes the parsed arguments and returns an `Outcome`: what a person reads, what a
program reads (``--json``), and the exit code. Warnings and progress go to standard error while it works.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

from ..errors import ConfigError, SessionError, UnavailableError
from .arguments import parse
from .outcome import ATTENTION, DONE, UNAVAILABLE, WRONG, Outcome, as_json, as_text
from .spelling import printable

__all__ = ["ATTENTION", "DONE", "UNAVAILABLE", "WRONG", "main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The arguments after the program's name; None: those of this process.

    Returns:
        The exit code; ``--help`` explains each.
    """
    try:
        options = parse(arguments)
        outcome: Outcome = asyncio.run(options.command(options))
        return _print(as_json(outcome.data) if options.json else as_text(outcome.text), outcome.code)
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
    except Exception:  # for example of a user's own driver; 1, Python's code for it, is `ATTENTION` here
        print(printable(traceback.format_exc()), end="", file=sys.stderr)
        return WRONG


def _print(parts: Iterator[str], code: int) -> int:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        for part in parts:
            print(part.encode(encoding, "backslashreplace").decode(encoding), end="")
        sys.stdout.flush()
        return code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
        if isinstance(error, BrokenPipeError):  # `… | head` has read enough
            return code
        print(f"error: done, but it cannot be printed: {error.strerror}", file=sys.stderr)
        return code or ATTENTION
