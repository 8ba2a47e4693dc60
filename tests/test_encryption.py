"""Encryption: nothing that was changed, swapped, cut off or meant for another key is read."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from world import start_session

from node_session import ConfigError, DamagedError, MismatchError, UnavailableError
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.drivers.file import FileDriver
from node_session.encryption import CustomEncrypter
from node_session.legacy_encryption import LegacyEncrypter

SECRET = "secretsecretsecretsecretsecret12"
ID = "A" * 40
OTHER = "B" * 40
TEXT = '{"user":"Jörg"}'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("kind", [AuthenticatedEncrypter, LegacyEncrypter])
@given(TEXTS, st.text(min_size=1), TEXTS)
def test_round_trip(kind, text, secret, id):
    """An encrypted text is decrypted under the same secret and id."""
    encrypter = kind([secret])
    assert encrypter.decrypt(encrypter.encrypt(text, id), id) == text


def test_text_of_the_original():
    """The legacy text is the original's, byte by byte, and both encrypters read it."""
    text = '{"ct":"NJU989U=","mac":"uUup7LqyE6Bkl/3dxg+kjLrO+30="}'
    assert LegacyEncrypter([SECRET]).encrypt("hello", ID) == text
    assert LegacyEncrypter([SECRET]).decrypt(text, ID) == "hello"
    assert AuthenticatedEncrypter([SECRET]).decrypt(text, ID) == "hello"
    assert AuthenticatedEncrypter(["new", SECRET]).decrypt(text, ID) == "hello"


def test_same_text_twice():
    """No two texts are alike, nor do they share a key stream."""
    encrypter = AuthenticatedEncrypter([SECRET])
    one, two = (json.loads(encrypter.encrypt("A" * 60, ID)) for _ in range(2))
    assert one["ct"] != two["ct"] and one["mac"] != two["mac"] and one["k"] == two["k"]


def test_every_flipped_bit():
    """A text with any one bit flipped is refused, in both formats."""
    for encrypter in (AuthenticatedEncrypter([SECRET]), LegacyEncrypter([SECRET])):
        text = encrypter.encrypt(TEXT, ID).encode()
        for place in range(len(text)):
            for bit in range(8):
                changed = bytearray(text)
                changed[place] ^= 1 << bit
                try:
                    flipped = changed.decode()
                except UnicodeDecodeError:
                    continue
                with pytest.raises(DamagedError):
                    encrypter.decrypt(flipped, ID)


def test_every_truncation():
    """A text cut off anywhere, at its end or its beginning, is refused, and so is one with something added."""
    for encrypter in (AuthenticatedEncrypter([SECRET]), LegacyEncrypter([SECRET])):
        text = encrypter.encrypt(TEXT, ID)
        refused = [*(text[:end] for end in range(len(text))), *(text[begin:] for begin in range(1, len(text)))]
        for changed in [*refused, text + "}", text + text, text + "\0", "\ufeff" + text]:
            with pytest.raises(DamagedError):
                encrypter.decrypt(changed, ID)


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", [AuthenticatedEncrypter, LegacyEncrypter])
async def test_every_flipped_bit_of_a_file(kind, tmp_path, caplog):
    """A record's file with a bit flipped in any place starts a fresh session: no exception, nothing of the old one."""
    driver = FileDriver(tmp_path, 0)
    encrypter = kind([SECRET])
    content = encrypter.encrypt('{"u":1}', ID).encode()
    for place, bit in itertools.product(range(len(content)), (0, 7)):  # one other text, and one that is no UTF-8
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        (tmp_path / ID).write_bytes(changed)
        os.utime(tmp_path / ID, (1, 1))  # long ago, so that nobody waits for its writer
        session = await start_session(driver, ID, encrypter=encrypter)
        assert session.report.found == "damaged" and session.get_id() != ID and not session.exists("u")
    assert not (tmp_path / ID).exists()  # a damaged record is moved away


@pytest.mark.parametrize("kind", [AuthenticatedEncrypter, LegacyEncrypter])
@given(st.text(min_size=1), st.text(min_size=1))
def test_wrong_key(kind, secret, other):
    """A text under any other secret is refused."""
    assume(secret != other)
    with pytest.raises(DamagedError):
        kind([other]).decrypt(kind([secret]).encrypt(TEXT, ID), ID)


def test_swapped_records():
    """A text put under another session's id is refused."""
    encrypter = AuthenticatedEncrypter([SECRET])
    with pytest.raises(DamagedError, match="another session"):
        encrypter.decrypt(encrypter.encrypt(TEXT, ID), OTHER)


def test_swapped_parts():
    """Parts of two texts put together are refused."""
    encrypter = AuthenticatedEncrypter([SECRET])
    one, two = (json.loads(encrypter.encrypt(TEXT, ID)) for _ in range(2))
    mixed = json.dumps({**one, "mac": two["mac"]}, separators=(",", ":"))
    with pytest.raises(DamagedError):
        encrypter.decrypt(mixed, ID)


def test_secrets():
    """The first secret encrypts, all decrypt, and no other does."""
    old, new, both = map(AuthenticatedEncrypter, (["old"], ["new"], ["new", "old"]))
    assert both.decrypt(old.encrypt(TEXT, ID), ID) == TEXT
    assert new.decrypt(both.encrypt(TEXT, ID), ID) == TEXT
    for wrong, text in ((new, old.encrypt(TEXT, ID)), (old, both.encrypt(TEXT, ID))):
        with pytest.raises(DamagedError, match="under none of the secrets"):
            wrong.decrypt(text, ID)
    legacy = LegacyEncrypter(["new", "old"])
    assert legacy.decrypt(LegacyEncrypter(["old"]).encrypt(TEXT, ID), ID) == TEXT
    with pytest.raises(DamagedError):
        legacy.decrypt(LegacyEncrypter(["other"]).encrypt(TEXT, ID), ID)


@given(
    st.text()
    | st.text().map(lambda text: json.dumps({"ct": text, "mac": text}))
    | st.from_regex(r'\{"v":2,"k":"[\w-]{8}","ct":"[\w-]*","mac":"[\w-]{43}"\}', fullmatch=True)
    | st.sampled_from(["[]", "null", '{"ct":1,"mac":2}', '{"ct":"","mac":""}', "{" * 100_000, "[" * 100_000])
)
def test_any_text(text):
    """No text is another exception than DamagedError, and none shows the secret."""
    for encrypter in (AuthenticatedEncrypter([SECRET]), LegacyEncrypter([SECRET])):
        with pytest.raises(DamagedError) as caught:
            encrypter.decrypt(text, ID)
        assert SECRET not in str(caught.value)


class Reverse:
    def encrypt(self, text):
        return text[::-1]

    def decrypt(self, text):
        if not text.startswith("}"):
            raise RuntimeError("not mine")
        return text[::-1]


def test_custom():
    """An encrypter of the program's own is used as it is; what it refuses is damaged."""
    encrypter = CustomEncrypter(Reverse())
    assert encrypter.decrypt(encrypter.encrypt(TEXT, ID), ID) == TEXT
    with pytest.raises(DamagedError, match="refused it: RuntimeError"):
        encrypter.decrypt("x", ID)


def test_custom_whose_keys_cannot_be_had():
    """A service that does not answer is not taken for a refusal: the text may be whole."""

    class Remote(Reverse):
        def decrypt(self, text):
            raise UnavailableError("the key service does not answer")

    with pytest.raises(UnavailableError, match="key service"):
        CustomEncrypter(Remote()).decrypt(TEXT, ID)


def test_custom_and_an_empty_text():
    """An empty record is damaged, not one for another config: it may be replaced."""
    with pytest.raises(DamagedError, match="empty") as caught:
        CustomEncrypter(Reverse()).decrypt("", ID)
    assert not isinstance(caught.value, MismatchError)


def test_custom_without_methods():
    """An object that is no encrypter is an error that names what it lacks."""
    with pytest.raises(ConfigError, match="no method decrypt"):
        CustomEncrypter(type("Half", (), {"encrypt": str})())


def test_custom_that_gives_no_text():
    """An encrypter that does not give text is an error, and damages nothing."""

    class Bytes:
        def encrypt(self, text):
            return text.encode()

        decrypt = encrypt

    encrypter = CustomEncrypter(Bytes())
    with pytest.raises(TypeError, match="must return str"):
        encrypter.encrypt(TEXT, ID)
    with pytest.raises(DamagedError):
        encrypter.decrypt(TEXT, ID)
