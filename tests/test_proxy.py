"""The option trustProxy: whose X-Forwarded-Proto counts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from visitors import SECRET

from node_session import ConfigError, NodeSession
from node_session.proxy import compile_trust, is_https


@pytest.mark.parametrize(
    ("value", "trusted", "untrusted"),
    [
        (True, ["1.2.3.4", ""], []),
        (False, [], ["127.0.0.1"]),
        (None, [], ["127.0.0.1"]),
        (1, ["1.2.3.4"], []),
        (0, [], ["1.2.3.4"]),
        (100, ["1.2.3.4"], []),
        ("loopback", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"], ["10.0.0.1", "", "nonsense"]),
        ("linklocal", ["169.254.1.1", "fe80::1", "fe80::1%eth0"], ["169.253.1.1"]),
        ("uniquelocal", ["10.1.1.1", "172.16.0.1", "192.168.1.1", "fc00::1"], ["172.32.0.1", "8.8.8.8"]),
        ("loopback, 10.0.0.0/8", ["127.0.0.1", "10.200.1.1"], ["11.0.0.1"]),
        (["1.2.3.4", "2001:db8::/32"], ["1.2.3.4", "2001:db8::5"], ["1.2.3.5", "2001:db9::5"]),
        ("10.0.0.0/255.0.0.0", ["10.1.2.3"], ["11.0.0.1"]),
        (lambda address, index: address == "me" and index == 0, ["me"], ["you"]),
    ],
)
def test_trust(value, trusted, untrusted):
    """Each form of the option trusts whom it names and nobody else."""
    trust = compile_trust(value)
    assert [address for address in trusted if not trust(address, 0)] == []
    assert [address for address in untrusted if trust(address, 0)] == []


def test_hops():
    """A number trusts that many hops."""
    trust = compile_trust(2)
    assert [trust("1.2.3.4", hop) for hop in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("value", ["localhost", "1.2.3", ["10.0.0.0/33"], [], "", {}, [1], object(), b"10.0.0.1"])
def test_nonsense(value):
    """Anything else is an error that quotes it."""
    with pytest.raises(ValueError):
        compile_trust(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.5"),
        (1.0, "1.0"),
        (0.0, "0.0"),
        (-1, "-1"),
        (-(10**400), "-1000"),
        (101, "101"),
        (10**5000, "<int>"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (Fraction(1, 2), "Fraction"),
    ],
    ids=lambda value: str(type(value)),
)
def test_numbers_that_count_no_hops(value, shown):
    """A number of hops is a whole one that some chain of proxies may have; a config with any other is refused."""
    with pytest.raises(ValueError, match=shown):
        compile_trust(value)
    with pytest.raises(ConfigError, match=f"^trustProxy: must be .*{shown}"):
        NodeSession({"secret": SECRET, "trustProxy": value})


@pytest.mark.parametrize(
    ("header", "protocol", "expected"),
    [
        ("https", "http", True),
        ("HTTPS , http", "http", True),
        ("http,https", "https", False),
        ("", "https", True),
        (None, "http", False),
        (",https", "http", False),
    ],
)
def test_first_value_wins(header, protocol, expected):
    """The first value of X-Forwarded-Proto counts; without one the connection's own protocol."""
    assert is_https(header, protocol) is expected
