"""The identity of a session: id, cookie name, CSRF token."""

from __future__ import annotations

import pytest
from visitors import ID
from world import is_gone

from node_session import HeadersSentError
from node_session.ids import is_valid
from node_session.session import work_of

pytestmark = pytest.mark.gen_test


async def test_token(world):
    """The token is made at the start, stays, and is replaced when asked."""
    session = await world.request(lambda session: None)
    token = session.get_token()
    assert is_valid(token)
    session = await world.start()
    assert session.get_token() == token
    session.regenerate_token()
    assert session.get_token() != token
    assert session.verify_token(session.get_token())
    assert not any(map(session.verify_token, [token, "", None, 7, "é", "\ud800", session.get_token() + "x"]))
    session.put("_token", "?")  # not one of ours, but a program may set its own
    assert session.verify_token("?") and not session.verify_token("\ud800")


@pytest.mark.parametrize("token", [None, "", 0, False], ids=repr)
async def test_falsy_token_is_made_anew(world, token):
    """A missing or falsy token is replaced at the start; no empty value ever verifies."""
    session = await world.request(lambda session: session.put("_token", token))
    assert not session.verify_token("") and not session.verify_token(token)
    assert is_valid((await world.start()).get_token())


async def test_identity(world):
    """The accessors of the original."""
    session = world.session()
    assert is_valid(session.get_id())
    session.set_id(ID)
    assert session.get_id() == ID
    for invalid in (None, "", "x", ID + "A", ID[:-1] + "/", ID + "\n", 7):
        session.set_id(invalid)
        assert is_valid(session.get_id()) and session.get_id() != ID
    assert session.get_name() == "node_session"
    assert session.get_handler() is world.driver


async def test_set_exists(world):
    """set_exists(False) has the next save create a record: beside one that is there, it is merged with it."""
    session = await world.request(lambda session: session.put("a", 1))
    session.set_exists(True)
    session.set_exists(False)
    session.put("b", 2)
    await session.save()
    assert {"a": 1, "b": 2}.items() <= (await world.stored()).items()


async def test_repr_shows_no_secret(session):
    """A repr, as it gets into logs, shows neither the id nor the content."""
    session.put("password", "1234")
    assert session.get_id() not in repr(session) and "1234" not in repr(session)


async def test_an_invalid_id_is_replaced(world):
    """A session that is made with an invalid id gets a fresh one."""
    world.id = "../invalid"
    assert is_valid(world.session().get_id())


async def test_set_exists_true_changes_nothing(world):
    """set_exists(True) leaves the record as the one that the next save replaces."""
    session = await world.request(lambda session: session.put("n", 1))
    session.set_exists(True)
    session.put("n", 2)
    await session.save()
    assert (await world.stored())["n"] == 2 and session.report.conflicts == 0


async def test_invalidate_that_comes_too_late(world):
    """invalidate() after the headers is refused, and then nothing has happened to the session."""
    session = await world.request(lambda session: session.put("user", "Ann"))
    work_of(session).headers_sent = True
    with pytest.raises(HeadersSentError):
        session.invalidate()
    assert session.get("user") == "Ann" and session.get_id() == world.id


async def test_reload_of_a_new_session(world):
    """reload() of a session that was never stored leaves what this request has put into it."""
    session = await world.start()
    session.put("n", 1)
    assert await session.reload() is True
    assert session.get("n") == 1 and not is_gone(session)
