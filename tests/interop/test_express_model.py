"""What the proof of express-session's format rests on: up-to-date vectors, and a model that notices differences."""

from __future__ import annotations

import json
import random
import subprocess

import pytest
from doors import HERE
from express_model import Visitor, csurf_token, request, sign
from express_stores import FileStore

VECTORS = json.loads((HERE / "express_vectors.json").read_text("utf-8"))


def test_vectors_are_up_to_date(needs_express, tmp_path):
    """What the installed packages do now is what was recorded."""
    recorded = tmp_path / "vectors.json"
    subprocess.run(["node", "record_express_vectors.js", str(recorded)], check=True, cwd=HERE)
    assert recorded.read_text("utf-8") == (HERE / "express_vectors.json").read_text("utf-8")


@pytest.mark.parametrize("vector", VECTORS["cookies"], ids=lambda vector: ascii(vector["id"][:10]))
def test_sign(vector):
    """The model signs as express-session does."""
    assert sign(vector["id"], "name", vector["secret"]) == f"name={vector['value']}"


def test_csurf_token():
    """The model makes csurf's tokens."""
    vectors = [each for each in VECTORS["csurf"] if each["passes"] and each["token"].isascii()]
    for vector in vectors:
        secret = vector["secret"].encode("utf-16-le")[::2].decode("latin-1")  # the low bytes, as csurf takes them
        assert csurf_token(secret, vector["token"].partition("-")[0]) == vector["token"]
    assert len(vectors) == 15


class Liar:
    """A side that holds a record and says what it is told to say.

    Attributes:
        side: Its name in problems.
    """

    side = "liar"

    def __init__(self, store: FileStore) -> None:
        self.store = store

    def answer(self, results: list, id: str | None = None, status: int = 200, record: dict | None = None) -> None:
        """Give this with the next request, and leave the record."""
        self._answer = status, json.dumps(results).encode(), [f"{sign(id)}; Path=/"] if id else []
        if record is not None:
            self.store.write("A" * 32 if id is None else id, json.dumps(record), 0)

    def send(self, calls: list, cookie: str | None) -> tuple[int, bytes, list[str]]:
        return self._answer


ID, OTHER = "A" * 32, "B" * 32


def record(content: dict, last_access: float = 0, cookie: object = ...) -> dict:
    cookie = {"originalMaxAge": None, "expires": None} if cookie is ... else cookie
    return {"cookie": cookie, **content, "__lastAccess": last_access}


@pytest.fixture
def visitor(monkeypatch):
    """A visitor at 1000 s after 1970, whose session holds {"a": 1}; he knows one side, which is a liar."""
    monkeypatch.setattr("express_model.time.time", lambda: 1000)
    store = FileStore()
    visitor = Visitor(store)
    visitor.liar = Liar(store)
    visitor.liar.answer([None, {"a": 1}], ID, record=record({"a": 1}, 1_000_000))
    visitor.visit(visitor.liar, [["set", "a", 1]])
    assert visitor.problems == []
    yield visitor
    store.close()


GOOD = record({"a": 2}, 1_000_000)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"results": [None, {"a": 2}], "record": GOOD}, None),
        ({"results": [None, {"a": 1}], "record": GOOD}, "gave"),
        ({"results": [None, {"a": True}], "record": GOOD}, "gave"),
        ({"results": [1, {"a": 2}], "record": GOOD}, "gave"),
        ({"results": [None, {"a": 2, "b": 1}], "record": GOOD}, "gave"),
        ({"results": [], "status": 500, "record": GOOD}, "500"),
        ({"results": [None, {"a": 2}], "id": OTHER, "record": GOOD}, "the id changed"),
        ({"results": [None, {"a": 2}]}, "the record holds"),
        ({"results": [None, {"a": 2}], "record": record({"a": 3}, 1_000_000)}, "the record holds"),
        ({"results": [None, {"a": 2}], "record": record({"a": 2}, 900_000)}, "it ends"),
        ({"results": [None, {"a": 2}], "record": record({"a": 2}, 1_000_001)}, "it ends"),
        (
            {"results": [None, {"a": 2}], "record": record({"a": 2}, 1_000_000, {"originalMaxAge": 5_000})},
            "the record's cookie",
        ),
    ],
    ids=str,
)
def test_a_difference_is_noticed(visitor, answer, problem):
    """Another result, id, status, content, cookie or end is a problem; what the model expects is none."""
    visitor.liar.answer(**answer)
    visitor.visit(visitor.liar, [["set", "a", 2]])
    if problem is None:
        assert visitor.problems == []
    else:
        assert any(problem in each for each in visitor.problems)


@pytest.mark.parametrize("calls", [[["regenerate"]], [["login", "ann", "password of ann"]], [["logout"]]], ids=str)
def test_a_kept_id_is_noticed(visitor, calls):
    """After calls that leave the id behind, the same id is a problem, and so is the old record."""
    content = {"passport": {"user": "ann"}} if "login" in calls[0] else {}
    result = True if "login" in calls[0] else None
    visitor.liar.answer([result, content], record=record(content, 1_000_000))
    visitor.visit(visitor.liar, calls)
    assert any("there is no new id" in each for each in visitor.problems)
    visitor.problems.clear()
    visitor.liar.answer([result, content], OTHER, record=record(content, 1_000_000))
    visitor.visit(visitor.liar, calls)
    assert [each for each in visitor.problems if "the old record is still there" in each]


def test_requests_are_the_same_each_time(visitor):
    """A seed gives the same requests in each run, of all kinds."""
    first, second = ([request(chance, visitor) for _ in range(500)] for chance in (random.Random(1), random.Random(1)))
    assert first == second
    assert len({call[0] for calls in first for call in calls}) == 18
