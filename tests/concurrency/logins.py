"""A user logs in and out through concurrent processes: is each device that is logged in listed, and no other?"""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .fleet import PATIENCE, Fleet

OWNER = "Ann"


class Device:
    """A browser that keeps its cookie, and asks a process at random."""

    def __init__(self, fleet: Fleet, choose: random.Random) -> None:
        self.ports, self.choose, self.cookie = fleet.ports, choose, None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.choose.choice(self.ports), timeout=PATIENCE)
        headers = {"Cookie": self.cookie} if self.cookie else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status == 200, f"{method} {path}: {response.status}"
        if response.headers["Set-Cookie"]:
            self.cookie = response.headers["Set-Cookie"].partition(";")[0]
        return json.loads(content) if content else None

    @property
    def id(self) -> str | None:
        """The device as its session names it; None: it is not logged in."""
        return self.ask("GET", "/owner")


def log_in_and_out(
    config: Mapping[str, Any], processes: int = 8, *, clients: int = 8, logins: int = 25, careless: bool = False
) -> None:
    """Let clients log the same user in, each many times; half of the devices get new ids, a third log out again.

    Then let them do so while one client logs the user out everywhere, again and again. Then log out once more.

    Args:
        config: For `NodeSession`; must be JSON.
        processes: How many servers.
        clients: Each logs in again and again, all clients concurrently.
        logins: Of each client.
        careless: Switch compare-and-swap off.

    Raises:
        AssertionError: A device is missing in the list, or one is in it that is logged out.
    """
    config = {"secret": "a-secret-for-the-hammer-0123456789abcdef", "lottery": [0, 100], **config}
    with (
        Fleet(config, processes, longest=0.002, careless=careless) as fleet,
        ThreadPoolExecutor(clients + 1) as threads,
    ):

        def work(number: int) -> list[Device]:
            choose, made = random.Random(f"login {number}"), []
            for each in range(logins):
                device = Device(fleet, choose)
                device.ask("POST", "/login", OWNER)
                if each % 2:
                    device.ask("POST", "/rotate", bool(each % 4 == 1))
                if each % 3 == 0:
                    device.ask("POST", "/logout")
                made.append(device)
            return made

        def log_out(number: int) -> list[Device]:
            device = Device(fleet, random.Random(f"log-out {number}"))
            for _ in range(logins):
                device.ask("POST", "/everywhere", OWNER)
            return []

        asking = Device(fleet, random.Random("asking"))

        def check(devices: list[Device]) -> int:
            logged_in = sorted(id for id in threads.map(lambda device: device.id, devices) if id)
            listed = sorted(asking.ask("POST", "/devices", OWNER))
            assert listed == logged_in, f"{len(listed)} devices are listed, and {len(logged_in)} are logged in"
            return len(listed)

        devices = [device for made in threads.map(work, range(clients)) for device in made]
        expected = clients * sum(each % 3 != 0 for each in range(logins))
        assert check(devices) == expected, f"{expected} devices must be logged in"
        jobs = [threads.submit(work, clients + number) for number in range(clients)]
        jobs.append(threads.submit(log_out, 0))
        devices += [device for job in jobs for device in job.result()]
        check(devices)
        asking.ask("POST", "/everywhere", OWNER)
        assert check(devices) == 0, "all devices must be logged out"
