"""AES by either package: the same bytes, and the faster one where it is installed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_session import aes
from node_session.authenticated_encryption import AuthenticatedEncrypter
from node_session.legacy_encryption import LegacyEncrypter

BOTH = [aes.OpenSSL, aes.PyCryptodome]
SECRET = "secretsecretsecretsecretsecret12"
ID = "A" * 40

# NIST SP 800-38A, F.5.5 CTR-AES256.Encrypt
KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
START = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
ENCRYPTED = bytes.fromhex(
    "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
    "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
)


@pytest.mark.parametrize("implementation", BOTH)
def test_vector(implementation):
    """It is what NIST calls AES-256 in counter mode, in both directions, and each call begins again."""
    cipher = implementation(KEY)
    for _ in range(2):
        assert cipher.apply(START, PLAIN) == ENCRYPTED
        assert cipher.apply(START, ENCRYPTED[:50]) == PLAIN[:50]


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16) | st.integers(1, 5).map(lambda left: (2**128 - left).to_bytes(16, "big")),
    st.lists(st.binary() | st.integers(0, 5000).map(bytes), min_size=1),
)
def test_both_give_the_same(key, start, texts):
    """Whatever is encrypted, also where the counter runs over, the packages do not differ by a byte."""
    one, other = (implementation(key) for implementation in BOTH)
    for text in texts:
        assert one.apply(start, text) == other.apply(start, text)


@pytest.mark.parametrize("kind", [AuthenticatedEncrypter, LegacyEncrypter])
@pytest.mark.parametrize("writer", BOTH)
@pytest.mark.parametrize("reader", BOTH)
def test_texts_are_read_by_the_other(kind, writer, reader, monkeypatch):
    """A process with cryptography and one without share a store, in both formats."""
    monkeypatch.setattr(aes, "choose", lambda: writer)
    written = kind([SECRET])
    monkeypatch.setattr(aes, "choose", lambda: reader)
    assert kind([SECRET]).decrypt(written.encrypt('{"user":"Jörg"}', ID), ID) == '{"user":"Jörg"}'


@pytest.mark.parametrize("implementation", BOTH)
def test_stored_bytes(implementation, monkeypatch):
    """The format has not changed: a text that was stored by an earlier version, and the very same written again."""
    monkeypatch.setattr(aes, "choose", lambda: implementation)
    monkeypatch.setattr("node_session.authenticated_encryption.token_bytes", lambda size: bytes(range(size)))
    stored = (
        '{"v":2,"k":"cq8tYCQD","ct":"AAECAwQFBgcICQoLDA0ODyfSl7XXpB5SIjz3YzsBVu4"'
        ',"mac":"rV1LD5kZtMhiALepLX6uuArzBMYzI3S7czgB4km7eGA"}'
    )
    assert AuthenticatedEncrypter([SECRET]).encrypt('{"user":"Jörg"}', ID) == stored
    assert AuthenticatedEncrypter([SECRET]).decrypt(stored, ID) == '{"user":"Jörg"}'


def test_choice(monkeypatch):
    """The faster package is used where it is installed and new enough, otherwise pycryptodome."""
    ciphers = pytest.importorskip("cryptography.hazmat.primitives.ciphers")
    assert aes.choose() is aes.OpenSSL
    monkeypatch.setattr(ciphers, "CipherContext", type("Old", (), {}))
    assert aes.choose() is aes.PyCryptodome
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    assert aes.choose() is aes.PyCryptodome


def test_nothing_is_imported_before_it_is_needed():
    """A program that encrypts nothing does not wait for either package at its start."""
    program = """if True:
        import sys
        from node_session import NodeSession
        NodeSession({"secret": "x" * 32, "driver": "memory"})
        print([name for name in ("cryptography", "Crypto.Cipher") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("implementation", BOTH)
def test_threads(implementation):
    """Two threads that encrypt at a time do not use one another's counter, which would tell what both texts say."""
    cipher = implementation(KEY)
    wrong = []

    def encrypt(start):
        expected = aes.PyCryptodome(KEY).apply(start, PLAIN * 20)
        wrong.extend(1 for _ in range(300) if cipher.apply(start, PLAIN * 20) != expected)

    threads = [threading.Thread(target=encrypt, args=(bytes([number]) * 16,)) for number in range(4)]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(switch)
    assert not wrong
