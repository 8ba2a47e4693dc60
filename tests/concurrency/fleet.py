"""Processes that serve the sessions of one store, and clients of theirs."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]

# Seconds that a request of a requests' storm may take before it counts as hanging.
PATIENCE = 60


class Fleet:
    """Server processes, each on a port of its own; see server.py.

    Args:
        config: For `NodeSession`; must be JSON.
        processes: How many.
        longest: Seconds a request takes at most, between loading and using its session.
        careless: Switch compare-and-swap off.
    """

    def __init__(
        self, config: Mapping[str, Any], processes: int, *, longest: float = 0.009, careless: bool = False
    ) -> None:
        options = {"config": config, "longest": longest, "careless": careless}
        command = [sys.executable, "-m", "concurrency.server"]
        self._processes = [
            subprocess.Popen([*command, json.dumps({**options, "number": each})], stdout=subprocess.PIPE, cwd=TESTS)
            for each in range(processes)
        ]

    def __enter__(self) -> Fleet:
        try:
            self.ports = [int(process.stdout.readline()) for process in self._processes]
        except ValueError:
            self.__exit__()
            raise RuntimeError("a server did not start; what it says about it is above") from None
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
            process.stdout.close()


class Client:
    """One browser tab: sends requests one after the other, each to a process picked at random."""

    def __init__(self, fleet: Fleet, cookie: str | None = None) -> None:
        self._connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE) for port in fleet.ports]
        self.cookie = cookie

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """The body of the answer.

        Raises:
            AssertionError: It is not a 200.
        """
        connection = random.choice(self._connections)
        headers = {"Cookie": self.cookie} if self.cookie else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise AssertionError(f"{method} {path} {body}: {response.status}")
        line = response.headers["Set-Cookie"]
        if self.cookie is None:
            self.cookie = line.partition(";")[0]
        elif line is not None and line.partition(";")[0] != self.cookie:
            raise AssertionError(f"{method} {path} {body}: the session is lost, there is another cookie")
        return content

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
