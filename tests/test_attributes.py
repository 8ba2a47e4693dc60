"""A session as a mapping; refused values and explained names; over HTTP on each kind of store."""

from __future__ import annotations

import copy
import traceback
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import STORES
from visitors import store_record
from web.handlers import on_session
from world import make_session

from node_session import paths
from node_session.csrf_token import CsrfToken
from node_session.drivers import MemoryDriver


@pytest.fixture(params=STORES, ids=["memory", "file", "sqlite"])
def options(request):
    return request.param


# -------------------------------------------------------------------- refused values

POLLUTED = {"__proto__": {"polluted": True}}


@pytest.mark.parametrize(
    ("work", "key"),
    [
        (lambda session: session.put("form", {"x": [POLLUTED]}), "form.x[0].__proto__"),
        (lambda session: session.put({"form": POLLUTED}), "form.__proto__"),
        (lambda session: session.set("__proto__.polluted", True), "__proto__"),
        (lambda session: session.set('a["__proto__"].polluted', True), "a.__proto__"),
        (lambda session: session.update(form=POLLUTED), "form.__proto__"),
        (lambda session: session.push("list", POLLUTED), "list[0].__proto__"),
        (lambda session: session.get("live").update(POLLUTED), "live.__proto__"),
        (lambda session: session.all().update(POLLUTED), "__proto__"),
        (lambda session: session.flash_input(POLLUTED), "_old_input[0].__proto__"),
        (lambda session: session.increment("__proto__.n"), "__proto__"),
    ],
)
@pytest.mark.gen_test
async def test_proto_is_refused(visit, visitor, caplog, work, key):
    """Whichever way a key __proto__ gets into a session, it is a 500 that names it, and nothing is stored."""
    await visit(on_session(lambda session: session.put("live", {"n": 1})))
    before = await visitor.stored()
    assert (await visit(on_session(work))).code == 500
    assert f"cannot store the session: {key} would pollute" in caplog.text
    assert await visitor.stored() == before
    assert (await visit()).code == 200


@pytest.mark.gen_test
async def test_a_stored_proto_logs_nobody_out(visit, visitor, caplog):
    """A session that a Node program has stored with such a key is read without it, and cleaned when it changes."""
    await store_record(visitor, {"_token": "t", "user": "ann", "form": {**POLLUTED, "x": 1}})
    seen = []
    assert (await visit(on_session(lambda session: seen.append(dict(session))))).code == 200
    assert seen == [{"_token": "t", "user": "ann", "form": {"x": 1}}]
    assert "the key form.__proto__," in caplog.text
    await visit(on_session(lambda session: session.put("n", 1)))
    stored = await visitor.stored()
    assert (stored["user"], stored["form"], stored["n"]) == ("ann", {"x": 1}, 1)


class Thing:
    pass


def deep():
    value = []
    for _ in range(300):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (lambda session: session.put("x", {1, 2}), "SerializationError: cannot store the session: x is of type set"),
        (lambda session: session.put("x", Decimal(1)), "SerializationError: cannot store the session: x is of type D"),
        (lambda session: session.put("x", b"1"), "SerializationError: cannot store the session: x is of type bytes"),
        (lambda session: session.put("x", Thing()), "SerializationError: cannot store the session: x is of type Thing"),
        (
            lambda session: session.put("x", {(1,): 1}),
            "SerializationError: cannot store the session: x has a key of type tuple",
        ),
        (lambda session: session.put("x", 10**5000), "SerializationError: cannot store the session: x is an integer"),
        (lambda session: session.put("x", deep()), "SerializationError: cannot store the session: x[0][0]… is nested"),
        (lambda session: session.put("x", POLLUTED), "SerializationError: cannot store the session: x.__proto__"),
        (lambda session: session.push("x", {1}), "SerializationError: cannot store the session: x[0] is of type set"),
        (lambda session: session.set("list.name", 1), "PathError: cannot store under 'list.name'"),
        (lambda session: session.setdefault("list.name", 1), "PathError: cannot store under 'list.name'"),
        (lambda session: session["nothing"], "KeyError: 'nothing'"),
        (lambda session: session.pop("nothing"), "KeyError: 'nothing'"),
        (lambda session: session.getToken(), "AttributeError: 'Session' object has no attribute 'getToken'"),
    ],
)
@pytest.mark.gen_test
async def test_one_traceback(visit, caplog, work, error):
    """A value or key that cannot be stored is logged as one traceback, whose error names the problem."""
    await visit(on_session(lambda session: session.put("list", [1])))
    caplog.clear()
    assert (await visit(on_session(work))).code == 500
    (logged,) = [record.exc_info for record in caplog.records if record.exc_info]
    shown = "".join(traceback.format_exception(*logged))
    assert shown.count("Traceback") == 1
    assert error in shown.splitlines()[-1]


# -------------------------------------------------------------------- a mapping

TWINS = {"a": {"b": 1}, "a.b": "x", "c[0]": [2], "c": [1]}


@pytest.mark.gen_test
async def test_a_key_that_looks_like_a_path(visit, visitor):
    """Literal keys go before paths in all a mapping does; get() and put() keep the original's rule."""
    await store_record(visitor, {"_token": "t", **TWINS})
    seen = {}

    def read(session):
        seen.update(items=dict(session.items()), values=[*session.values()], copy=dict(session))
        seen.update(item=session["a.b"], get=session.get("a.b"))

    await visit(on_session(read))
    whole = {"_token": "t", **TWINS}
    assert (seen["items"], seen["values"], seen["copy"]) == (whole, [*whole.values()], whole)
    assert (seen["item"], seen["get"]) == ("x", 1)

    def change(session):
        session["a.b"] = "y"
        session["c[0]"].append(3)
        session.put("a.b", 2)

    await visit(on_session(change))
    stored = await visitor.stored()
    assert (stored["a"], stored["a.b"], stored["c"], stored["c[0]"]) == ({"b": 2}, "y", [1], [2, 3])
    popped = []
    await visit(on_session(lambda session: popped.extend([session.pop("a.b"), session.pop("a.b")])))
    assert popped == ["y", 2]
    stored = await visitor.stored()
    assert stored["a"] == {} and "a.b" not in stored


@pytest.mark.gen_test
async def test_update_in_place(visit, visitor):
    """`session |= {…}` changes the session, under each of its names; `session | {…}` is a dict."""
    seen = []

    def work(handler):
        session = handler.session
        session |= {"one": 1, "a.b": 2}
        handler.session |= [("two", 2)]
        handler.request.session |= {"three": 3}
        seen.extend(
            [session is handler.session is handler.request.session, session | {"one": 0}, {"five": 5} | session]
        )

    assert (await visit(work)).code == 200
    stored = await visitor.stored()
    token = stored["_token"]
    own = {"_token": token, "one": 1, "a": {"b": 2}, "two": 2, "three": 3}
    assert seen == [True, {**own, "one": 0}, {"five": 5, **own}]
    assert {key: stored[key] for key in own} == own


@pytest.mark.gen_test
async def test_a_session_is_not_replaced(visit, visitor, caplog):
    """To put another thing in the place of a handler's session is an error that tells how to change it."""
    assert (await visit(lambda handler: setattr(handler, "session", {"user": "ann"}))).code == 500
    assert "self.session.put(" in caplog.text


def test_truth_and_identity():
    """An empty session is true; it equals a dict of its content, another session never, and it can be in a set."""
    one, other = (make_session(MemoryDriver(0)) for _ in range(2))
    assert one and len(one) == 0
    assert one == {} and one == one and one != other and one != {"a": 1} and one != 1
    assert len({one, other, one}) == 2 and {one: 1}[one] == 1
    one["a"] = 1
    assert one == {"a": 1} and one in {one}


KEYS = st.sampled_from(["a", "b", "a.b", "a[0]", "a.b.c", '["a"]', "b.", "", "a]", "a['b']", "_token", "flash"])
VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "set", "delete", "pop", "pop default", "popitem", "update", "in", "default", "or"]),
        KEYS,
        VALUES,
    ),
    max_size=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5), STEPS)
def test_laws_of_mappings(content, steps):
    """On keys that are there a session does what a dict does; a key that is not there is a path."""
    session, model = CsrfToken(), copy.deepcopy(content)
    session.all().update(copy.deepcopy(content))
    for step, key, value in steps:
        is_there = key in model
        found = model[key] if is_there else paths.find(model, key)
        assert (key in session) is (found is not paths.MISSING)
        if found is paths.MISSING and step in ("get", "delete", "pop"):
            with pytest.raises(KeyError):
                {"get": session.__getitem__, "delete": session.__delitem__, "pop": session.pop}[step](key)
        elif step == "get":
            assert session[key] == found
        elif step in ("delete", "pop", "pop default"):
            if step == "delete":
                del session[key]
            elif step == "pop":
                assert session.pop(key) == found
            else:
                assert session.pop(key, "none") == ("none" if found is paths.MISSING else found)
            model.pop(key) if is_there else paths.remove(model, key)
        elif step == "popitem" and model:
            name, popped = session.popitem()
            assert model.pop(name) == popped
        elif step in ("set", "update", "default", "or") and not (step == "default" and found is not paths.MISSING):
            try:
                model.update({key: value}) if is_there else paths.assign(model, key, copy.deepcopy(value))
            except paths.PathError:
                continue
            value = copy.deepcopy(value)
            if step == "set":
                session[key] = value
            elif step == "update":
                session.update({key: value})
            elif step == "default":
                assert session.setdefault(key, value) is value
            else:
                session |= {key: value}
        elif step == "default":
            assert session.setdefault(key, value) == found
        assert dict(session) == model == session and [*session] == [*model] == [*session.keys()]
        assert [*session.items()] == [*model.items()] and [*session.values()] == [*model.values()]
        assert len(session) == len(model) and all(each in session and session[each] == model[each] for each in model)
        assert session | {"a": 0} == {**model, "a": 0} and {"a": 0} | session == {"a": 0, **model}


def test_a_key_that_is_no_text():
    """Keys that a program has put into all() itself, and that are stored as text, are found as in a dict."""
    session = CsrfToken()
    session.all().update({1: "a", None: "b"})
    assert dict(session) == {1: "a", None: "b"} and 1 in session and 2 not in session
    assert (session.pop(1), session.popitem(), len(session)) == ("a", (None, "b"), 0)
    with pytest.raises(TypeError, match="keys are strings"):
        session[1]
