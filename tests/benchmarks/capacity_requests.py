"""Requests a second with `HTTPServer.start(1)` and `HTTPServer.start(2)`, and the CPU time of a request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import load
from capacity_measure import ROUNDS
from capacity_store import Store, cpu_of
from contestants import HERE, session_data

PROCESSES = (1, 2)
CONNECTIONS = 32
SESSIONS = 256
SIZE = 300
PATHS = ("/read", "/write")

Sample = dict[str, float]
"""Requests a second ("rate"), microseconds of CPU a request in Tornado's processes ("process"), in the store's
("server")."""


class App:
    """So many processes on one port.

    Args:
        config: Of the sessions; None: no sessions at all.
    """

    def __init__(self, config: dict[str, Any] | None, processes: int) -> None:
        told = {
            "layer": "ours" if config else "bare",
            "config": config,
            "data": session_data(SIZE),
            "processes": processes,
        }
        command = [sys.executable, HERE / "servers" / "forked_app.py"]
        # A session of its own, so that the signal reaches all of them: the first process only waits for the others.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, **pipes, text=True, start_new_session=True)
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.close()
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("the server did not start")
        self.port = int(line)
        self._wait()

    def _wait(self) -> None:
        """Wait until it answers; each new connection may reach another process, which connects to the store then."""
        for _ in range(20):
            for attempt in range(100):
                try:
                    load.new_sessions(self.port, 1)
                    break
                except OSError:
                    if attempt == 99 or self._process.poll() is not None:
                        raise
                    self._process.poll()
                    asyncio.run(asyncio.sleep(0.05))

    def cpu(self) -> float:
        return cpu_of(self._process.pid)

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        self._process.stdout.close()


def measure_bare(seconds: float) -> dict[str, Any]:
    """Measure the same handler without any session."""
    return {str(processes): _measure_app(None, None, processes, seconds) for processes in PROCESSES}


def measure_requests(store: Store, seconds: float) -> dict[str, Any]:
    """Measure reading and writing with each number of processes."""
    config = store.config("requests")
    asyncio.run(store.make_table(config))
    # Each process has a memory of its own, so that two would not find each other's sessions.
    numbers = PROCESSES[:1] if store.name == "memory" else PROCESSES
    return {str(processes): _measure_app(store, config, processes, seconds) for processes in numbers}


def _measure_app(
    store: Store | None, config: dict[str, Any] | None, processes: int, seconds: float
) -> dict[str, list[Sample]]:
    app = App(config, processes)
    try:
        cookies = load.new_sessions(app.port, SESSIONS)
        samples: dict[str, list[Sample]] = {path: [] for path in PATHS}
        for turn in range(ROUNDS + 1):
            for path, taken in samples.items():
                before, stored = app.cpu(), store.cpu() if store else 0
                served = load.put(app.port, path, cookies, CONNECTIONS, seconds)
                spent, at_store = app.cpu() - before, (store.cpu() if store else 0) - stored
                if turn:  # the first is to warm up
                    taken.append(
                        {
                            "rate": served.requests / served.seconds,
                            "process": spent / served.requests * 1e6,
                            "server": at_store / served.requests * 1e6,
                        }
                    )
        return samples
    finally:
        app.close()
