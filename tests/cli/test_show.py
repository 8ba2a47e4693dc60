"""`show`: one session, found by the beginning of its id."""

from __future__ import annotations

import pytest

from cli.shop import ANN
from node_session.cli import ATTENTION


def test_show(shop):
    """Show prints what a session holds, found by the beginning of its id, without token and id."""
    shown = shop.json("show", shop.config, "Ann")
    assert shown["attributes"] == {"_token": "secret…", "user": {"name": "Ann", "age": 42}}
    assert shown["id"] == "Annaaa…" and shown["size"] == len(shop.stored()[ANN])
    text = shop.run("show", shop.config, ANN)
    assert '"name": "Ann"' in text and "secret-token" not in text and ANN not in text


def test_an_id_that_begins_with_a_dash(shop):
    """One id in 64 looks like an option; after -- it is an id."""
    shop.put("-" + "d" * 39, '{"dash":true}')
    assert shop.json("show", shop.config, "--", "-ddd")["attributes"] == {"dash": True}
    shop.run("destroy", shop.config, "--", "-" + "d" * 39)
    assert len(shop.stored()) == 3


@pytest.mark.parametrize("id", ["Zoe", "Z" * 40])
def test_show_nobody(shop, id):
    """An id that no session has is code 1, and a message that does not repeat it."""
    shop.run("show", shop.config, id, code=ATTENTION)
    assert "there is no session" in shop.errors
    assert "Z" * 40 not in shop.errors


def test_show_is_not_sure(shop):
    """An id's beginning that several sessions share is refused."""
    shop.put("Ann" + "b" * 37, "{}")
    shop.run("show", shop.config, "Ann", code=ATTENTION)
    assert "2 sessions begin with 'Ann…'" in shop.errors
    shop.run("destroy", shop.config, "Ann", code=ATTENTION)
    assert len(shop.stored()) == 4
