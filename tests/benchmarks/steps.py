"""The time of each step of a request: part of make bench, or run this file.

The best of several runs each, in microseconds. In a server a step takes about twice as long, as the processor has done
something else since the last time.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from typing import Any

from contestants import SECRET, session_data

from node_session import cookies, ids, paths, serializer
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.drivers import MemoryDriver
from node_session.legacy_encryption import LegacyEncrypter
from node_session.merge import merge
from node_session.policy import Policy
from node_session.records import Records
from node_session.saving import stage as stage_work
from node_session.session import Session, work_of

ID = "A" * 40
POLICY = Policy(strict=True)
SIZES = (300, 4_000, 64_000)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def steps(size: int) -> dict[str, Callable[[], Any]]:
    """The steps, by name, with a session of a size."""
    session = {"_token": "t" * 40, "data": session_data(size), "flash": {"old": [], "new": []}}
    text = serializer.dumps(session)
    attributes, other = serializer.loads(text), serializer.loads(text)
    other["count"] = 1
    dated = {**attributes, "at": datetime(2026, 11, 22, tzinfo=timezone.utc)}
    value = cookies.sign(ID, SECRET)
    header = f"theme=dark; node_session={value}; _ga=GA1.1.1234567890.1700000000"
    set_cookie = cookies.SetCookie("node_session", lifetime=300_000, same_site="lax")
    ours, legacy = AuthenticatedEncrypter([SECRET]), LegacyEncrypter([SECRET])
    encrypted, legacy_text = ours.encrypt(text, ID), legacy.encrypt(text, ID)
    driver = MemoryDriver(300_000)
    run(driver.write(ID, text, None))

    records = Records(driver, POLICY)

    def start() -> Session:
        session = Session("node_session", records, ID)
        run(session.start())
        return session

    work = work_of(start())

    def stage() -> None:
        work.content.ages_flash = True
        stage_work(work)

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
        "write the text, with one datetime": lambda: serializer.dumps(dated, text),
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
