"""Both programs of the sample: Node, and Tornado in front of it.

python samples/strangler/demo.py [port] [moved routes]
"""

from __future__ import annotations

from front import HERE, main
from programs import run_both

if __name__ == "__main__":
    run_both(HERE / "server.js", main)
