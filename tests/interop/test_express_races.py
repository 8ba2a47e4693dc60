"""Concurrent requests of one session to Express and to processes of ours: ours never overwrites what Express saves."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from doors import SECRET

from node_session import cookies

TEXT = '{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"passport":{"user":"ann"},"n":0'


@pytest.fixture
def new_cookie(express_store, open_express_door):
    """Stores a session of a user, and gives its id and its cookie."""
    numbers = iter(range(100))
    open_express_door("express5", express_store)  # which makes the table

    def new_cookie() -> tuple[str, str]:
        id = f"race-{next(numbers):02d}-{time.time_ns():x}"
        express_store.write(id, f'{TEXT},"__lastAccess":{int(time.time() * 1000)}}}', time.time() + 3600)
        return id, f"connect.sid={cookies.sign(id, SECRET)}"

    return new_cookie


def content(store, id: str) -> dict | None:
    stored = store.read(id)
    return None if stored is None else json.loads(stored.text)


def during(tmp_path: Path, door, calls: list, cookie: str, meanwhile) -> int:
    """The status of a request of ours that is under way while something else happens."""
    name = tmp_path / f"go-{time.time_ns()}"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(door.send, calls, cookie, **{"Wait-For": str(name)})
        try:
            while not Path(f"{name}.waiting").exists():
                assert not answer.done(), answer.result()
                time.sleep(0.01)
            meanwhile()
        finally:
            name.touch()
        return answer.result()[0]


def test_processes_of_ours(express_store, open_express_door, new_cookie):
    """Of concurrent counts in two processes none is lost."""
    id, cookie = new_cookie()
    doors = [open_express_door("ours", express_store) for _ in range(4)]  # two requests would share a connection
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda door: [door.send([["increment", "n"]], cookie)[0] for _ in range(10)], doors):
            assert answers == [200] * 10
    assert content(express_store, id)["n"] == 40


def test_express_saves_meanwhile(express_store, open_express_door, new_cookie, tmp_path):
    """What Express has saved while a request of ours ran stays, beside our own change."""
    ours, express = open_express_door("ours", express_store), open_express_door("express5", express_store)
    id, cookie = new_cookie()
    calls = [["set", "n", 1], ["set", "theirs", 1], ["forget", "passport"]]
    assert during(tmp_path, ours, [["set", "ours", 1]], cookie, lambda: express.send(calls, cookie)) == 200
    found = content(express_store, id)
    assert (found["n"], found["theirs"], found["ours"]) == (1, 1, 1)
    assert "passport" not in found


@pytest.mark.parametrize(
    "calls",
    [[], [["set", "a", 1]], [["note", "a", 1]], [["move"]], [["regenerate"]], [["own", "ann"]], [["maxAge", 60_000]]],
    ids=str,
)
@pytest.mark.parametrize("how", ["logout", "destroy"])
def test_a_log_out_meanwhile(express_store, open_express_door, new_cookie, tmp_path, how, calls):
    """A log-out at Express holds, whatever a request of ours that was under way does: nobody has that login again."""
    ours, express = open_express_door("ours", express_store), open_express_door("express5", express_store)
    before = express_store.raw().keys()
    id, cookie = new_cookie()
    assert during(tmp_path, ours, calls, cookie, lambda: express.send([[how]], cookie)) == 200
    assert express_store.read(id) is None
    new = [str(text) for name, text in express_store.raw().items() if name not in before]
    assert not any('"user"' in text for text in new)
