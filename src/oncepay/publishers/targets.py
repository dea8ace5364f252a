"""Where a webhook may go: the guard against being sent to our own network (SSRF).

A URL is checked as text (``check_url``: when it is saved and before each send) and its addresses are checked when a
connection is opened (``GuardedResolver``): a name is resolved once, *all* its addresses are judged, and the
connection goes to those very addresses, so a name that changes its mind between two looks gains nothing.

Addresses are judged unwrapped, by a list of our own. ``ipaddress.is_global`` calls ``64:ff9b::a9fe:a9fe`` global:
that is 169.254.169.254 (a cloud's metadata, often with credentials) behind a NAT64.

Sources: the IANA special-purpose address registries for IPv4 and IPv6; the WHATWG URL standard for number-like hosts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import msgspec

from oncepay.outbound import RequestInvalid, Resolve, read_url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS: Final = frozenset({443, 8443})  # on the public internet; inside an allowed network any port will do
URL_LENGTH_MAX: Final = 2048

# Never, whatever an allow-list says: nobody's webhook is here, and metadata services are.
_NEVER: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(net), why)
    for net, why in (
        ("169.254.0.0/16", "link-local"),
        ("100.100.100.200/32", "a cloud's metadata service"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("192.0.0.192/32", "a cloud's metadata service"),
        ("fd00:ec2::/32", "a cloud's metadata service"),
        ("0.0.0.0/8", "this host"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("::/128", "this host"),
    )
)
# Only when an allow-list names them.
_INSIDE: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(net), why)
    for net, why in (
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "anycast of AS112"),
        ("192.52.193.0/24", "anycast of AMT relays"),
        ("192.88.99.0/24", "anycast of 6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "anycast of AS112"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("::1/128", "loopback"),
        ("::/96", "an IPv4-compatible address, long withdrawn"),
        ("64:ff9b:1::/48", "a NAT64 of somebody's own"),
        ("100::/64", "a black hole"),
        ("2001::/32", "a Teredo tunnel"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("2620:4f:8000::/48", "anycast of AS112"),
        ("3fff::/20", "for documentation"),
        ("5f00::/16", "for segment routing"),
        ("fc00::/7", "private"),
        ("fec0::/10", "site-local, long withdrawn"),
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")  # all that IANA has given out so far
_NAT64: Final = IPv6Network("64:ff9b::/96")

# One spelling only: what we read and what the HTTP client reads must be the same URL.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>[/?](?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]|%[0-9A-Fa-f]{2})*)?"
)
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class TargetRefused(ValueError):
    """We do not send there. ``what``: the URL, host or address; ``why``: one clause for people."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why


class Target(msgspec.Struct, frozen=True):
    """A URL that may be sent to. ``url``: as it goes out. ``inside``: only if all its addresses are in the allow-list
    (it is plain HTTP, or on another port). ``address``: set when the host is one."""

    url: str
    host: str
    port: int
    inside: bool
    address: str | None = None


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """An allow-list from its written form (CIDR). Raises TargetRefused when it is not one, or would open the world."""
    networks: list[Network] = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError as error:
            raise TargetRefused(text, "not a network in CIDR notation") from error
        if not any(_holds(special, network) for special, _ in _INSIDE):
            raise TargetRefused(text, "not within private address space, so there is nothing to allow")
        networks.append(network)
    return tuple(networks)


def check_target(url: str, private_networks: Sequence[str]) -> None:
    """Refuse a URL that webhooks must not go to, before it is saved. ``private_networks``: CIDRs.

    Raises TargetRefused.
    """
    target_of(url, tuple(private_networks))


@lru_cache(maxsize=4096)
def target_of(url: str, private_networks: tuple[str, ...]) -> Target:
    """``check_url`` with the allow-list as text, remembered: an endpoint's URL is checked at each send."""
    return check_url(url, read_networks(private_networks))


def check_url(url: str, allow: Sequence[Network] = ()) -> Target:
    """What a webhook URL points to, as far as the text tells. Raises TargetRefused.

    ``allow``: the networks inside that the app may reach. There, and only there, plain HTTP and any port will do.
    """
    if len(url) > URL_LENGTH_MAX:
        raise TargetRefused(url[:64] + "...", f"longer than {URL_LENGTH_MAX} characters")
    scheme, slashes, rest = url.partition("://")
    end = next((i for i, character in enumerate(rest) if character in "/?#"), len(rest))
    # Scheme and host may be written in capitals; nothing else is forgiven.
    match = _URL.fullmatch(scheme.lower() + slashes + rest[:end].lower() + rest[end:])
    if match is None:
        raise TargetRefused(url, _what_is_wrong(scheme, rest[:end], rest[end:]))
    host, port = match["host"], int(match["port"] or (443 if match["scheme"] == "https" else 80))
    if port > 65_535:
        raise TargetRefused(url, "there is no such port")
    address = address_of(host)
    inside = match["scheme"] == "http" or port not in PORTS
    if inside and not allow:
        why = "not https" if match["scheme"] == "http" else f"port {port} is not one of {sorted(PORTS)}"
        raise TargetRefused(url, why)
    if address is not None:
        check_addresses([address], allow, inside=inside)
    elif not allow and ("." not in host or host.endswith(".localhost")):
        raise TargetRefused(url, "a name that only means something inside")
    if _as_called(match[0]) != (match["scheme"] == "https", host.strip("[]"), port):
        raise TargetRefused(url, "it can be read in two ways")
    return Target(url=match[0], host=host.strip("[]"), port=port, inside=inside, address=address)


def _as_called(url: str) -> tuple[bool, str, int] | None:
    """Whom the HTTP client would connect to: whether by TLS, host, port."""
    try:
        origin, _ = read_url(url)
    except RequestInvalid:
        return None
    return origin.tls, origin.host, origin.port


def _what_is_wrong(scheme: str, authority: str, rest: str) -> str:
    if scheme.lower() not in {"http", "https"}:
        return "not a URL that starts with https://"
    if "@" in authority:
        return "a user name or password in it"
    if "#" in rest:
        return "a fragment in it"
    if not authority.isascii():
        return "a host outside ASCII; write its xn-- form"
    if "%" in authority:
        return "a percent sign in the host"
    return "characters that do not belong there; percent-encode them"


def address_of(host: str) -> str | None:
    """The address that a host is, or None for a name. Raises TargetRefused for what is neither, plainly written."""
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError as error:
            raise TargetRefused(host, "not an IPv6 address") from error
    labels = host.split(".")
    # 2130706433, 0177.1, 0x7f.1, 127.1: some readers take these for addresses, so only the plain form passes.
    if _NUMBER.fullmatch(labels[-1]) or (labels[-1] == "" and len(labels) > 1 and _NUMBER.fullmatch(labels[-2])):
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise TargetRefused(host, "neither a name nor a plainly written address") from error
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise TargetRefused(host, "not a host name")
    return None


def check_addresses(addresses: Iterable[str], allow: Sequence[Network] = (), *, inside: bool = False) -> None:
    """Raises TargetRefused for the first address that we do not connect to; none at all is refused too.

    ``inside``: every one must be in the allow-list, public ones are refused.
    """
    seen = False
    for text in addresses:
        seen = True
        if (why := _why_not(text, allow, inside=inside)) is not None:
            raise TargetRefused(text, why)
    if not seen:
        raise TargetRefused("the host", "it has no address")


def _why_not(text: str, allow: Sequence[Network], *, inside: bool) -> str | None:
    if "%" in text:
        return "an address with a zone"
    try:
        address = unwrap(ip_address(text))
    except ValueError:
        return "not an address"
    for network, why in _NEVER:
        if address in network:
            return why
    if any(address in network for network in allow):
        return None
    if inside:
        return "not in an allowed network"
    for network, why in _INSIDE:
        if address in network:
            return why
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "not a global address"
    return None


def unwrap(address: Address) -> Address:
    """The address that is meant: IPv4 inside a mapped IPv6 address, or behind the well-known NAT64 prefix.

    6to4 and Teredo carry an IPv4 address too, but are refused whole.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _holds(outer: Network, inner: Network) -> bool:
    return (isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network) and inner.subnet_of(outer)) or (
        isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network) and inner.subnet_of(outer)
    )


class GuardedResolver:
    """Resolves with ``inner``, judges all addresses, and hands out only what was judged."""

    def __init__(self, inner: Resolve, allow: Sequence[Network] = (), *, inside: bool = False) -> None:
        self._inner = inner
        self._allow = tuple(allow)
        self._inside = inside

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host. Raises OSError when the name is unknown, or when an address is refused: then with
        the TargetRefused as its cause."""
        found = await self._inner(host, port)
        try:
            check_addresses(found, self._allow, inside=self._inside)
        except TargetRefused as refused:
            raise OSError(None, f"refused: {refused}") from refused
        return found
