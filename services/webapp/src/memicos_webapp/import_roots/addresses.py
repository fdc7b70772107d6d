"""Addresses that a connection may go to: public ones, and others only where a root names them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")


def parse_address(host: str) -> Address | None:
    """The address that a host of a URL is written as; None for a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def target(address: Address) -> Address:
    """The IPv4 address inside an IPv6 address that stands for one, else the address itself."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner
    return address


def is_permitted(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address is a public one, or in one of `networks`."""
    address = target(address)
    if any(address.version == network.version and address in network for network in networks):
        return True
    return address.is_global and not address.is_multicast
