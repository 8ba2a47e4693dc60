"""``python -m node_session``: look after a store; see `node_session.cli`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
