"""The option `trustProxy`: the proxies whose X-Forwarded-Proto header counts.

    trust = compile_trust("loopback, 10.0.0.0/8")
    trust("10.1.2.3", 0)         # True
    is_https("https", "http")    # True: the client speaks https, though the proxy does not

Without it the header never counts, since any client could send it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from .quoting import quote

Trust = Callable[[str, int], bool]

_MOST_HOPS = 100

_NAMES = {
    "loopback": ["127.0.0.0/8", "::1/128"],
    "linklocal": ["169.254.0.0/16", "fe80::/10"],
    "uniquelocal": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
}


def compile_trust(value: Any) -> Trust:
    """Make a function (address, index) -> bool from a `trustProxy` option.

    Args:
        value: True trusts everybody, false nobody. A whole number from 0 to 100 trusts that many hops; the peer of the
            connection is hop 0. A list trusts its addresses, networks (``10.0.0.0/8``) and the names loopback,
            linklocal and uniquelocal. A text is such a list, separated by commas. A function is returned unchanged.

    Raises:
        ValueError: The value is none of these.
    """
    if callable(value):
        return value  # type: ignore[no-any-return]
    if value is None or isinstance(value, bool):
        return lambda address, index: bool(value)
    if isinstance(value, (int, float)):
        if not isinstance(value, int) or not 0 <= value <= _MOST_HOPS:
            raise ValueError(f"must be a whole number of hops from 0 to {_MOST_HOPS}, not {quote(value)}")
        return lambda address, index: index < value
    if isinstance(value, str):
        value = [each.strip() for each in value.split(",") if each.strip()]
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(f"must be true, a number of hops, addresses, networks or a function, not {quote(value)}")
    networks = [_network(each) for name in value for each in _NAMES.get(name, [name])]
    return lambda address, index: _is_in(address, networks)


def is_https(forwarded: str | None, protocol: str) -> bool:
    """Whether the client speaks https.

    Args:
        forwarded: X-Forwarded-Proto of a trusted proxy. Its first value counts, the one nearest to the client.
        protocol: The connection's own protocol. It counts if the header is empty or missing.
    """
    return ((forwarded or "").partition(",")[0].strip().lower() or protocol) == "https"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{quote(text)} is neither an address, nor a network, nor one of {', '.join(_NAMES)}"
        ) from None


def _is_in(address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has no address
        return False
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(plain in network or parsed in network for network in networks)
