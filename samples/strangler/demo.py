"""Both programs of the sample: Node, and Tornado in front of it.

python samples/strangler/demo.py [port] [moved routes]
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys

from front import HERE, main


async def demo(port: str = "3000", *moved: str) -> None:
    """Start Node at a free port, and serve in front of it until the process is ended."""
    if shutil.which("node") is None:
        raise SystemExit("this sample needs Node 18 or later: there is no program node")
    node = await asyncio.create_subprocess_exec("node", str(HERE / "server.js"), "0", stdout=asyncio.subprocess.PIPE)
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        assert node.stdout is not None
        node_port = (await node.stdout.readline()).decode().strip()
        if not node_port:
            raise SystemExit("Node does not start: run `npm ci` in samples/strangler first")
        await main(port, node_port, *moved)
    finally:
        if node.returncode is None:
            node.terminate()
        await node.wait()


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(demo(*sys.argv[1:]))
