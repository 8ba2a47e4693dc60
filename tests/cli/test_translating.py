"""What becomes of a session's flash data when it is translated into another format."""

from __future__ import annotations

import pytest
from formats.conftest import make_format

from node_session.cli.translating import translate
from node_session.formats import NODE_SESSION

NO_FLASH = {"old": [], "new": []}


@pytest.mark.parametrize(
    ("attributes", "translated"),
    [
        ({"a": 1}, {"a": 1, "flash": NO_FLASH}),
        ({"flash": {"info": ["Saved."]}}, {"info": ["Saved."], "flash": {"old": [], "new": ["info"]}}),
        ({"flash": {"info": []}}, {"flash": NO_FLASH}),
        ({"flash": {"a": []}, "a": 1}, {"a": 1, "flash": NO_FLASH}),
    ],
    ids=str,
)
def test_to_ours(attributes, translated):
    """Messages that wait become flash data, empty lists do not; the lists are there, as the original's."""
    assert translate(attributes, make_format(), NODE_SESSION) == translated


def test_a_key_that_holds_no_messages():
    """Where connect-flash is not used, its key is an attribute like others."""
    assert translate({"flash": "x"}, make_format(), make_format()) == {"flash": "x"}


def test_to_theirs():
    """Empty lists of flashed keys are left out, others get the key that does not collide."""
    assert translate({"a": 1, "flash": NO_FLASH}, NODE_SESSION, make_format()) == {"a": 1}
    lists = {"old": [], "new": ["a"]}
    assert translate({"a": 1, "flash": lists}, NODE_SESSION, make_format()) == {"a": 1, "_flash": lists}
