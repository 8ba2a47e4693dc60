"""The npm original and ours are asked the same, at random: every result, cookie and stored byte is the same."""

from __future__ import annotations

import calls
import pytest
from doors import SECRET, SEQUENCES, Browser
from hypothesis import given
from hypothesis import strategies as st

from node_session.legacy_encryption import LegacyEncrypter

DECRYPT = {False: lambda text, id: text, True: LegacyEncrypter([SECRET]).decrypt}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "encrypted"])
def encrypt(request):
    return request.param


@pytest.fixture(scope="module")
def both(open_door, encrypt):
    """The original and ours, each with a folder of its own."""
    return [open_door(side, encrypt=encrypt) for side in ("original", "ours")]


@pytest.fixture(scope="module")
def shared(open_door, encrypt, tmp_path_factory):
    """The original alone, and the original and ours on one folder."""
    files = tmp_path_factory.mktemp("shared")
    alone = open_door("original", encrypt=encrypt)
    return alone, [open_door(side, files=files, encrypt=encrypt) for side in ("original", "ours")]


@SEQUENCES
@given(requests=calls.SEQUENCES)
def test_same_answers(both, encrypt, requests):
    """Each request of a sequence has the same results and cookie attributes, and leaves the same text."""
    browsers = [Browser(DECRYPT[encrypt]) for _ in both]
    for each in requests:
        theirs, ours = (browser.visit(door, each) for browser, door in zip(browsers, both, strict=True))
        assert ours == theirs


@SEQUENCES
@given(requests=calls.SEQUENCES, data=st.data())
def test_same_session(shared, encrypt, requests, data):
    """One session served by either side at random has the same results and texts as served by the original alone."""
    alone, sides = shared
    pure, mixed = Browser(DECRYPT[encrypt]), Browser(DECRYPT[encrypt])
    for each in requests:
        side = data.draw(st.integers(0, 1))
        assert mixed.visit(sides[side], each) == pure.visit(alone, each)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lifetime": 60_000},
        {"expireOnClose": True},
        {"domain": "example.org", "path": "/app"},
        {"httpOnly": False},
        {"cookie": "other"},
        {"secure": True, "trustProxy": True},
    ],
    ids=str,
)
def test_same_cookie(open_door, options):
    """Set-Cookie has the same attributes in the same order, whatever the options."""
    lines = []
    for side in ("original", "ours"):
        door = open_door(side, **options)
        if "secure" in options:
            door.connection.request("POST", "/", b"[]", {"X-Forwarded-Proto": "https"})
            response = door.connection.getresponse()
            response.read()
            lines.append(response.headers["Set-Cookie"].partition(";")[2].replace(" Expires", "\n").split("\n")[0])
        else:
            lines.append(Browser().visit(door, []).attributes)
    assert lines[0] == lines[1]
