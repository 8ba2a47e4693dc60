"""The two programs of a sample: Node, and Tornado in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tornado.web import Application


async def serve(application: Application, port: str) -> None:
    """Serve until the process is ended."""
    try:
        server = application.listen(int(port), "127.0.0.1")
    except OSError as error:
        raise SystemExit(f"port {port} cannot be used ({error.strerror or error}); choose another: PORT=3001") from None
    (socket,) = server._sockets.values()
    print(f"http://127.0.0.1:{socket.getsockname()[1]}/", flush=True)
    await asyncio.Event().wait()


def run_both(server: Path, main: Callable[..., Awaitable[None]]) -> None:
    """Start both, and serve until the process is ended: by ``[port] [moved routes]`` of the command line.

    Args:
        server: Node's program, which prints its port.
        main: Tornado's, which takes its port, Node's port and the moved routes.
    """
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_run_both(server, main, *sys.argv[1:]))


async def _run_both(server: Path, main: Callable[..., Awaitable[None]], port: str = "3000", *moved: str) -> None:
    if shutil.which("node") is None:
        raise SystemExit("this sample needs Node 20 or later: there is no program node")
    node = await asyncio.create_subprocess_exec("node", str(server), "0", stdout=asyncio.subprocess.PIPE)
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        assert node.stdout is not None
        node_port = (await node.stdout.readline()).decode().strip()
        if not node_port:
            raise SystemExit(f"Node does not start; if it lacks a module, run `npm ci` in samples/{server.parent.name}")
        await main(port, node_port, *moved)
    finally:
        if node.returncode is None:
            node.terminate()
        await node.wait()
