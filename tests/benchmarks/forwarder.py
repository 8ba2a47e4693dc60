"""A database that is some milliseconds away: passes connections on to a port of this machine, with a delay.

    with forwarder.running(5432, 10) as port:    # a round trip by this port takes 10 ms longer
        ...

    python tests/benchmarks/forwarder.py 5432 10    # prints its port; ends with its standard input

The way is long and not narrow: any number of pieces is on the way, and all arrive in their order. The forwarder is a
process of its own, so that it takes no time from the program that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def running(target: int, delay: float) -> Iterator[int]:
    """The port of a forwarder that runs meanwhile.

    Args:
        target: The port to pass connections on to.
        delay: Milliseconds, half of them in each direction.
    """
    command = [sys.executable, __file__, str(target), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def forward(target: int, delay: float) -> asyncio.Server:
    """Start to pass connections on to a port."""
    seconds = delay / 1000 / 2

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_carry(reader, forth, seconds), _carry(back, writer, seconds))
        forth.close()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def depart() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(1 << 16)
            except OSError:
                data = b""
            on_the_way.put_nowait((loop.time() + seconds, data))

    async def arrive() -> None:
        while True:
            due, data = await on_the_way.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            writer.write(data)
        with contextlib.suppress(OSError):  # the other direction may have more to say
            writer.write_eof()

    await asyncio.gather(depart(), arrive())


async def _main() -> None:
    server = await forward(int(sys.argv[1]), float(sys.argv[2]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
