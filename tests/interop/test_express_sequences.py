"""Express and ours on one store of express-session, asked at random with one cookie, against a model of the session."""

from __future__ import annotations

import os
import random

import pytest
from doors import EXPRESS_SIDES
from express_model import Visitor, request

REQUESTS = int(os.environ.get("SEQUENCES", "300"))  # of each store and options: make test SEQUENCES=… for more

OPTIONS = {
    "default": {},
    "maxAge": {"cookie": {"maxAge": 600_000}},
    "rolling": {"cookie": {"maxAge": 600_000, "sameSite": "lax"}, "rolling": True},
    "resave": {"resave": True, "saveUninitialized": True, "unset": "destroy"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_same_session(express_store, open_express_door, options):
    """Whichever side serves a request: it answers as the model, keeps the id, and leaves the content in the store."""
    doors = [open_express_door(side, express_store, options) for side in EXPRESS_SIDES]
    chance = random.Random(f"{type(express_store).__name__} {options}")
    made = 0
    while made < REQUESTS:
        max_age = options.get("cookie", {}).get("maxAge")
        visitor = Visitor(express_store, max_age, options.get("saveUninitialized", False))
        for _ in range(50):
            visitor.visit(chance.choice(doors), request(chance, visitor))
            made += 1
        assert not visitor.problems, "\n".join(visitor.problems)
