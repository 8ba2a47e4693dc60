"""Names of the original and of other libraries are errors that tell the name here."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
from stores import STORES
from visitors import SECRET
from web.handlers import on_session

from node_session import NodeSession, Session
from node_session.csrf_token import CsrfToken
from node_session.drivers import MemoryDriver
from node_session.records import Records


@pytest.fixture(params=STORES, ids=["memory", "file", "sqlite"])
def options(request):
    return request.param


def told(caplog, line: str) -> bool:
    """Whether the log has a line, after which some versions of Python suggest a name."""
    return re.search(re.escape(line) + r"(\. Did you mean: '\w+'\?)?$", caplog.text, re.MULTILINE) is not None


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        *[
            (name, f"use {cure}()")
            for name, cure in {
                "getToken": "get_token",
                "regenerateToken": "regenerate_token",
                "getId": "get_id",
                "setId": "set_id",
                "getName": "get_name",
                "getHandler": "get_handler",
                "setExists": "set_exists",
                "flashInput": "flash_input",
                "ageFlashData": "age_flash_data",
                "id": "get_id",
                "sessionID": "get_id",
                "token": "get_token",
                "destroy": "invalidate",
                "regenerateId": "regenerate",
            }.items()
        ],
        ("isNew", "session.report.found says whether it was found or is new"),
        ("cookie", "the cookie is sent by itself, as the options"),
        *[(name, "set_lifetime() says how long this session lives") for name in ("maxAge", "max_age", "set_expiry")],
        *[
            (name, "not needed, every change is noticed, also inside a list or dict")
            for name in ("modified", "accessed")
        ],
        ("length", "len(session) is the number of its keys"),
        ("resetMaxAge", "not needed, each response renews the session"),
        ("user", 'read it by session.get("user"), store it by session.put("user", …)'),
        ("userName", 'read it by session.get("userName"), store it by session.put("userName", …)'),
    ],
)
@pytest.mark.gen_test
async def test_a_name_of_the_original_on_a_session(visit, caplog, name, cure):
    """What another library, or JavaScript, has as an attribute is an error that names the way it is done here."""
    assert (await visit(on_session(lambda session: getattr(session, name)))).code == 500
    assert f"AttributeError: 'Session' object has no attribute '{name}': {cure}" in caplog.text
    assert ("session.get(" in caplog.text) is name.startswith("user")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("startSession", ": use start_session()"),
        ("getSession", ": use get_session()"),
        ("setEncrypter", ": use set_encrypter()"),
        ("registerHandler", ": use register_handler()"),
        ("onEvent", ": use on_event"),
        ("middleware", ""),
        ("_private", ""),
    ],
)
@pytest.mark.gen_test
async def test_a_name_of_the_original_on_a_node_session(visit, caplog, name, cure):
    """So it is for a NodeSession, whose other attributes are no keys."""
    assert (await visit(lambda handler: getattr(handler.node_session, name))).code == 500
    assert told(caplog, f"AttributeError: 'NodeSession' object has no attribute '{name}'{cure}")


def test_every_method_of_the_original_has_its_hint():
    """Each public method with two words in its name is found by its name in camelCase."""
    for cls in (Session, NodeSession):
        for name, _ in inspect.getmembers(cls, callable):
            first, *rest = name.split("_")
            if first and rest:
                camel = first + "".join(each.title() for each in rest)
                object = Session("s", Records(MemoryDriver(0))) if cls is Session else NodeSession({"secret": SECRET})
                with pytest.raises(AttributeError, match=f"use {name}\\(\\)$"):
                    getattr(object, camel)


def test_protocols_are_not_disturbed():
    """Code that asks an object for its abilities gets Python's own answer."""
    session = Session("s", Records(MemoryDriver(0)))
    session["list"] = [1]
    for name in ("__await__", "__deepcopy__", "__array__", "_repr_html_", "_ipython_display_", "__fspath__"):
        with pytest.raises(AttributeError) as caught:
            getattr(session, name)
        assert str(caught.value).endswith(f"has no attribute {name!r}")
    assert not hasattr(session, "user") and getattr(session, "user", 7) == 7
    assert copy.copy(session)["list"] is session["list"]
    attributes = CsrfToken()
    attributes["list"] = [1]
    for copied in (copy.deepcopy(attributes), pickle.loads(pickle.dumps(attributes))):
        assert dict(copied) == {"list": [1]}
    assert inspect.signature(session.put) and not inspect.isawaitable(session)
    assert "list" not in dir(session)


def test_an_error_in_a_property_is_seen():
    """An AttributeError that a property raises is not taken for a property that is missing."""

    class Mine(Session):
        @property
        def user(self):
            return None.name

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'name'"):
        _ = Mine("s", Records(MemoryDriver(0))).user


def test_names_are_data():
    """A name from somebody else can break no line of a log."""
    with pytest.raises(AttributeError) as caught:
        getattr(Session("s", Records(MemoryDriver(0))), "a\nCRITICAL all is lost")
    assert str(caught.value).isprintable()
