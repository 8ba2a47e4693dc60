"""Masks of ids of any form."""

from __future__ import annotations

import pytest

from formats.conftest import make_format
from node_session.formats.masks import masked
from node_session.formats.node_session import NodeSessionFormat


@pytest.mark.parametrize("id", ["", "a\nb", "a\x00", "x" * 10_000], ids=ascii)
def test_masks_of_what_is_no_id(id):
    """A mask under which there is no valid id leads nowhere, in either format."""
    mask = masked(id, "other")
    express = make_format()
    assert express.unveil(mask, "other") is None
    assert NodeSessionFormat(None).unveil(f".{mask}", "other") is None


def test_masks_of_ids():
    """An id of Express can be unmasked again in its format, and with `otherIds` in that of node-session."""
    mask = masked("3f2504e0-4f89", "other")
    assert make_format().unveil(mask, "other") == "3f2504e0-4f89"
    other_ids = make_format(format="node-session", otherIds=True)
    assert other_ids.unveil(f".{mask}", "other") == "3f2504e0-4f89"
