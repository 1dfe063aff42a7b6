"""Which addresses are public: where a stranger says where to connect, it must not lead inside (SSRF)."""

import ipaddress
from typing import Final

#: Public by their numbers, and yet a way inside: metadata of Azure and Oracle; NAT64, 6to4 and Teredo wrap IPv4.
_INSIDE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16/32", "192.0.0.0/24", "64:ff9b::/32", "2002::/16", "2001::/32")
)


def is_public(address: str) -> bool:
    """Whether the IP address is one of the public internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if any(found.version == network.version and found in network for network in _INSIDE):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved)
