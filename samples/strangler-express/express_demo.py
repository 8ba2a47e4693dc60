"""Both programs of the sample: Node, and Tornado in front of it.

python samples/strangler-express/express_demo.py [port] [moved routes]
"""

from __future__ import annotations

from express_front import HERE, main
from programs import run_both

if __name__ == "__main__":
    run_both(HERE / "server.js", main)
