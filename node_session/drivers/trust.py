"""The connections of a pool that may still be used.

A pooled connection can be useless without showing it: a firewall or NAT has forgotten it, or the server behind it has
become a read-only replica. The first one that shows it takes its siblings with it, or each of them would cost another
request an error.

- Idle for longer than `IDLE_LIMIT`: not used again.
- One was silent or broke: no connection that has not answered since is used again.
- One answered "read-only": no connection opened before that is used again, whatever it has answered since, since a
  replica answers commands that only read.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from typing import Any
from weakref import WeakKeyDictionary

IDLE_LIMIT = 60
"""Seconds. The load balancers and NAT gateways of the large clouds forget a connection later (after 240 to 600)."""

KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A connection is probed after 30 s without traffic, and closed 15 s later if nobody answers."""


class Trust:
    """A record of when connections were opened, when they answered, when one failed.

    All times are seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[Any, tuple[float, float]] = WeakKeyDictionary()
        self._lost = self._demoted = -math.inf

    def knows(self, connection: object) -> bool:
        """Whether a connection has been used before."""
        return connection in self._connections

    def meet(self, connection: object, opened: float) -> bool:
        """Remember when a connection was opened; False if that is known."""
        if connection in self._connections:
            return False
        self._connections[connection] = opened, opened
        return True

    def has_answered_since(self, connection: object, when: float) -> bool:
        """Whether a connection was opened or has answered since a time."""
        return self._connections[connection][1] >= when

    def allows(self, connection: object) -> bool:
        """Whether a connection may be used; a new one may."""
        now = time.monotonic()
        opened, answered = self._connections.get(connection, (now, now))
        return opened > self._demoted and answered > self._lost and answered > now - IDLE_LIMIT

    def answered(self, connection: object) -> None:
        """Note that a connection has answered."""
        now = time.monotonic()
        opened, _ = self._connections.get(connection, (now, now))
        self._connections[connection] = opened, now

    def forget(self, connection: object) -> None:
        """Note that a connection was closed, and will be opened again."""
        self._connections.pop(connection, None)

    def lost(self) -> None:
        """Note that a connection was silent, or broke."""
        self._lost = time.monotonic()

    def demoted(self) -> None:
        """Note that a server takes no writes."""
        self._demoted = time.monotonic()


def keep_alive(transport: Any) -> None:
    """Let the system probe a connection while it is idle, if it is TCP."""
    connected = transport.get_extra_info("socket") if transport is not None else None
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # it is closed already
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in keepalive_options().items():
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def keepalive_options() -> dict[int, int]:
    """Translate `KEEPALIVE` into the system's numbers, as far as it knows them."""
    return {getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)}
