"""Where messages go by a broker: its URL, read strictly, judged as a webhook's URL is, and never quoted with its login.

    amqp://user:password@host:5672/vhost?queue=NAME          amqps: by TLS
    kafka://user:password@host:9092,host:9092/TOPIC          kafkas: by TLS; ?sasl=scram-sha-512 for another handshake
    redis://user:password@host:6379/0?stream=NAME            rediss: by TLS; ?replicas=1: confirmed when one has it too

What is not by TLS goes to the app's private networks only; what is goes there too, or anywhere public.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import msgspec

from oncepay.publishers.targets import TargetRefused, address_of, check_addresses, read_networks

PORTS: Final[Mapping[str, int]] = {
    "amqp": 5672, "amqps": 5671, "kafka": 9092, "kafkas": 9093, "redis": 6379, "rediss": 6379,
}  # fmt: skip
HOSTS_MAX: Final = 8
REPLICAS_MAX: Final = 9
SASL: Final[Mapping[str, str]] = {
    "plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512",
}  # fmt: skip

_BROKER: Final = re.compile(r"(amqps?|kafkas?|rediss?)://", re.IGNORECASE)
_LOGIN: Final = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*"
_URL: Final = re.compile(
    rf"(?P<scheme>amqps?|kafkas?|rediss?)://(?:(?P<login>{_LOGIN}:{_LOGIN})@)?"
    r"(?P<hosts>[a-z0-9.,:\[\]-]+)"
    r"(?:/(?P<path>(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})*))?"
    r"(?:\?(?P<query>(?:[A-Za-z0-9\-._~=&:/]|%[0-9A-Fa-f]{2})*))?"
)
_HOST: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_DATABASE: Final = re.compile(r"[0-9]{1,5}")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A queue, topic or stream of a broker. ``kind``: amqp, kafka, redis. ``room``: the virtual host, or the number of
    the database. ``inside``: only if all addresses are in the app's private networks. ``url``: may be shown."""

    url: str
    kind: str
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    name: str
    room: str = ""
    user: str = ""
    password: str = ""
    sasl: str = "PLAIN"
    replicas: int = 0

    @property
    def inside(self) -> bool:
        """What can be read on the way must not leave the house."""
        return not self.tls


def is_broker(url: str) -> bool:
    """Whether this is meant to be a broker's URL."""
    return _BROKER.match(url) is not None


def split_login(url: str) -> tuple[str, str]:
    """A broker's URL as it may be shown, and what stood before its @.

    >>> split_login("amqp://shop:secret@mq.example.com/?queue=paid")
    ('amqp://mq.example.com/?queue=paid', 'shop:secret')
    """
    scheme, _, rest = url.partition("://")
    end = next((i for i, character in enumerate(rest) if character in "/?#"), len(rest))
    login, _, hosts = rest[:end].rpartition("@")
    return f"{scheme.lower()}://{hosts.lower()}{rest[end:]}", login


@lru_cache(maxsize=4096)
def place_of(url: str, login: str, private_networks: tuple[str, ...]) -> Place:
    """What a broker's URL points to, as far as the text tells. Raises TargetRefused, which never quotes the login.

    ``url``: without its login. ``private_networks``: CIDRs that its app may reach.
    """
    scheme = url.partition("://")[0]
    whole = f"{scheme}://{login}@{url.partition('://')[2]}" if login else url
    match = _URL.fullmatch(whole)
    if match is None:
        raise TargetRefused(_what(url), _what_is_wrong(url, login))
    hosts = tuple(_host(url, text, PORTS[scheme]) for text in match["hosts"].split(","))
    kind = scheme if scheme in {"amqp", "kafka", "redis"} else scheme[:-1]
    options = _options(url, match["query"] or "")
    path = match["path"] or ""
    user, _, password = login.partition(":")
    place = _READERS[kind](
        Place(
            url=url, kind=kind, tls=scheme != kind, hosts=hosts, name="", user=unquote(user), password=unquote(password)
        ),
        path,
        options,
    )
    if options:
        raise TargetRefused(_what(url), f"{min(options)} is no option of {kind}")
    if len(hosts) > (HOSTS_MAX if kind == "kafka" else 1):
        raise TargetRefused(_what(url), "too many hosts")
    _judge(place, private_networks)
    return place


def _judge(place: Place, private_networks: tuple[str, ...]) -> None:
    """What a webhook may not reach, a message may not either."""
    allow = read_networks(private_networks)
    if place.inside and not allow:
        raise TargetRefused(_what(place.url), f"not by TLS ({place.kind}s://), and the app has no private networks")
    for host, port in place.hosts:
        address = address_of(f"[{host}]" if ":" in host else host)
        if address is not None:
            check_addresses([address], allow, inside=place.inside)
        elif not allow and ("." not in host or host.endswith(".localhost")):
            raise TargetRefused(host, "a name that only means something inside")
        # Brokers listen on any port, but none of them on the ones that the world's other services have.
        if not allow and port < 1024 and port != 443:
            raise TargetRefused(_what(place.url), f"port {port} is another service's")


def _host(url: str, text: str, usual: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise TargetRefused(_what(url), "its host is not a host, or host:port")
    port = int(match["port"] or usual)
    if port > 65_535:
        raise TargetRefused(_what(url), "there is no such port")
    address_of(match["host"])  # neither a name nor an address: refused
    return match["host"].strip("[]"), port


def _options(url: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals or name in options:
            raise TargetRefused(_what(url), "its query is not name=value, each name once")
        options[name] = unquote(value)
    return options


def _named(place: Place, what: str, name: str | None) -> str:
    if not name:
        raise TargetRefused(_what(place.url), f"it names no {what}")
    if len(name.encode()) > 255 or not name.isprintable():
        raise TargetRefused(_what(place.url), f"the name of the {what} is too long, or not printable")
    return name


def _amqp(place: Place, path: str, options: dict[str, str]) -> Place:
    queue = _named(place, "queue (?queue=NAME)", options.pop("queue", None))
    if queue.startswith("amq."):
        raise TargetRefused(_what(place.url), "queues that start with amq. are the broker's own")
    return msgspec.structs.replace(place, name=queue, room=unquote(path) or "/")


def _kafka(place: Place, path: str, options: dict[str, str]) -> Place:
    topic = _named(place, "topic (kafka://host/TOPIC)", path)
    if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
        raise TargetRefused(_what(place.url), "a topic is letters, digits, full stops, _ and -")
    sasl = SASL.get(options.pop("sasl", "plain"))
    if sasl is None:
        raise TargetRefused(_what(place.url), f"sasl is one of {', '.join(SASL)}")
    return msgspec.structs.replace(place, name=topic, sasl=sasl)


def _redis(place: Place, path: str, options: dict[str, str]) -> Place:
    stream = _named(place, "stream (?stream=NAME)", options.pop("stream", None))
    if path and not _DATABASE.fullmatch(path):
        raise TargetRefused(_what(place.url), "its path is the number of a database")
    replicas = options.pop("replicas", "0")
    if not (replicas.isascii() and replicas.isdigit() and len(replicas) == 1):
        raise TargetRefused(_what(place.url), f"replicas is a number up to {REPLICAS_MAX}")
    return msgspec.structs.replace(place, name=stream, room=path or "0", replicas=int(replicas))


_READERS: Final[Mapping[str, Callable[[Place, str, dict[str, str]], Place]]] = {
    "amqp": _amqp, "kafka": _kafka, "redis": _redis,
}  # fmt: skip


def _what(url: str) -> str:
    """How a refusal names a URL: any other part of it may be a password that stands in the wrong place."""
    return f"{url.partition('://')[0]}://"


def _what_is_wrong(url: str, login: str) -> str:
    if login and ":" not in login:
        return "before the @ stand user:password"
    if login and not re.fullmatch(f"{_LOGIN}:{_LOGIN}", login):
        return "characters in its user or password that must be percent-encoded"
    if "#" in url:
        return "a fragment in it"
    return "characters that do not belong there; percent-encode them"
