"""Which addresses a delivery may go to: public ones, and those that the operator allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

# Translated to IPv4 on their way (RFC 6052, RFC 8215): the last 32 bits are the address that is reached.
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
# Never global, whatever a release of Python says: "this network", shared space, 6to4's relay anycast,
# site-local.
_NEVER: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("fec0::/10"),
)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks in CIDR notation, divided by commas; raises ValueError for what is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_allowed(address: str, allowed: Collection[Network]) -> bool:
    """Whether a delivery may go to an address, given as text.

    It and every IPv4 address that it stands for must be global, or be of the `allowed` networks.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if _is_in(parsed, allowed):
        return True
    return all(_is_public(each) or _is_in(each, allowed) for each in _meant(parsed))


def _meant(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The address, or rather what is reached by it where another one is embedded in it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in network for network in _NAT64):
        yield low
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if int(address) >> 32 == 0 and int(address) > 1:  # ::a.b.c.d, of old
        yield low


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not _is_in(address, _NEVER)
    )


def _is_in(address: IPv4Address | IPv6Address, networks: Collection[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks)
