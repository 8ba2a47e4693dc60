"""The cookie that is received: bad, forged, old, and without a record."""

from __future__ import annotations

import pytest
from visitors import stored_record

from node_session import NodeSession
from web.handlers import Count, Return, route

pytestmark = pytest.mark.gen_test


BAD_COOKIES = [
    "",
    "s%3A",
    "s%3A" + "A" * 40,
    "s%3A" + "A" * 40 + "." + "B" * 43,
    "s%3A" + "../" * 20,
    "s%3A../../../etc/passwd." + "B" * 43,
    "s%3A" + "A" * 37 + "%00%0A." + "B" * 43,
    "j%3A{}",
    "%",
    "%zz%ff",
    '"',
    "A" * 8000,
    "s%3A" + "é" * 40 + ".x",
]


@pytest.mark.parametrize("value", BAD_COOKIES, ids=range(len(BAD_COOKIES)))
async def test_bad_cookie(app, visitor, value, tmp_path):
    """For any invalid cookie, the answer is a fresh session with an id of its own."""
    route(app, page=Return)
    response = await visitor.get("/page", headers={"Cookie": f"node_session={value}"})
    assert response.code == 200
    assert len(visitor.id) == 40 and visitor.id != "A" * 40
    files = [each.name for each in (tmp_path / "sessions").iterdir() if not each.name.startswith(".")]
    assert files == [visitor.id]


async def test_forged_cookie_before_the_real_one(app, visitor):
    """Of several cookies of the name the first that verifies counts: a planted one does not log anybody out."""
    route(app, page=Return)
    await visitor.get("/page")
    real, id = visitor.cookie, visitor.id
    forged = "s%3A" + "B" * 40 + "." + "C" * 43
    await visitor.get("/page", headers={"Cookie": f"node_session={forged}; x=1; node_session={real}"})
    assert visitor.id == id
    assert (await visitor.stored())["count"] == 2


async def test_unknown_signed_id(app, visitor):
    """A signed id without a record is replaced: nobody can be made to use a session that another knows."""
    route(app, page=Return)
    visitor.use_id("F" * 40)
    await visitor.get("/page")
    assert visitor.id != "F" * 40


@pytest.mark.parametrize("options", [{"strict": False}])
async def test_unknown_signed_id_is_adopted_without_strict(app, visitor):
    """strict: false takes over a signed id without a record, as the original does."""
    route(app, page=Return)
    visitor.use_id("F" * 40)
    await visitor.get("/page")
    assert visitor.id == "F" * 40
    assert (await visitor.stored())["count"] == 1


async def test_old_secret(app, visitor, config, base_url, http_client):
    """A cookie under an old secret is still valid, and is signed again."""
    route(app, page=Return)
    await visitor.get("/page")
    id = visitor.id
    app.settings["node_session"] = renewed = NodeSession(
        {**config, "secret": ["the-new-secret-" * 3, config["secret"]]}
    )
    response = await visitor.get("/page")
    assert response.headers["Set-Cookie"].startswith("node_session=s%3A" + id)
    assert visitor.id is None  # under the old secret
    app.settings["node_session"] = NodeSession({**config, "secret": "the-new-secret-" * 3})
    await visitor.get("/page")
    visitor.sessions = renewed
    assert (await stored_record(visitor, id))["count"] == 3


async def test_cookie_of_a_dead_session_first(app, visitor, new_visitor):
    """A cookie that is signed, but of a session that is gone, planted or left over, hides no other one."""
    route(app, count=Count)
    await visitor.get("/count")
    other = new_visitor()
    await other.get("/count")
    await (await other.sessions.driver()).destroy(other.id)
    header = f"node_session={other.cookie}; node_session={visitor.cookie}"
    for count in (b"2", b"3"):
        response = await visitor.get("/count", headers={"Cookie": header})
        assert response.body == count
        assert response.headers["Set-Cookie"].startswith("node_session=" + visitor.cookie)
    assert (await visitor.get("/count")).body == b"4"
