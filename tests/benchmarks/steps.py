"""What each step of a request takes, in this process: part of make bench, or python tests/benchmarks/steps.py.

The best of several runs each, in microseconds. In a server a step takes about twice as long, as the processor has done
something else since the last time.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

from contestants import SECRET, session_data

from node_session import cookies, ids, paths, serializer
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.drivers import MemoryDriver
from node_session.immediate import run
from node_session.legacy_encryption import LegacyEncrypter
from node_session.merge import merge
from node_session.store import Store, Terms

ID = "A" * 40
TERMS = Terms(strict=True)
SIZES = (300, 4_000, 64_000)


def steps(size: int) -> dict[str, Callable[[], Any]]:
    """The steps, by name, with a session of a size."""
    session = {"_token": "t" * 40, "data": session_data(size), "flash": {"old": [], "new": []}}
    text = serializer.dumps(session)
    attributes, other = serializer.loads(text), serializer.loads(text)
    other["count"] = 1
    value = cookies.sign(ID, SECRET)
    header = f"theme=dark; node_session={value}; _ga=GA1.1.1234567890.1700000000"
    set_cookie = cookies.SetCookie("node_session", lifetime=300_000, same_site="lax")
    ours, legacy = AuthenticatedEncrypter([SECRET]), LegacyEncrypter([SECRET])
    encrypted, legacy_text = ours.encrypt(text, ID), legacy.encrypt(text, ID)
    driver = MemoryDriver(300_000)
    run(driver.write(ID, text, None))

    def start() -> Store:
        session = Store("node_session", driver, ID, terms=TERMS)
        run(session.start())
        return session

    started = start()

    def stage() -> None:
        started.ages_flash = True
        started.stage()

    return {
        "find the cookie and verify it": lambda: cookies.find(header, "node_session", (SECRET,)),
        "sign an id": lambda: cookies.sign(ID, SECRET),
        "make an id": ids.generate,
        "write the Set-Cookie line": lambda: set_cookie.line(value),
        "read (memory)": lambda: run(driver.read(ID)),
        "write (memory)": lambda: run(driver.write(ID, text, text)),
        "touch (memory)": lambda: run(driver.touch(ID)),
        "parse the text": lambda: serializer.loads(text),
        "write the text, changed": lambda: serializer.dumps(attributes),
        "write the text, unchanged": lambda: serializer.dumps(attributes, text),
        "make and start a session": start,
        "see that it has not changed": stage,
        "get a dotted key": lambda: paths.find(attributes, "data.user.name"),
        "set a dotted key": lambda: paths.assign(attributes, "data.user.name", "Ann"),
        "merge two requests' changes": lambda: merge(session, attributes, other, increments={}),
        "encrypt": lambda: ours.encrypt(text, ID),
        "decrypt": lambda: ours.decrypt(encrypted, ID),
        "decrypt the original's": lambda: legacy.decrypt(legacy_text, ID),
    }


def measure(step: Callable[[], Any]) -> float:
    """Microseconds, the best of five runs."""
    timer = timeit.Timer(step)
    number = max(1, int(0.01 / max(timer.timeit(1), 1e-7)))
    return min(timer.repeat(5, number)) / number * 1e6


def table() -> str:
    """A row a step, a column a size."""
    columns = [{name: measure(step) for name, step in steps(size).items()} for size in SIZES]
    lines = [
        "## Steps\n",
        "In one process, each the best of five runs, in microseconds.\n",
        "| | " + " | ".join(f"{size / 1000:g} KB" for size in SIZES) + " |",
        "|---|" + "---:|" * len(SIZES),
    ]
    for name in columns[0]:
        lines.append(f"| {name} | " + " | ".join(f"{column[name]:.1f}" for column in columns) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table())
