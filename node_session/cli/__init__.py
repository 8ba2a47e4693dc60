"""The command line: ``python -m node_session COMMAND CONFIG.json``, or ``node-session COMMAND CONFIG.json``.

    python -m node_session check sessions.json
    python -m node_session ls sessions.json --user user.name=Ann
    python -m node_session copy .tmp/sessions.db sessions.json

Every command is a function that takes the parsed arguments and returns an `Outcome`: what a person reads, what a
program reads (``--json``), and the exit code. What comes while it works (warnings, progress) goes to standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Sequence

from ..errors import ConfigError, SessionError, UnavailableError
from .arguments import parse
from .outcome import ATTENTION, DONE, UNAVAILABLE, WRONG, Outcome

__all__ = ["ATTENTION", "DONE", "UNAVAILABLE", "WRONG", "main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those after the program's name; None: of this process.

    Returns:
        The exit code; ``--help`` tells what each means.
    """
    try:
        options = parse(arguments)
        outcome: Outcome = asyncio.run(options.command(options))
        return _print(outcome, options.json)
    except (ConfigError, NotImplementedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except UnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNAVAILABLE
    except SessionError as error:
        print(f"error: {error}", file=sys.stderr)
        return ATTENTION
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception:  # of a driver of the user's own, say; Python's own code for it, 1, means something else here
        traceback.print_exc()
        return WRONG


def _print(outcome: Outcome, as_json: bool) -> int:
    text = json.dumps(outcome.data, ensure_ascii=False) if as_json else outcome.text
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # half an emoji, as JavaScript may store; or a terminal of few letters
        text = json.dumps(outcome.data) if as_json else text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(text, flush=True)
        return outcome.code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it ends
        if isinstance(error, BrokenPipeError):  # `… | head` has read enough
            return outcome.code
        print(f"error: done, but it cannot be printed: {error.strerror}", file=sys.stderr)
        return outcome.code or ATTENTION
